//! Who gets the token next. Pure.

/// A worker that is open for business.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) slot: usize,
    pub(super) load: u32,
    /// Has a token of the listener in question.
    pub(super) armed: bool,
    /// Takes no client for the moment.
    pub(super) paused: bool,
    /// It woke up some time ago and does not sleep yet: it may be blocked, or not be run.
    pub(super) late: bool,
}

/// What one look at all candidates tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// How many have a token and will use it.
    pub(super) armed: usize,
    /// How many have one and are late.
    pub(super) stuck: usize,
    /// The least loaded that could have one and has none. One that is late comes after
    /// all others.
    pub(super) best: Option<usize>,
    /// The least load of all others, with a token or without.
    pub(super) least: u32,
    /// That one is late.
    pub(super) best_is_late: bool,
}

impl Survey {
    /// Who is to have one more token, if there should be so many.
    pub(super) fn missing(&self, limit: usize) -> Option<usize> {
        // Where all are late, one more token helps nobody.
        let stuck = if self.best_is_late { self.stuck } else { 0 };
        self.best.filter(|_| self.armed + stuck < limit)
    }
}

/// Who looks, when it is no worker.
pub(super) const MASTER: usize = usize::MAX;

/// Slots fit in so many bits, see [`survey`].
const TURN_BITS: u32 = 20;
const TURN: u64 = (1 << TURN_BITS) - 1;
const NOBODY: u64 = u64::MAX;
/// Loads are 32 bits: this one is above all of them.
const LATE: u64 = 1 << (TURN_BITS + 32);

/// Slot `me` looks. Among equals the first after it wins, so that each gets its turn.
///
/// This runs once for each client, over all workers: load and turn are one number, and
/// the least of them wins. Who is out of the question has the greatest number there is;
/// no branch depends on what a row says, for that cannot be foreseen.
#[inline(always)]
pub(super) fn survey(candidates: impl Iterator<Item = Candidate>, me: usize) -> Survey {
    // MASTER + 1 is 0: to the master, slot 0 comes first.
    let first = u64::try_from(me.wrapping_add(1)).unwrap_or(0);
    let key = |worker: &Candidate| {
        let slot = u64::try_from(worker.slot).unwrap_or(0);
        let late = u64::from(worker.late & (worker.slot != me));
        late << (TURN_BITS + 32)
            | u64::from(worker.load) << TURN_BITS
            | slot.wrapping_sub(first) & TURN
    };
    let none_if = |out: bool| 0u64.wrapping_sub(out.into());
    let (mut armed, mut stuck, mut best, mut least) = (0, 0, NOBODY, u32::MAX);
    for worker in candidates {
        let holds = !worker.paused & worker.armed;
        armed += usize::from(holds & !worker.late);
        stuck += usize::from(holds & worker.late);
        best = best.min(key(&worker) | none_if(worker.paused | worker.armed));
        let other = !(worker.paused | worker.late | (worker.slot == me));
        least = least.min(if other { worker.load } else { u32::MAX });
    }
    let slot = |key: u64| usize::try_from((key & TURN).wrapping_add(first) & TURN).unwrap_or(0);
    Survey {
        armed,
        stuck,
        best: (best != NOBODY).then(|| slot(best)),
        least,
        best_is_late: best & LATE != 0,
    }
}

/// The least load of all but slot `me`.
pub(super) fn rival(candidates: impl Iterator<Item = Candidate>, me: usize) -> Option<u32> {
    let others = candidates.filter(|worker| !worker.paused && worker.slot != me);
    others.map(|worker| worker.load).min()
}

/// What a worker does with the token in its hand after it accepted a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Give it to that slot.
    Pass(usize),
    /// Throw it away: the others have as many as there should be.
    Drop,
    /// Keep it, behind the others: all that have none are busier.
    Requeue,
    /// Keep it and the place: all others are busier.
    Keep,
}

/// `load` is the load of slot `me`, the client just accepted included; it may be above the
/// least one by `slack` and keep the token. The survey is its own, and counts it among those
/// without a token. `rival`, as above, is asked for only when it matters.
pub(super) fn turn(
    me: usize,
    load: u32,
    slack: u32,
    survey: Survey,
    limit: usize,
    rival: impl FnOnce() -> Option<u32>,
) -> Turn {
    match survey.best {
        _ if survey.armed >= limit => Turn::Drop,
        Some(_) if slack > 0 && load.saturating_sub(slack) <= survey.least => Turn::Keep,
        Some(slot) if slot != me => Turn::Pass(slot),
        _ if rival().is_some_and(|rival| rival <= load) => Turn::Requeue,
        _ => Turn::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantum::Quantum;
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// The workers, and the kernel's exclusive wait queue of one listener.
    #[derive(Debug, Default)]
    struct World {
        load: Vec<u32>,
        /// Clients that left.
        gone: Vec<u64>,
        quantum: Vec<Quantum>,
        paused: Vec<bool>,
        /// In a step, stopped, or anything but asleep in its wait.
        busy: Vec<bool>,
        /// Has that been so for a while? All look at the same time.
        late: bool,
        queue: VecDeque<usize>,
        now: u64,
        k: usize,
        extra: usize,
    }

    impl World {
        fn new(workers: usize, k: usize) -> Self {
            let mut world = Self {
                load: vec![0; workers],
                gone: vec![0; workers],
                quantum: vec![Quantum::default(); workers],
                paused: vec![false; workers],
                busy: vec![false; workers],
                k,
                ..Self::default()
            };
            world.top_up();
            world
        }

        fn candidates(&self) -> impl Iterator<Item = Candidate> {
            let candidate = |slot| Candidate {
                slot,
                load: self.load[slot],
                armed: self.queue.contains(&slot),
                paused: self.paused[slot],
                late: self.late && self.busy[slot],
            };
            (0..self.load.len()).map(candidate)
        }

        fn survey(&self, after: usize) -> Survey {
            survey(self.candidates(), after)
        }

        fn top_up(&mut self) {
            while let Some(slot) = self.survey(MASTER).missing(self.k + self.extra) {
                self.queue.push_back(slot);
            }
        }

        /// A client comes; the slot that accepts it. `None`: nobody can.
        fn arrive(&mut self) -> Option<usize> {
            while self.queue.iter().all(|slot| self.busy[*slot]) {
                // The sentinel: one more token.
                let slot = self.survey(MASTER).best?;
                self.extra += 1;
                self.queue.push_back(slot);
            }
            let place = self.queue.iter().position(|slot| !self.busy[*slot])?;
            let slot = self.queue[place];
            self.load[slot] += 1;
            let slack = self.quantum[slot].slack(self.gone[slot], self.now);
            if slack == 0 || !self.quantum[slot].goes_on(self.load[slot]) {
                self.hand_on(place, slack);
            }
            Some(slot)
        }

        fn hand_on(&mut self, place: usize, slack: u32) {
            let Some(slot) = self.queue.remove(place) else {
                return;
            };
            let limit = self.k + self.extra;
            let rival = || rival(self.candidates(), slot);
            let seen = self.survey(slot);
            let next = turn(slot, self.load[slot], slack, seen, limit, rival);
            match next {
                Turn::Pass(next) => {
                    self.queue.push_back(next);
                    if seen.stuck > 0 {
                        self.top_up();
                    }
                }
                Turn::Drop => {}
                Turn::Requeue => self.queue.push_back(slot),
                Turn::Keep => self.queue.insert(place, slot),
            }
            if next == Turn::Keep && slack > 0 {
                self.quantum[slot].kept(seen.least.saturating_add(slack));
            } else {
                self.quantum[slot].is_over(self.gone[slot]);
            }
        }

        /// What it did took long.
        fn last_long(&mut self, slot: usize) {
            self.now += 1_000_000;
            let on = self.quantum[slot].is_on();
            if on && self.quantum[slot].was_long(0, self.now, self.gone[slot]) {
                let place = self.queue.iter().position(|armed| *armed == slot);
                place.into_iter().for_each(|place| self.hand_on(place, 0));
            }
        }

        fn act(&mut self, act: Act) -> Result<(), TestCaseError> {
            let workers = self.load.len();
            match act {
                Act::Arrive => {
                    let able = (0..workers).any(|w| !self.busy[w] && !self.paused[w]);
                    let taken = self.arrive();
                    prop_assert_eq!(taken.is_some(), able, "{:?}", self);
                }
                Act::Leave(w) if self.load[w % workers] > 0 => {
                    self.load[w % workers] -= 1;
                    self.gone[w % workers] += 1;
                }
                Act::Leave(_) => {}
                Act::Long(w) => self.last_long(w % workers),
                Act::Busy(w) => self.busy[w % workers] ^= true,
                Act::Time => self.late ^= true,
                Act::Pause(w) => {
                    self.paused[w % workers] ^= true;
                    let paused = &self.paused;
                    self.queue.retain(|slot| !paused[*slot]);
                    self.top_up();
                }
                Act::Calm => self.extra = 0,
            }
            let eligible = self.paused.iter().filter(|paused| !**paused).count();
            prop_assert!(self.queue.len() >= self.k.min(eligible), "{:?}", self);
            Ok(())
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Arrive,
        Leave(usize),
        Busy(usize),
        Long(usize),
        Pause(usize),
        /// Those that are busy begin to be late, or have just begun to be busy.
        Time,
        /// The extra tokens of an alarm run out.
        Calm,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            8 => Just(Act::Arrive),
            4 => any::<usize>().prop_map(Act::Leave),
            2 => any::<usize>().prop_map(Act::Busy),
            1 => any::<usize>().prop_map(Act::Long),
            1 => any::<usize>().prop_map(Act::Pause),
            1 => Just(Act::Time),
            1 => Just(Act::Calm),
        ];
        proptest::collection::vec(act, 0..300)
    }

    proptest! {
        /// Liveness: as long as one worker is awake and willing, every client is
        /// accepted. Fairness: when all are, the loads become equal.
        #[test]
        fn every_client_is_taken_and_loads_become_equal(
            workers in 2usize..20, k in 1usize..10, acts in acts()
        ) {
            let k = k.min(workers);
            let mut world = World::new(workers, k);
            for act in acts {
                world.act(act)?;
            }

            world.busy.fill(false);
            world.paused.fill(false);
            world.extra = 0;
            world.top_up();
            let most = world.load.iter().max().map_or(0, |load| *load as usize);
            for _ in 0..(most + 2) * workers * 2 {
                prop_assert!(world.arrive().is_some());
            }
            let (least, most) = (world.load.iter().min(), world.load.iter().max());
            // With more tokens there are too few unarmed ones to choose from.
            if 2 * k <= workers {
                prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", world);
            }
            prop_assert_eq!(world.queue.len(), k);
        }
    }

    fn candidate(slot: usize, load: u32) -> Candidate {
        Candidate {
            slot,
            load,
            armed: false,
            paused: false,
            late: false,
        }
    }

    #[test]
    fn equals_take_turns() {
        let all = [0, 1, 2].map(|slot| candidate(slot, 5));
        let best = |me| survey(all.into_iter(), me).best;
        assert_eq!(best(0), Some(1));
        assert_eq!(best(1), Some(2));
        assert_eq!(best(2), Some(0));
        assert_eq!(best(MASTER), Some(0));
    }

    #[test]
    fn the_token_goes_to_the_least_loaded_or_stays() {
        let turn = |mine: u32, limit| {
            let others = [(1, 5, true), (2, 6, false), (3, 7, false)];
            let of = |(slot, load, armed)| Candidate {
                armed,
                ..candidate(slot, load)
            };
            let all = || others.into_iter().map(of).chain([candidate(0, mine)]);
            turn(0, mine, 0, survey(all(), 0), limit, || rival(all(), 0))
        };
        assert_eq!(turn(4, 2), Turn::Keep);
        assert_eq!(turn(5, 2), Turn::Requeue);
        assert_eq!(turn(6, 2), Turn::Pass(2));
        assert_eq!(turn(4, 1), Turn::Drop);
    }

    #[test]
    fn whoever_is_late_comes_last_and_its_token_does_not_count() {
        let late = |slot, armed| Candidate {
            armed,
            late: true,
            ..candidate(slot, 0)
        };
        let seen = |all: &[Candidate]| survey(all.iter().copied(), 0);
        let some = seen(&[
            candidate(0, 9),
            late(1, true),
            late(2, false),
            candidate(3, 7),
        ]);
        assert_eq!((some.armed, some.stuck, some.best), (0, 1, Some(3)));
        assert_eq!(some.missing(1), Some(3));
        // All others are late: theirs count, and there is one more only if one is missing.
        let all = seen(&[late(1, true), late(2, false)]);
        assert_eq!((all.missing(1), all.missing(2)), (None, Some(2)));
        // Whoever looks is at work, and so not late.
        assert_eq!(seen(&[late(0, false), late(1, false)]).best, Some(0));
    }

    #[test]
    fn the_lone_worker_keeps_its_token() {
        let alone = || [candidate(0, 9)].into_iter();
        let next = turn(0, 9, 0, survey(alone(), 0), 1, || rival(alone(), 0));
        assert_eq!(next, Turn::Keep);
    }
}
