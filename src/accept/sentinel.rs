//! A queue that nobody serves. flow: M5
//!
//! The sentinel is an epoll instance inside of the master's own. For the kernel
//! an instance in which nobody sleeps consumes no exclusive wake-up, so it only
//! observes: at the end of a listener's queue it becomes readable when no armed
//! worker before it was asleep. Then the master gives the queue a moment, and if
//! nothing was accepted meanwhile it adds a token. An idle service costs nothing.

use super::choose::MASTER;
use super::probe;
use super::schedule::Schedule;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

/// Workers get that long to serve a queue before the master acts, ms.
const PATIENCE: u64 = 2;
/// Time to the next look while connections wait, ms.
const AGAIN: u64 = 10;
/// The same when no worker could take a token: one that can arms itself.
const NOBODY: u64 = 100;
/// Tokens that were added stay until there was no alarm for so long, ms.
const CALM: u64 = 5000;

pub(super) struct Watch {
    pub(super) k: Cell<u32>,
    listeners: Vec<Listener>,
    /// The sentinel is out of the master's epoll.
    alert: Cell<bool>,
    last_rescue: Cell<u64>,
    pub(super) rescues: Cell<u64>,
}

#[derive(Default)]
struct Listener {
    /// Tokens added to k.
    extra: Cell<u32>,
    /// Clients served at the last look.
    served: Cell<u64>,
}

impl Watch {
    pub(super) fn new(listeners: usize, k: u32) -> Self {
        Self {
            k: Cell::new(k.max(1)),
            listeners: (0..listeners).map(|_| Listener::default()).collect(),
            alert: Cell::new(false),
            last_rescue: Cell::new(0),
            rescues: Cell::new(0),
        }
    }

    pub(super) fn limit(&self, listener: usize) -> u32 {
        self.k.get() + self.listeners[listener].extra.get()
    }
}

impl Schedule {
    /// The sentinel is readable: take it out of the loop, call this, and call it
    /// again after as many ms as it says. `None`: put the sentinel back.
    pub(crate) fn on_sentinel(&self, now: u64) -> Option<u64> {
        self.check(now);
        let first = !self.watch.alert.replace(true);
        let waits = (0..self.pool.listeners.len()).filter_map(|listener| {
            let served = self.pool.served(listener).load(Relaxed);
            let before = self.watch.listeners[listener].served.replace(served);
            if first {
                Some(PATIENCE)
            } else if !probe::readable(self.pool.listener(listener)) {
                None
            } else if served != before {
                Some(AGAIN)
            } else {
                Some(self.rescue(listener, now))
            }
        });
        let next = waits.min();
        self.watch.alert.set(next.is_some());
        next
    }

    /// Connections wait and none was accepted since the last look.
    fn rescue(&self, listener: usize, now: u64) -> u64 {
        if self.pool.top_up(listener, MASTER) > 0 {
            return AGAIN;
        }
        let seen = self.pool.survey(listener, MASTER);
        if seen.best.is_some() {
            let extra = &self.watch.listeners[listener].extra;
            extra.set(extra.get() + 1);
            self.watch.rescues.set(self.watch.rescues.get() + 1);
            self.watch.last_rescue.set(now);
            let waiting = super::probe::depth(self.pool.listener(listener));
            ::log::debug!(
                "listener {listener}: {waiting} clients wait for busy workers: one token more"
            );
            self.set_limits();
            self.pool.top_up(listener, MASTER);
        } else if seen.eligible > 0 {
            self.kick(listener);
        } else {
            return NOBODY;
        }
        AGAIN
    }

    /// Cheap; for every pass of the master's loop.
    pub(crate) fn check(&self, now: u64) {
        let watch = &self.watch;
        let extra = watch
            .listeners
            .iter()
            .any(|listener| listener.extra.get() > 0);
        if extra && now.saturating_sub(watch.last_rescue.get()) >= CALM {
            watch
                .listeners
                .iter()
                .for_each(|listener| listener.extra.set(0));
            self.set_limits();
        }
    }
}
