//! Queues that nobody serves. flow: M5
//!
//! The sentinel is an epoll instance inside of the master's own. For the kernel
//! an instance in which nobody sleeps consumes no exclusive wake-up, so it only
//! observes: at the end of a door's queue it becomes readable when no worker
//! before it was asleep. Then the master gives the queue a moment, and if nothing
//! was accepted meanwhile it acts: one token more, the lock to somebody else, or
//! it takes the connections itself and passes them on. An idle service costs nothing.

use super::door::Door;
use super::handover::HandOver;
use super::probe;
use super::rescue::Act;
use super::rest::Rest;
use super::schedule::Schedule;
use super::tally::Tally;
use super::words::Told;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::*;

/// Workers get that long to serve a queue before the master acts, ms.
pub(super) const PATIENCE: u64 = 2;
/// Time to the next look while connections wait, ms.
pub(super) const AGAIN: u64 = 10;
/// The same when no worker takes clients: one that does again helps itself.
pub(super) const NOBODY: u64 = 50;
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
    pub(super) added: RefCell<BTreeMap<Door, Added>>,
    pub(super) last_rescue: Cell<u64>,
    reported: Cell<bool>,
    /// How many were accepted when the last rest began.
    pub(super) accepted: Cell<Option<u64>>,
    pub(super) rest: Cell<Option<Rest>>,
    /// How many looks in a row found nobody late and no queue that needed help, while it rested.
    pub(super) calm: Cell<u32>,
    /// Doors that should be observed and are not, and when to try again.
    missing: RefCell<BTreeSet<Door>>,
    retry_at: Cell<u64>,
}

/// Tokens that were added because clients waited.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Added {
    /// For workers that are no busier than the others.
    pub(super) even: u32,
    /// For any: one that should have been free did not serve them.
    pub(super) any: u32,
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

impl Watch {
    pub(super) fn added(&self, door: Door) -> Added {
        self.added.borrow().get(&door).copied().unwrap_or_default()
    }

    /// There is nothing to see at this door any more.
    pub(super) fn forget(&self, door: Door) {
        self.waiting.borrow_mut().remove(&door);
        self.added.borrow_mut().remove(&door);
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
        let (mut depth, mut longest, mut served_all) = (0, None::<u64>, !hung);
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
            served_all &= act == Act::Served;
            let wait = match act {
                Act::Wait(ms) => ms,
                Act::Served => AGAIN,
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
        if !served_all {
            self.watch.rest.set(None); // it was no false alarm
            return look;
        }
        let rest = self.rest(now);
        if rest.is_none() && look.again.is_none() {
            self.to_the_end();
        }
        look.again = rest.or(look.again);
        look
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

    /// Put it at each door that listens: at some it may be missing.
    pub(super) fn observe_opened(&self) {
        for (listener, lane) in self.lanes.serving() {
            if !self.passes(listener) {
                self.observe_door(Door::shared(listener, 0));
            }
            for (door, _) in lane.opened() {
                self.observe_door(door);
            }
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
            if !doors.contains(door) && self.pool.fd(*door).is_some_and(crate::sys::readable) {
                doors.push(*door);
            }
        }
        doors
    }

    /// When tokens that were added are to be taken back, doors that are not observed and
    /// listeners that are not steered to be tried again, or what was dropped to be counted.
    /// While another binary has the sockets, nobody does any of that.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.passive.get() {
            return None;
        }
        let added = !self.watch.added.borrow().is_empty();
        let calm = added.then(|| self.watch.last_rescue.get() + CALM);
        let missing = !self.watch.missing.borrow().is_empty() || self.is_left_unwatched();
        let retry = missing.then(|| self.watch.retry_at.get());
        [calm, retry, self.held.next(), self.drops.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// A worker says so, or has scribbled there: looked at now and then only.
    fn is_left_unwatched(&self) -> bool {
        self.pool.words.unwatched().load(Relaxed) != 0
    }

    /// Cheap; for every pass of the master's loop.
    pub(crate) fn check(&self, now: u64) {
        let missing = !self.watch.missing.borrow().is_empty();
        let unwatched = self.is_left_unwatched();
        if (missing || unwatched) && now >= self.watch.retry_at.get() {
            self.watch.retry_at.set(now + RETRY);
            for door in self.watch.missing.take() {
                self.observe_door(door);
            }
            if unwatched {
                self.pool.words.unwatched().store(0, Relaxed);
                self.observe_opened();
            }
        }
        for listener in self.held.due(now) {
            self.select(listener);
        }
        let calm = now.saturating_sub(self.watch.last_rescue.get()) >= CALM;
        if calm && !self.watch.added.borrow().is_empty() {
            self.watch.added.borrow_mut().clear();
            self.set_limits();
        }
        if self.drops.due().is_some_and(|due| now >= due) {
            self.count_drops(now);
        }
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
