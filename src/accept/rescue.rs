//! What the master does about a queue that nobody serves.

use super::choose::MASTER;
use super::door::{Door, Kind};
use super::handover::HandOver;
use super::lock;
use super::mode::Mode;
use super::schedule::Schedule;
use super::sentinel::{AGAIN, NOBODY, PATIENCE};
use super::words::Told;
use crate::bpf::away;
use std::sync::atomic::Ordering::*;

/// What is to be done about one door.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Wait(u64),
    /// Others wait there now than at the last look.
    Served,
    Take,
    /// These make a pass, when they can; look again after so many ms.
    Nudge(Vec<usize>, u64),
}

impl Schedule {
    pub(super) fn consider(
        &self,
        door: Door,
        first: bool,
        moved: bool,
        waited: u64,
        now: u64,
    ) -> Act {
        let mode = self.pool.mode(door.listener);
        let served_here = match door.kind {
            Kind::Own { slot } => mode.is_own() && self.pool.takes_clients(slot),
            Kind::Shared { group } => mode.is_queue() || mode == Mode::Lock && group == 0,
        };
        if !served_here {
            return self.take_or_wait(door);
        }
        let late = matches!(door.kind, Kind::Shared { .. }) && self.all_late(door);
        if late && !self.own_loops {
            return self.rescue(door, waited, now); // they had time enough
        }
        if first && self.is_resting() && self.gets_on(door) {
            return Act::Served; // where clients come thick and fast, one always waits
        }
        if first {
            return Act::Wait(PATIENCE);
        }
        if moved && mode == Mode::Lock {
            return self.recruit();
        }
        if moved && self.own_loops {
            return Act::Wait(PATIENCE); // a single token must not be missed for long
        }
        if moved {
            return Act::Served;
        }
        match (door.kind, mode) {
            (Kind::Own { slot }, _) => self.relieve(door, slot),
            (_, Mode::Lock) => self.break_lock(waited),
            _ => self.rescue(door, waited, now),
        }
    }

    /// It is one worker's own, who has not been at one turn for long.
    fn gets_on(&self, door: Door) -> bool {
        let late = |slot| self.pool.words.row(slot).is_late(crate::sys::now_ns());
        matches!(door.kind, Kind::Own { slot } if !late(slot))
    }

    /// Nobody serves this door: the master passes what waits there on.
    fn take_or_wait(&self, door: Door) -> Act {
        if self.can_take(door) {
            Act::Take
        } else {
            Act::Wait(NOBODY)
        }
    }

    /// Is there a worker that could take what waits at this door?
    pub(super) fn can_take(&self, door: Door) -> bool {
        let owner = match door.kind {
            Kind::Own { slot } => Some(slot),
            Kind::Shared { .. } => None,
        };
        let mut open = self.pool.words.open_slots();
        open.any(|slot| Some(slot) != owner && self.pool.takes_clients(slot))
    }

    /// A worker that takes clients and has nothing to do, as it says itself.
    fn is_idle(&self, slot: usize) -> bool {
        self.pool.takes_clients(slot) && self.pool.words.row(slot).is_asleep()
    }

    /// A worker does not take what waits at its own socket. If another one is
    /// asleep, that one can; if all are busy, they are as good as this one.
    fn relieve(&self, door: Door, slot: usize) -> Act {
        // It may not know of the socket: epoll had no room for it. Otherwise nothing happens.
        let _ = self.pool.register(slot, door);
        self.watch.calm.set(0);
        let mut open = self.pool.words.open_slots();
        if !open.any(|other| other != slot && self.is_idle(other)) {
            return Act::Wait(AGAIN);
        }
        if self.pool.mode(door.listener) == Mode::Hash {
            // The hash knows nothing of load: it must not send more there.
            self.pool.words.row(slot).go_away(away::HUNG);
            self.select(door.listener);
        }
        Act::Take
    }

    /// More clients come than those take who look for the lock: one more looks, too.
    fn recruit(&self) -> Act {
        let idle = self
            .pool
            .words
            .open_slots()
            .filter(|slot| self.is_idle(*slot));
        let next = idle.min_by_key(|slot| self.pool.words.row(*slot).load());
        Act::Nudge(next.into_iter().collect(), AGAIN)
    }

    fn break_lock(&self, waited: u64) -> Act {
        let owner = self.pool.words.lock().load(SeqCst);
        if owner == 0 || waited >= lock::LEASE {
            self.pass_lock(owner);
        }
        Act::Wait(AGAIN)
    }

    /// Open workers that wait at this door when they are armed, or at another one.
    fn open_at(&self, door: Door, here: bool) -> impl Iterator<Item = usize> {
        let open = self.pool.words.open_slots();
        open.filter(move |slot| (self.pool.shared_door(*slot, door.listener) == door) == here)
    }

    /// Are all who wait there at work, and is somebody idle who waits elsewhere?
    fn is_stuck(&self, door: Door) -> bool {
        let idle = |slot| self.is_idle(slot);
        self.open_at(door, false).any(idle) && !self.open_at(door, true).any(idle)
    }

    /// Connections wait and none was accepted since the last look.
    fn rescue(&self, door: Door, waited: u64, now: u64) -> Act {
        let seen = self.pool.survey(door, MASTER);
        if seen.stuck == 0 && self.pool.top_up(door, MASTER) > 0 {
            return Act::Wait(AGAIN);
        }
        if self.is_stuck(door) {
            return Act::Take;
        }
        let armed = seen.armed + seen.stuck;
        let others = || {
            self.open_at(door, false)
                .any(|slot| self.pool.takes_clients(slot))
        };
        if self.own_loops && (seen.best.is_some() || armed > 0 && others()) {
            return self.doubt(door);
        }
        if seen.is_uneven() && waited < 2 * PATIENCE {
            // The next one is busier than one that has a token and says that it is free: that
            // one may have been woken already, and gets as long again.
            self.pool.kick(door);
            return Act::Wait(PATIENCE);
        }
        if seen.best.is_some() {
            self.add_token(door, seen.is_uneven());
            self.count_rescue();
            self.watch.last_rescue.set(now);
            ::log::debug!(
                "listener {}: clients wait for busy workers: one token more",
                door.listener
            );
            self.set_limits();
            self.pool.top_up(door, MASTER);
        } else if armed > 0 {
            self.pool.kick(door);
        } else {
            // All of this group are away.
            return self.take_or_wait(door);
        }
        Act::Wait(AGAIN)
    }

    /// For a worker that is no busier than the others, or for any.
    fn add_token(&self, door: Door, any: bool) {
        let mut added = self.watch.added.borrow_mut();
        let here = added.entry(door).or_default();
        *(if any { &mut here.any } else { &mut here.even }) += 1;
    }

    /// Where workers sleep in loops of the service's own, the kernel would wake all
    /// that have a token, and the quickest would take the clients. So there is never
    /// one more: it goes to somebody else, and does not come back to whoever had it
    /// before that one has shown that it runs.
    fn doubt(&self, door: Door) -> Act {
        let holders = self.pool.holders(door);
        for slot in &holders {
            self.pool.words.row(*slot).go_away(away::DOUBTED);
            self.pool.disarm(*slot, door);
        }
        self.count_rescue();
        ::log::debug!(
            "listener {}: clients wait for a busy worker: its token goes to another",
            door.listener
        );
        self.pool.top_up(door, MASTER);
        Act::Nudge(holders, PATIENCE)
    }

    pub(super) fn count_rescue(&self) {
        self.watch.calm.set(0);
        self.pool.words.tell_more(Told::Rescues);
    }

    /// Workers that did not take what the hash sent them, and do again. True:
    /// there are others that do not yet.
    pub(super) fn forgive(&self) -> bool {
        let (mut back, mut hung) = (false, false);
        for slot in self.pool.words.open_slots() {
            let row = self.pool.words.row(slot);
            if row.away() & away::HUNG == 0 {
                continue;
            }
            if row.is_asleep() {
                row.come_back(away::HUNG);
                back = true;
            } else {
                hung = true;
            }
        }
        if back {
            for (listener, _) in self.lanes.serving() {
                self.select(listener);
            }
        }
        hung
    }
}
