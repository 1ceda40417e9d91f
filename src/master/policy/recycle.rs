//! Workers that are replaced although nothing is wrong with them: after so many clients or
//! requests, at an age, when idle for long, when large. The successor comes first: a worker
//! is told to leave when the other one is open, so that there is never one less.

use super::*;
use crate::config::Recycle;
use crate::ffi::{DTM_EGONE, DTM_OK};

/// What the master has found out about one open worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) slot: usize,
    pub(crate) spawn: u64,
    /// Accepted by this process.
    pub(crate) clients: u64,
    /// Served by this process.
    pub(crate) requests: u64,
    /// Without any client for so long.
    pub(crate) idle: Ms,
    /// MiB; only if there is a limit.
    pub(crate) memory: Option<u64>,
}

impl Recycle {
    /// The limit of the worker with this index: so many percent more than its neighbour's,
    /// from the start again behind twice the limit.
    fn of(&self, limit: u64, index: u32) -> u64 {
        let percent = self.stagger.saturating_mul(index.into()) % 101;
        limit.saturating_add(limit.saturating_mul(percent) / 100)
    }

    /// Why this worker is to be replaced.
    fn due(&self, usage: &Usage, index: u32, age: Ms) -> Option<Worn> {
        let over = |limit: Option<u64>, value: u64| {
            limit.is_some_and(|limit| value >= self.of(limit, index))
        };
        let why = [
            (over(self.clients, usage.clients), Worn::Clients),
            (over(self.requests, usage.requests), Worn::Requests),
            (over(self.age, age), Worn::Age),
            (over(self.idle, usage.idle), Worn::Idle),
            // A limit of memory is one for each of them: nothing is added.
            (
                self.memory_soft
                    .zip(usage.memory)
                    .is_some_and(|(soft, m)| m >= soft),
                Worn::Memory,
            ),
        ];
        let found = why.into_iter().find(|(is_over, _)| *is_over);
        found.map(|(_, why)| why).filter(|_| age >= self.min_age)
    }
}

impl Policy {
    /// The master has looked at its workers.
    pub(super) fn looked(&mut self, usages: &[Usage], now: Ms, out: &mut Actions) {
        for usage in usages {
            self.limit_memory(usage, out);
        }
        if self.reload.is_some() || self.loading.is_some() || self.stopped || self.banned {
            return;
        }
        // The oldest first: each gets its turn, however quickly the young ones are used up.
        let mut usages = usages.to_vec();
        usages.sort_by_key(|usage| usage.spawn);
        for usage in &usages {
            if self.recycling() >= self.settings.recycle.parallel {
                return;
            }
            if let Some(why) = self.due(usage, now) {
                self.recycle(usage.slot, why, now, out);
            }
        }
    }

    /// What is far too large is not asked.
    fn limit_memory(&mut self, usage: &Usage, out: &mut Actions) {
        let hard = self.settings.recycle.memory_hard;
        let over = hard
            .zip(usage.memory)
            .is_some_and(|(hard, used)| used >= hard);
        let alive = self
            .child(usage.slot, usage.spawn)
            .is_some_and(|c| c.ends.is_none());
        if over && alive {
            let (slot, signal) = (usage.slot, libc::SIGKILL);
            self.condemn(slot, Reason::Memory, 0, out);
            out.push(Action::Kill { slot, signal });
            let why = "it uses more than memory_hard";
            out.push(Action::Note(Note::Killed { slot, why }));
        }
    }

    /// How many are on their way out, or wait for their successor.
    fn recycling(&self) -> u32 {
        let leaving = |s: &&Slot| s.child.as_ref().is_some_and(|c| c.recycled);
        let count = self.slots.iter().filter(leaving).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn due(&mut self, usage: &Usage, now: Ms) -> Option<Worn> {
        let slot = &self.slots[usage.slot];
        let (Some(Job::Worker { index }), Some(child)) = (slot.job, slot.running()) else {
            return None;
        };
        let fit = child.spawn == usage.spawn
            && child.phase == Phase::Open
            && !child.recycled
            && child.ends.is_none()
            && slot.generation == self.serving
            && slot.recycle_after <= now;
        let age = now.saturating_sub(child.opened?);
        self.settings.recycle.due(usage, index, age).filter(|_| fit)
    }

    /// Fork a successor for this slot's worker. False: there is no free slot for it.
    fn recycle(&mut self, at: usize, why: Worn, now: Ms, out: &mut Actions) -> bool {
        let free = self.slots.iter().position(Slot::is_free);
        let (Some(free), Some(job)) = (free, self.slots[at].job) else {
            // Not tried again at once: there may be none for long.
            self.slots[at].recycle_after = now + self.settings.window_ms;
            return false;
        };
        let generation = self.slots[at].generation;
        let Some(child) = self.slots[at].child.as_mut() else {
            return false;
        };
        child.recycled = true;
        let spawn = child.spawn;
        self.assign(free, job, generation, now);
        self.slots[free].replaces = Some(spawn);
        self.counts.one_more(why.count());
        out.push(Action::Note(Note::Recycle { slot: at, why }));
        true
    }

    /// A worker has opened: if it is a successor, the other one may go.
    pub(super) fn succeeded(&mut self, at: usize, now: Ms, out: &mut Actions) {
        let Some(spawn) = self.slots[at].replaces.take() else {
            return;
        };
        if let Some(old) = self.slot_of(spawn) {
            self.tell(old, Order::Drain, Leave::Recycle, now, out);
        }
    }

    fn slot_of(&self, spawn: u64) -> Option<usize> {
        let of = |s: &Slot| s.child.as_ref().is_some_and(|c| c.spawn == spawn);
        self.slots.iter().position(of)
    }

    /// A worker died that was to be replaced: its successor is its replacement. True:
    /// there is one.
    pub(super) fn has_successor(&mut self, spawn: u64) -> bool {
        let successor = self.slots.iter_mut().find(|s| s.replaces == Some(spawn));
        successor.map(|slot| slot.replaces = None).is_some()
    }

    /// A successor that cannot start is given up: the one that it was for serves on.
    pub(super) fn keep_the_old(&mut self, at: usize, now: Ms) -> bool {
        let Some(old) = self.slots[at]
            .replaces
            .and_then(|spawn| self.slot_of(spawn))
        else {
            return false;
        };
        self.slots[old].recycle_after = now + self.settings.window_ms;
        if let Some(child) = self.slots[old].child.as_mut() {
            child.recycled = false;
        }
        self.slots[at].release();
        true
    }

    /// DTM_CMD_RECYCLE: this one, now, whatever the limits are.
    pub(super) fn ask_recycle(&mut self, asker: Asker, spawn: u64, now: Ms, out: &mut Actions) {
        let open = |s: &Slot| s.running().is_some_and(|c| c.phase == Phase::Open);
        let found = self.slot_of(spawn).filter(|at| {
            let slot = &self.slots[*at];
            slot.is_worker() && open(slot) && slot.generation == self.serving
        });
        let again = |s: &Slot| s.child.as_ref().is_some_and(|c| c.recycled);
        let (code, text) = match found {
            _ if self.reload.is_some() => (-libc::EBUSY, "a reload is in progress".into()),
            None => (DTM_EGONE, format!("no open worker has spawn id {spawn}")),
            Some(at) if again(&self.slots[at]) => (-libc::EBUSY, "it is being replaced".into()),
            Some(at) if self.recycle(at, Worn::Asked, now, out) => {
                (DTM_OK, "it leaves when its successor is open".into())
            }
            Some(_) => {
                let text = "no free slot for its successor; raise max_processes";
                (-libc::ENOSPC, text.into())
            }
        };
        out.push(Action::Reply { asker, code, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(stagger: u64) -> Recycle {
        Recycle {
            clients: None,
            requests: Some(1_000),
            age: None,
            idle: None,
            memory_soft: None,
            memory_hard: None,
            stagger,
            min_age: 10_000,
            parallel: 1,
        }
    }

    fn after(requests: u64) -> Usage {
        Usage {
            requests,
            ..Usage::default()
        }
    }

    /// Q1: under equal load, worker i leaves at least i * delta after the first.
    #[test]
    fn limits_are_spread_over_the_workers() {
        let ends: Vec<u64> = (0..8).map(|i| limits(10).of(1_000, i)).collect();
        assert_eq!(
            ends,
            [1_000, 1_100, 1_200, 1_300, 1_400, 1_500, 1_600, 1_700]
        );
        assert_eq!(limits(0).of(1_000, 500), 1_000);
    }

    #[test]
    fn nobody_is_recycled_young() {
        assert_eq!(limits(10).due(&after(5_000), 0, 9_999), None);
        assert_eq!(
            limits(10).due(&after(5_000), 0, 10_000),
            Some(Worn::Requests)
        );
        assert_eq!(limits(10).due(&after(999), 0, 10_000), None);
    }

    proptest! {
        #[test]
        fn a_limit_is_never_below_nor_above_twice_itself(
            limit in 0..1u64 << 40, stagger in 0..=100u64, index in 0..512u32,
        ) {
            let own = limits(stagger).of(limit, index);
            prop_assert!((limit..=2 * limit).contains(&own));
        }
    }
}
