//! Which process exactly: a pid is used again, a pid with its start time is not, not even
//! after a reboot when the boot has a name, too. Pure, but for [`Identity::of`].

/// A process, once and for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// In clock ticks since the boot; 0: there is no /proc.
    start: u64,
    boot: String,
}

/// When the process began, in clock ticks since the boot. `None`: it is not there, or has
/// ended and waits for its parent.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let runs = !rest.trim_start().starts_with(['Z', 'X']);
    field(&stat, 22).filter(|_| runs)
}

/// This start of the machine; empty: there is no /proc.
pub(crate) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

impl Identity {
    /// `None`: there is no such process.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let start = match stat {
            Ok(stat) => field(&stat, 22)?,
            Err(_) if std::path::Path::new("/proc/self").exists() => return None,
            Err(_) => 0,
        };
        Some(Self {
            pid,
            start,
            boot: boot(),
        })
    }

    /// As a pid file holds it. The first line is for everybody; the others cannot be
    /// taken for pids by `kill $(cat FILE)`.
    pub(crate) fn to_text(&self) -> String {
        format!("{}\nstart={}\nboot={}\n", self.pid, self.start, self.boot)
    }

    /// `None`: this was not written by [`Identity::to_text`].
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let start = lines.next()?.strip_prefix("start=")?.parse().ok()?;
        let boot = lines.next()?.strip_prefix("boot=")?.to_owned();
        lines.next().is_none().then_some(Self { pid, start, boot })
    }
}

/// Field n of /proc/PID/stat, as proc(5) counts. The name may hold anything.
pub(super) fn field(stat: &str, n: usize) -> Option<u64> {
    let after = stat.rsplit_once(')')?.1;
    after
        .split_ascii_whitespace()
        .nth(n.checked_sub(3)?)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_process() {
        let me = Identity::of(std::process::id().cast_signed()).unwrap();
        assert!(me.start > 0 && me.boot.len() == 36, "{me:?}");
        assert_eq!(Identity::of_text(&me.to_text()), Some(me.clone()));
        assert_ne!(Identity::of(1), Some(me));
        assert_eq!(Identity::of(0x7fff_fff0), None);
        assert_eq!(start_of(0x7fff_fff0), None);
    }

    #[test]
    fn a_zombie_has_ended() {
        // SAFETY: the child does nothing but end.
        #[allow(clippy::disallowed_methods)]
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            crate::process::exit_now(0);
        }
        let begun = std::time::Instant::now();
        while start_of(pid).is_some() && begun.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        assert_eq!(start_of(pid), None);
        let there = Identity::of(pid).is_some();
        crate::process::death::reap(pid);
        assert!(there, "until it is waited for");
        assert!(Identity::of(pid).is_none());
    }

    #[test]
    fn stat_lines() {
        let stat = "7 (a) b (c) S 1 2 3 4";
        assert_eq!((field(stat, 4), field(stat, 7)), (Some(1), Some(4)));
        assert_eq!((field(stat, 8), field("", 4)), (None, None));
    }

    #[test]
    fn other_files() {
        for text in [
            "",
            "7",
            "7\n",
            "0\nstart=1\nboot=x\n",
            "-1\nstart=1\nboot=x\n",
            "7\nstart=1\nboot=x\nmore\n",
        ] {
            assert_eq!(Identity::of_text(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in ".*") {
            let _ = Identity::of_text(&text);
            let _ = field(&text, 22);
        }
    }
}
