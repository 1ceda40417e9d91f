//! Block B, controller to master: no new process may be forked for a while.
//!
//! The ban is a wish that ends by itself: at its deadline, or with the
//! controller that made it. So no death and no mistake can stop forking for ever.

use super::{Latch, Region};
use crate::error::Result;

/// A ban as it was last published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Notice {
    /// Counts the changes.
    pub(crate) epoch: u64,
    /// The controller that wrote it.
    pub(crate) owner: u64,
    /// When it ends, CLOCK_MONOTONIC in ms.
    pub(crate) deadline: u64,
    pub(crate) active: bool,
}

impl Notice {
    /// Is forking forbidden now, when `controller` is the one alive (0: none)
    /// and no ban may last longer than `longest` ms?
    pub(crate) fn in_force(&self, controller: u64, now: u64, longest: u64) -> bool {
        let left = self.deadline.saturating_sub(now);
        self.active && self.owner == controller && controller != 0 && (1..=longest).contains(&left)
    }
}

pub(crate) struct Ban {
    region: Region,
    /// Longest time that the master puts up with, ms.
    longest: u64,
}

const PAYLOAD: usize = 3;
const WORDS: usize = Latch::words(PAYLOAD);

impl Ban {
    pub(crate) fn new(longest_ms: u64) -> Result<Self> {
        let region = Region::new("dtm-nofork", WORDS * size_of::<u64>())?;
        Ok(Self {
            region,
            longest: longest_ms,
        })
    }

    /// In every child but the controller.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.region.make_read_only()
    }

    /// Controller: forbid forking until `deadline`, at most for the longest
    /// time. It holds once the master has answered: until then a fork may be
    /// under way. Returns the epoch.
    pub(crate) fn set(&self, owner: u64, deadline: u64, now: u64) -> u64 {
        let deadline = deadline.min(now.saturating_add(self.longest));
        self.latch().publish([owner, deadline, 1])
    }

    /// Controller: allow forking again.
    pub(crate) fn clear(&self, owner: u64) -> u64 {
        self.latch().publish([owner, 0, 0])
    }

    /// Master, before every fork. While the notice is being rewritten faster
    /// than it can be read the answer is yes.
    pub(crate) fn in_force(&self, controller: u64, now: u64) -> bool {
        self.read()
            .is_none_or(|notice| notice.in_force(controller, now, self.longest))
    }

    pub(crate) fn read(&self) -> Option<Notice> {
        let mut record = [0; PAYLOAD];
        let epoch = self.latch().read(&mut record)?;
        let [owner, deadline, active] = record;
        Some(Notice {
            epoch,
            owner,
            deadline,
            active: active != 0,
        })
    }

    fn latch(&self) -> Latch<'_> {
        Latch::new(self.region.u64s(0, WORDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_by_order_by_deadline_or_with_its_owner() {
        let ban = Ban::new(60_000).unwrap();
        assert!(!ban.in_force(5, 1000));

        ban.set(5, 3000, 1000);
        assert!(ban.in_force(5, 1000));
        assert!(ban.in_force(5, 2999));
        assert!(!ban.in_force(5, 3000), "the deadline");
        assert!(!ban.in_force(6, 1000), "another controller");
        assert!(!ban.in_force(0, 1000), "no controller");

        assert_eq!(ban.clear(5), 2);
        assert!(!ban.in_force(5, 1000));
    }

    #[test]
    fn no_ban_is_longer_than_the_longest() {
        let ban = Ban::new(100).unwrap();
        ban.set(5, u64::MAX, 1000);
        assert!(ban.in_force(5, 1000));
        assert!(!ban.in_force(5, 1100));

        // Not even one that was scribbled into the memory.
        ban.latch().publish([5, u64::MAX, 1]);
        assert!(!ban.in_force(5, 1000));
    }
}
