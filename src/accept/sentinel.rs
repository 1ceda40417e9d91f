//! Queues that nobody serves. flow: M5
//!
//! The sentinel is an epoll instance inside of the master's own. For the kernel
//! an instance in which nobody sleeps consumes no exclusive wake-up, so it only
//! observes: at the end of a door's queue it becomes readable when no worker
//! before it was asleep. Then the master gives the queue a moment, and if nothing
//! was accepted meanwhile it acts: one token more, the lock to somebody else, or
//! it takes the connections itself and passes them on. An idle service costs nothing.

use super::choose::MASTER;
use super::door::{Door, Kind};
use super::handover::HandOver;
use super::lock;
use super::mode::Mode;
use super::probe;
use super::schedule::Schedule;
use super::words::{Tally, Told};
use crate::bpf::away;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::*;

/// Workers get that long to serve a queue before the master acts, ms.
const PATIENCE: u64 = 2;
/// After a false alarm the sentinel rests, ms. At each alarm the master wakes up
/// twice, so this bounds what false ones cost; it also is by how much the first
/// of several alarms may come late.
const REST: u64 = 20;
/// It goes on resting while so many clients are accepted in that time: 1,000 a second.
/// Then an alarm follows on the other, and waking up for each was 1 % of the CPU.
const RUSH: u64 = 20;
/// Meanwhile this often whether anybody accepts at all, ms: if all that stand armed are
/// blocked, that is no time to rest.
const BREATH: u64 = 5;
/// Time to the next look while connections wait, ms.
const AGAIN: u64 = 10;
/// The same when no worker takes clients: one that does again helps itself.
const NOBODY: u64 = 50;
/// Tokens that were added stay until there was no alarm for so long, ms.
const CALM: u64 = 5000;
/// A wait without any worker that takes clients is reported after, ms.
const REPORT: u64 = 1000;
/// Time to the next try to observe a door, when the kernel had no room for that
/// (fs.epoll.max_user_watches, which all processes of a user share), ms.
const RETRY: u64 = 100;

#[derive(Default)]
pub(super) struct Watch {
    /// Doors at which connections waited at the last look.
    waiting: RefCell<BTreeMap<Door, Waiting>>,
    /// Tokens added to k, per shared door.
    extra: RefCell<BTreeMap<Door, u32>>,
    last_rescue: Cell<u64>,
    reported: Cell<bool>,
    /// How many were accepted when the last rest began.
    accepted: Cell<Option<u64>>,
    rest: Cell<Option<Rest>>,
    /// Doors that should be observed and are not, and when to try again.
    missing: RefCell<BTreeSet<Door>>,
    retry_at: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: u64,
    next: u64,
    /// By all workers, at the last breath.
    accepted: u64,
}

#[derive(Clone, Copy)]
struct Waiting {
    since: u64,
    /// Clients served at the last look.
    served: u64,
}

/// What the master has to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Look again after so many ms; None: put the sentinel back into the loop.
    pub(crate) again: Option<u64>,
    /// Accept what waits there and pass it on.
    pub(crate) take: Vec<Door>,
    /// Have these workers make a pass, when they can.
    pub(crate) nudge: Vec<usize>,
}

/// What is to be done about one door.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Wait(u64),
    Take,
    /// These make a pass, when they can; look again after so many ms.
    Nudge(Vec<usize>, u64),
}

impl Watch {
    pub(super) fn extra(&self, door: Door) -> u32 {
        self.extra.borrow().get(&door).copied().unwrap_or(0)
    }

    /// There is nothing to see at this door any more.
    pub(super) fn forget(&self, door: Door) {
        self.waiting.borrow_mut().remove(&door);
        self.extra.borrow_mut().remove(&door);
        self.missing.borrow_mut().remove(&door);
    }
}

impl Schedule {
    /// The sentinel is readable: take it out of the loop, call this, and call it
    /// again after as many ms as it says.
    pub(crate) fn on_sentinel(&self, now: u64) -> Look {
        self.check(now);
        if let Some(ms) = self.rest_on(now) {
            return Look {
                again: Some(ms),
                ..Look::default()
            };
        }
        self.expect_drops(now);
        let hung = self.forgive();
        let ready = self.ready_doors();
        let mut look = Look {
            again: hung.then_some(AGAIN),
            ..Look::default()
        };
        let (mut depth, mut longest) = (0, None::<u64>);
        let mut waiting = BTreeMap::new();
        for door in ready {
            let served = self.pool.served(door);
            let before = self.watch.waiting.borrow().get(&door).copied();
            let since = before.map_or(now, |w| w.since);
            let moved = before.is_some_and(|w| w.served != served);
            let since = if moved { now } else { since };
            if before.is_some() {
                depth += self.pool.fd(door).map_or(0, probe::depth);
                longest = Some(longest.map_or(since, |at| at.min(since)));
            }
            let act = self.consider(door, before.is_none(), moved, now - since, now);
            let wait = match act {
                Act::Wait(ms) => ms,
                Act::Take => {
                    look.take.push(door);
                    AGAIN
                }
                Act::Nudge(slots, ms) => {
                    look.nudge.extend(slots);
                    ms
                }
            };
            look.again = Some(look.again.map_or(wait, |ms| ms.min(wait)));
            waiting.insert(door, Waiting { since, served });
        }
        self.tell_wait(now, depth, longest);
        self.watch.waiting.replace(waiting);
        if look.again.is_some() {
            self.watch.rest.set(None); // it was no false alarm
        } else {
            look.again = self.rest(now);
        }
        look
    }

    /// It was a false alarm, or it is over. Where clients come thick and fast the next
    /// one is near, for somebody is always at work when one comes: then rather look from
    /// time to time than be woken. None: the sentinel watches again.
    fn rest(&self, now: u64) -> Option<u64> {
        let accepted = self.pool.words.total(Tally::Accepted);
        if let Some(rest) = self.watch.rest.get().filter(|rest| now < rest.until) {
            return Some(self.breathe(now, rest.until, accepted));
        }
        self.watch.rest.set(None);
        let before = self.watch.accepted.replace(Some(accepted));
        if before.is_none_or(|before| accepted.wrapping_sub(before) >= RUSH) {
            return Some(self.breathe(now, now + REST, accepted));
        }
        self.watch.accepted.set(None);
        self.to_the_end();
        None
    }

    fn breathe(&self, now: u64, until: u64, accepted: u64) -> u64 {
        // Where each worker has a queue of its own, others accept whoever is blocked.
        let queues = self
            .pool
            .doors()
            .any(|door| !self.pool.mode(door.listener).is_own());
        let next = if queues {
            until.min(now + BREATH)
        } else {
            until
        };
        self.watch.rest.set(Some(Rest {
            until,
            next,
            accepted,
        }));
        next - now
    }

    /// For how long it goes on resting without a look at the doors. None: the time is over,
    /// nobody accepts or could, or the master has a reason to look sooner.
    fn rest_on(&self, now: u64) -> Option<u64> {
        let rest = self.watch.rest.get()?;
        let accepted = self.pool.words.total(Tally::Accepted);
        let goes_on = (rest.next..rest.until).contains(&now)
            && accepted != rest.accepted
            && !self.queues().any(|door| self.all_late(door));
        goes_on.then(|| self.breathe(now, rest.until, accepted))
    }

    /// Behind all that were armed since the last alarm.
    fn to_the_end(&self) {
        self.queues().for_each(|door| self.move_sentinel(door));
    }

    fn queues(&self) -> impl Iterator<Item = Door> {
        let shared = self.pool.doors().filter(|door| !door.is_own());
        shared.filter(|door| self.pool.mode(door.listener).is_queue())
    }

    /// All that have a token are late: nobody would be woken, and somebody could be.
    fn all_late(&self, door: Door) -> bool {
        let seen = self.pool.survey(door, MASTER);
        let free = seen.best.is_some() && !seen.best_is_late;
        self.pool.mode(door.listener) == Mode::Token && seen.armed == 0 && seen.stuck > 0 && free
    }

    /// Put the sentinel, which is at this door, to the end of its queue.
    pub(super) fn move_sentinel(&self, door: Door) {
        if self.pool.unwatch(door) {
            self.observe_door(door);
        }
    }

    /// Put the sentinel at this door: now, or as soon as the kernel has room.
    pub(super) fn observe_door(&self, door: Door) {
        if let Err(errno) = self.pool.watch(door) {
            let listener = door.listener;
            ::log::warn!("listener {listener} is not observed: {}", errno.desc());
            self.watch.missing.borrow_mut().insert(door);
            self.watch.retry_at.set(crate::sys::now_ms() + RETRY);
        }
    }

    /// It need not be observed any more.
    pub(super) fn forget_door(&self, door: Door) {
        self.watch.missing.borrow_mut().remove(&door);
    }

    /// Doors at which a connection waits and nobody was woken for it.
    fn ready_doors(&self) -> Vec<Door> {
        let mut events = [EpollEvent::empty(); 256];
        let n = self.pool.sentinel.wait(&mut events, EpollTimeout::ZERO);
        let ready = &events[..n.unwrap_or(0)];
        let mut doors: Vec<Door> = ready.iter().map(|e| Door::of_code(e.data())).collect();
        // One that was seen to wait may have been served by a worker that then
        // met the same fate: the kernel has told the worker, not the sentinel.
        for door in self.watch.waiting.borrow().keys() {
            if !doors.contains(door) && self.pool.fd(*door).is_some_and(probe::readable) {
                doors.push(*door);
            }
        }
        doors
    }

    fn consider(&self, door: Door, first: bool, moved: bool, waited: u64, now: u64) -> Act {
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
            return self.rescue(door, now); // they had time enough
        }
        if first {
            return Act::Wait(PATIENCE);
        }
        if moved && mode == Mode::Lock {
            return self.recruit();
        }
        if moved {
            // A single token must not be missed for long.
            return Act::Wait(if self.own_loops { PATIENCE } else { AGAIN });
        }
        match (door.kind, mode) {
            (Kind::Own { slot }, _) => self.relieve(door, slot),
            (_, Mode::Lock) => self.break_lock(waited),
            _ => self.rescue(door, now),
        }
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
    fn rescue(&self, door: Door, now: u64) -> Act {
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
        if seen.best.is_some() {
            *self.watch.extra.borrow_mut().entry(door).or_default() += 1;
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
        self.pool.words.tell_more(Told::Rescues);
    }

    /// When tokens that were added are to be taken back, doors that are not observed to be
    /// tried again, or what was dropped to be counted. While another binary has the sockets,
    /// nobody does any of that.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.passive.get() {
            return None;
        }
        let extra = !self.watch.extra.borrow().is_empty();
        let calm = extra.then(|| self.watch.last_rescue.get() + CALM);
        let missing = !self.watch.missing.borrow().is_empty();
        let retry = missing.then(|| self.watch.retry_at.get());
        [calm, retry, self.drops.due()].into_iter().flatten().min()
    }

    /// Cheap; for every pass of the master's loop.
    pub(crate) fn check(&self, now: u64) {
        let missing = !self.watch.missing.borrow().is_empty();
        if missing && now >= self.watch.retry_at.get() {
            for door in self.watch.missing.take() {
                self.observe_door(door);
            }
        }
        let calm = now.saturating_sub(self.watch.last_rescue.get()) >= CALM;
        if calm && !self.watch.extra.borrow().is_empty() {
            self.watch.extra.borrow_mut().clear();
            self.set_limits();
        }
        if self.drops.due().is_some_and(|due| now >= due) {
            self.count_drops(now);
        }
    }

    /// Workers that did not take what the hash sent them, and do again. True:
    /// there are others that do not yet.
    fn forgive(&self) -> bool {
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

    /// `since`: of what waited at the last look already.
    fn tell_wait(&self, now: u64, depth: u32, since: Option<u64>) {
        let words = &self.pool.words;
        words.told(Told::Depth).store(depth.into(), Relaxed);
        words
            .told(Told::WaitingSince)
            .store(since.map_or(0, |at| at.max(1)), Relaxed);
        let long = since.is_some_and(|at| now - at >= REPORT);
        if long && !self.watch.reported.replace(true) {
            let open = words.open_slots().count();
            let willing = words
                .open_slots()
                .filter(|s| self.pool.takes_clients(*s))
                .count();
            ::log::warn!(
                "{depth} clients wait: of {open} open workers {willing} take clients, and those are busy"
            );
        } else if since.is_none() && self.watch.reported.replace(false) {
            let accepted = words.total(Tally::Accepted);
            ::log::info!("no client waits any more ({accepted} accepted so far)");
        }
    }
}
