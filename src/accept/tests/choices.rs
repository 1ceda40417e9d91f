//! The pure schedule, through any sequence of what may happen: who is chosen, and whether
//! somebody always is.
//! flow: M5, L5

use super::choose::{Candidate, EVEN, Limit, MASTER, Survey, Turn, survey, turn};
use super::quantum::Quantum;
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
    k: u32,
    extra: u32,
}

impl World {
    fn new(workers: usize, k: u32) -> Self {
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

    fn limit(&self) -> Limit {
        Limit::of(self.k, self.extra, 0)
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
        while let Some(slot) = self.survey(MASTER).missing(self.limit()) {
            self.queue.push_back(slot);
        }
    }

    /// A client comes; the slot that accepts it. `None`: nobody can.
    fn arrive(&mut self) -> Option<usize> {
        while self.queue.iter().all(|slot| self.busy[*slot]) {
            // The sentinel gives them time, and adds a token.
            let waited = |worker: Candidate| Candidate {
                late: self.busy[worker.slot],
                ..worker
            };
            let seen = survey(self.candidates().map(waited), MASTER);
            assert!(!seen.is_uneven());
            let slot = seen.best?;
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
        let seen = self.survey(slot);
        let next = turn(slot, self.load[slot], slack, seen, self.limit());
        match next {
            Turn::Pass(next) => self.queue.push_back(next),
            Turn::Drop => {}
            Turn::Requeue => self.queue.push_back(slot),
            Turn::Keep => self.queue.insert(place, slot),
        }
        if next != Turn::Drop && seen.lacks_some(self.limit()) {
            self.top_up();
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
        let quantum = &mut self.quantum[slot];
        let timed = quantum.is_on() && quantum.is_timed(self.now);
        if timed && self.quantum[slot].was_long(0, self.now, self.gone[slot]) {
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
        let always = self.limit().always as usize;
        prop_assert!(self.queue.len() >= always.min(eligible), "{:?}", self);
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
        workers in 2usize..20, k in 1u32..10, acts in acts(), calm: bool
    ) {
        let k = k.min(workers as u32);
        let mut world = World::new(workers, k);
        for act in acts {
            world.act(act)?;
        }

        world.busy.fill(false);
        world.paused.fill(false);
        if calm {
            world.extra = 0;
        }
        world.top_up();
        let most = world.load.iter().max().map_or(0, |load| *load as usize);
        // Whoever has credit may take eight before the others get theirs.
        for _ in 0..(most + 8) * workers * 2 {
            prop_assert!(world.arrive().is_some());
        }
        let (least, most) = (world.load.iter().min(), world.load.iter().max());
        let even = match world.extra {
            0 if 2 * k as usize <= workers => 1,
            // There are too few to choose from that have none.
            _ => 1 + EVEN,
        };
        // Where each of two has one whatever its load, they take turns.
        if k == 1 || workers > 2 {
            prop_assert!(most.unwrap() - least.unwrap() <= even, "{:?}", world);
        }
        prop_assert!((k..=k + world.extra).contains(&(world.queue.len() as u32)));
    }
}
