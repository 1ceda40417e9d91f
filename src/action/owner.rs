//! Who may act on a store's instances: the fence. Pure, but for what /proc says.
//!
//! The store's record `owner` names the controller that acts. A controller writes it when
//! it begins, and every later write of its names the version which the record got: as
//! soon as another has taken over, none of them counts any more.

use crate::daemon::identity;
use std::fmt::Write as _;

/// A controller, as it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// One run of dtm_run(); its controllers have rising epochs.
    pub(crate) run: String,
    /// The control lock's epoch, from the master.
    pub(crate) epoch: u64,
    /// This start of the machine.
    pub(crate) boot: String,
    pub(crate) pid: i32,
    /// When that process began, in the kernel's ticks: pids come again.
    pub(crate) began: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Allowed,
    /// By another service, whose controller is alive.
    Taken,
    /// A later controller of our own run has it: we are the old one.
    Fenced,
}

impl Owner {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = String::from("dtm-owner 1\n");
        let _ = write!(
            text,
            "run {}\nepoch {}\nboot {}\npid {}\nbegan {}\n",
            self.run, self.epoch, self.boot, self.pid, self.began
        );
        text.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        (value("dtm-owner")? == "1").then_some(())?;
        Some(Self {
            run: value("run")?.to_owned(),
            epoch: value("epoch")?.parse().ok()?,
            boot: value("boot")?.to_owned(),
            pid: value("pid")?.parse().ok()?,
            began: value("began")?.parse().ok()?,
        })
    }

    /// May `self` take over from `old`?
    pub(crate) fn claim(&self, old: &Self, alive: impl Fn(&Self) -> bool) -> Claim {
        if self.run == old.run {
            return match old.epoch > self.epoch {
                true => Claim::Fenced,
                false => Claim::Allowed,
            };
        }
        match self.boot == old.boot && alive(old) {
            true => Claim::Taken,
            false => Claim::Allowed,
        }
    }

    /// This process.
    pub(crate) fn myself(run: &str, epoch: u64) -> Self {
        let pid = nix::unistd::getpid().as_raw();
        Self {
            run: run.to_owned(),
            epoch,
            boot: identity::boot(),
            pid,
            began: identity::start_of(pid).unwrap_or(0),
        }
    }

    /// Does the process that signed still run?
    pub(crate) fn runs(&self) -> bool {
        identity::start_of(self.pid) == Some(self.began)
    }
}

/// A name that nobody else has: of a run, of a store.
pub(crate) fn unique() -> String {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer with its length.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got != 8 {
        bytes = crate::sys::now_ns().to_le_bytes();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(run: &str, epoch: u64) -> Owner {
        Owner {
            epoch,
            ..Owner::myself(run, 0)
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let me = owner("a", 7);
        assert_eq!(Owner::decode(&me.encode()), Some(me));
        assert_eq!(Owner::decode(b"dtm-owner 2\nrun a\n"), None);
    }

    #[test]
    fn a_run_goes_forward_only() {
        let (old, new) = (owner("a", 1), owner("a", 2));
        assert_eq!(new.claim(&old, |_| true), Claim::Allowed);
        assert_eq!(old.claim(&new, |_| true), Claim::Fenced);
        assert_eq!(new.claim(&new, |_| true), Claim::Allowed);
    }

    #[test]
    fn another_run_waits_for_the_death_of_the_owner() {
        let (old, new) = (owner("a", 9), owner("b", 1));
        assert_eq!(new.claim(&old, Owner::runs), Claim::Taken);
        assert_eq!(new.claim(&old, |_| false), Claim::Allowed);
        let elsewhere = Owner {
            boot: "another start of the machine".into(),
            ..old
        };
        assert_eq!(new.claim(&elsewhere, |_| true), Claim::Allowed);
        let reused = Owner {
            began: 1,
            ..owner("a", 9)
        };
        assert_eq!(new.claim(&reused, Owner::runs), Claim::Allowed);
    }
}
