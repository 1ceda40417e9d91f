//! What /proc says of a process: age, CPU time, memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Process {
    /// Seconds since it was forked.
    pub(super) age: f64,
    /// Seconds of CPU time.
    pub(super) cpu: f64,
    pub(super) rss_bytes: u64,
}

/// Reading takes some 20 us per process: a flood of questions is answered from here.
#[derive(Default)]
pub(super) struct Cache {
    known: RefCell<(u64, BTreeMap<i32, Option<Process>>)>,
}

const FRESH_MS: u64 = 100;

impl Cache {
    pub(super) fn get(&self, pid: i32) -> Option<Process> {
        let now = crate::sys::now_ms();
        let mut known = self.known.borrow_mut();
        if now.saturating_sub(known.0) > FRESH_MS {
            *known = (now, BTreeMap::new());
        }
        *known.1.entry(pid).or_insert_with(|| read(pid))
    }
}

/// None: it is gone, or there is no /proc here.
fn read(pid: i32) -> Option<Process> {
    if pid <= 0 {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    // The clock of start times.
    let boot_seconds = seconds(i64::try_from(crate::sys::boot_ms()).ok()?) / 1e3;
    parse(&stat, ticks, u64::try_from(page).ok()?, boot_seconds)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn seconds(n: i64) -> f64 {
    n as f64
}

/// Pure. proc_pid_stat(5): the name may hold anything, so fields count from behind it.
fn parse(stat: &str, ticks: i64, page: u64, now: f64) -> Option<Process> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
    // The first field here is number 3 there.
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let time = |number| Some(seconds(field(number)?) / seconds(ticks));
    Some(Process {
        age: (now - time(22)?).max(0.0),
        cpu: time(14)? + time(15)?,
        rss_bytes: u64::try_from(field(24)?).ok()? * page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 1 0 1000 9 3 18446744073709551615 1";
        let found = parse(stat, 100, 4096, 15.5).unwrap();
        assert_eq!(
            found,
            Process {
                age: 5.5,
                cpu: 2.0,
                rss_bytes: 3 * 4096
            }
        );
        for bad in ["", "7 (a", "7 (a) S", "7 (a)"] {
            assert_eq!(parse(bad, 100, 4096, 1.0), None);
        }
    }

    #[test]
    fn this_process() {
        let me = read(std::process::id().cast_signed()).unwrap();
        assert!(me.rss_bytes > 0 && me.age >= 0.0);
        assert_eq!(read(0), None);
    }
}
