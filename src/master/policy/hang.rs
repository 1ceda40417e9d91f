//! Who hangs. A process that is at work is looked at from time to time; when it stands
//! where it stood at the last look, it has made no progress for one period.
//!
//! Only time in which the master looked counts: each look adds at most one period. So
//! nobody is killed because the master was stopped, the whole tree frozen, or the
//! machine asleep, however long that took.

use super::Ms;

/// What one look at a process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It waits for something to do.
    Asleep,
    /// At work; whoever gets on has another mark.
    Busy { mark: u64 },
    /// The kernel says that it is stopped.
    Stopped,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    spawn: u64,
    stand: Stand,
    stuck: Ms,
    /// It asked for more time: it may be stuck for so long.
    allowed: Ms,
    told: bool,
}

pub(crate) struct Hangs {
    seen: Vec<Option<Seen>>,
    last: Option<Ms>,
}

/// It has been stuck for longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hung {
    pub(crate) slot: usize,
    pub(crate) spawn: u64,
    pub(crate) stuck: Ms,
}

impl Hangs {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            seen: vec![None; slots],
            last: None,
        }
    }

    /// A look at everybody: per slot, the spawn and how it stands. Each one that hangs is
    /// told of once.
    pub(crate) fn look(
        &mut self,
        now: Ms,
        period: Ms,
        limit: Ms,
        stands: impl Iterator<Item = (usize, u64, Stand)>,
    ) -> Vec<Hung> {
        let passed = self.last.map_or(0, |last| now.saturating_sub(last));
        self.last = Some(now);
        let mut hung = Vec::new();
        for (slot, spawn, stand) in stands {
            let seen = self.observe(slot, spawn, stand, passed.min(period));
            if stand != Stand::Asleep && !seen.told && seen.stuck >= limit.max(seen.allowed) {
                seen.told = true;
                let stuck = seen.stuck;
                hung.push(Hung { slot, spawn, stuck });
            }
        }
        hung
    }

    /// Nobody looks for a while: what was seen is old.
    pub(crate) fn pause(&mut self) {
        self.last = None;
        self.seen.fill(None);
    }

    /// It asks for so much more, from where it stands now. `None`: for ever.
    pub(crate) fn extend(&mut self, slot: usize, spawn: u64, stand: Stand, ms: Option<Ms>) {
        let seen = self.observe(slot, spawn, stand, 0);
        seen.allowed = ms.map_or(Ms::MAX, |ms| seen.stuck.saturating_add(ms));
    }

    /// A debugger holds it: it begins anew.
    pub(crate) fn excuse(&mut self, slot: usize) {
        self.seen[slot] = None;
    }

    fn observe(&mut self, slot: usize, spawn: u64, stand: Stand, passed: Ms) -> &mut Seen {
        let fresh = Seen {
            spawn,
            stand,
            stuck: 0,
            allowed: 0,
            told: false,
        };
        let same = |seen: &Seen| (seen.spawn, seen.stand) == (spawn, stand);
        let before = self.seen[slot].filter(same);
        self.seen[slot].insert(before.map_or(fresh, |seen| Seen {
            stuck: seen.stuck + passed,
            ..seen
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Ms = 1_000;
    const PERIOD: Ms = 100;

    fn busy(mark: u64) -> Stand {
        Stand::Busy { mark }
    }

    /// One look at a process in slot 0; for how long it has been stuck, if it hangs.
    fn look(hangs: &mut Hangs, now: Ms, spawn: u64, stand: Stand) -> Option<Ms> {
        let hung = hangs.look(now, PERIOD, LIMIT, std::iter::once((0, spawn, stand)));
        hung.first().map(|h| h.stuck)
    }

    /// When it is found to hang, looked at in each period from `from` on.
    fn found(hangs: &mut Hangs, from: Ms, stand: Stand) -> Option<Ms> {
        let mut looks = (from..from + 10 * LIMIT).step_by(usize::try_from(PERIOD).unwrap());
        looks.find(|now| look(hangs, *now, 1, stand).is_some())
    }

    #[test]
    fn found_at_the_limit_and_told_once() {
        for stand in [busy(3), Stand::Stopped] {
            let mut hangs = Hangs::new(1);
            assert_eq!(found(&mut hangs, 5_000, stand), Some(6_000));
            assert_eq!(found(&mut hangs, 6_100, stand), None);
        }
    }

    #[test]
    fn who_sleeps_or_gets_on_does_not_hang() {
        let mut hangs = Hangs::new(1);
        assert_eq!(found(&mut hangs, 0, Stand::Asleep), None);
        for n in 0..100 {
            assert_eq!(look(&mut hangs, 100_000 + n * 900, 1, busy(n)), None);
        }
    }

    /// A12, A13, H2: what lies between two looks counts for no more than a period.
    #[test]
    fn time_without_looks_does_not_count() {
        let mut hangs = Hangs::new(1);
        for now in [0, 100, 3_600_000, 3_600_100, 86_400_000, 86_400_100] {
            assert_eq!(look(&mut hangs, now, 1, busy(1)), None, "{now}");
        }
        // 5 periods; 5 more are needed.
        assert_eq!(found(&mut hangs, 86_400_200, busy(1)), Some(86_400_600));
    }

    #[test]
    fn a_successor_begins_anew() {
        let mut hangs = Hangs::new(1);
        for n in 0..10 {
            assert_eq!(look(&mut hangs, n * 100, 1, busy(1)), None);
        }
        assert_eq!(look(&mut hangs, 1_000, 2, busy(1)), None);
    }

    #[test]
    fn more_time_is_for_this_callback() {
        let mut hangs = Hangs::new(1);
        assert_eq!(look(&mut hangs, 0, 1, busy(1)), None);
        hangs.extend(0, 1, busy(1), Some(3_000));
        assert_eq!(found(&mut hangs, 100, busy(1)), Some(3_000));
        hangs.extend(0, 1, busy(2), None);
        assert_eq!(found(&mut hangs, 4_000, busy(2)), None);
        let at = found(&mut hangs, 20_000, busy(3)).unwrap();
        assert_eq!(at, 21_000);
        hangs.excuse(0);
        assert_eq!(found(&mut hangs, 30_000, busy(3)), Some(31_000));
    }

    proptest! {
        /// Whatever the rhythm: nobody is told of before `limit` of looked-at time, and
        /// who stays stuck is told of in the end.
        #[test]
        fn never_early_and_not_never(gaps in prop::collection::vec(0..5_000u64, 1..100)) {
            let mut hangs = Hangs::new(1);
            let (mut now, mut counted) = (0, 0);
            prop_assert_eq!(look(&mut hangs, now, 1, busy(1)), None);
            let mut told = false;
            for gap in gaps {
                now += gap;
                counted += gap.min(PERIOD);
                let hung = look(&mut hangs, now, 1, busy(1)).is_some();
                prop_assert_eq!(hung, !told && counted >= LIMIT);
                told |= hung;
            }
        }
    }
}
