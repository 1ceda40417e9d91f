//! A worker's part in the schedule.

use super::choose::{Turn, turn};
use super::pool::{Pool, Tally};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) struct Seat {
    pool: Arc<Pool>,
    slot: usize,
}

/// How often to look for a successor when others are quicker to arm it.
const TRIES: usize = 4;

impl Seat {
    pub(super) fn new(pool: Arc<Pool>, slot: usize) -> Self {
        Self { pool, slot }
    }

    /// The epoll instance that this worker has to sleep in: the kernel passes
    /// over a worker that does not.
    pub(crate) fn epoll_fd(&self) -> RawFd {
        self.pool.epoll(self.slot).0.as_raw_fd()
    }

    /// A listener is readable: is it this worker's turn? If not, it is not asked
    /// again: it was armed by somebody who did not know yet.
    pub(crate) fn may_accept(&self, listener: u32) -> bool {
        let listener = listener as usize;
        let may = self.pool.takes_clients(self.slot);
        if !may {
            self.hand_over(listener);
        }
        may
    }

    /// A client was accepted: pass the token on, before any work is done for it.
    pub(crate) fn accepted(&self, listener: u32) {
        let listener = listener as usize;
        let load = self.pool.load(self.slot).load(Relaxed).saturating_add(1);
        self.set_load(load);
        self.pool.tally(self.slot, Tally::Accepted);
        let served = self.pool.served(listener).fetch_add(1, Relaxed);
        if !self.pool.release(self.slot, listener) {
            return self.pool.withdraw(self.slot, listener);
        }
        let limit = self.pool.limit(listener).load(Relaxed);
        if self.settle(listener, load, limit) && served.is_multiple_of(limit.max(2) - 1) {
            self.pool.rewatch(listener);
        }
    }

    /// Find the next owner of the token in hand. This worker stays registered
    /// until there is one. True: the order of the queue changed.
    fn settle(&self, listener: usize, load: u32, limit: u64) -> bool {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for _ in 0..TRIES {
            let seen = self.pool.survey(listener, self.slot);
            match turn(self.slot, load, seen, limit) {
                Turn::Pass(next) if self.pool.arm(next, listener) => {
                    self.pool.withdraw(self.slot, listener);
                    self.pool.tally(self.slot, Tally::Moves);
                    return true;
                }
                Turn::Drop => break,
                Turn::Keep if self.pool.claim(self.slot, listener) => return false,
                Turn::Requeue if self.pool.claim(self.slot, listener) => {
                    self.pool.requeue(self.slot, listener);
                    return true;
                }
                // Somebody was quicker.
                Turn::Pass(_) | Turn::Keep | Turn::Requeue => {}
            }
        }
        self.pool.withdraw(self.slot, listener);
        // Others may have thrown theirs away for the same reason.
        self.pool.top_up(listener, self.slot);
        true
    }

    /// There was no client: another worker was quicker.
    pub(crate) fn empty(&self, _listener: u32) {
        self.pool.tally(self.slot, Tally::Empty);
    }

    /// accept() failed.
    pub(crate) fn failed(&self, _listener: u32) {
        self.pool.tally(self.slot, Tally::Errors);
    }

    /// What other workers compare with their own: clients, or what the service says.
    pub(crate) fn set_load(&self, load: u32) {
        self.pool.load(self.slot).store(load, Relaxed);
    }

    /// Take no clients until [`Seat::resume`]: the worker is full, or the process
    /// is out of descriptors.
    pub(crate) fn pause(&self) {
        if self.pool.pause(self.slot, false) {
            self.hand_over_all();
        }
    }

    pub(crate) fn resume(&self) {
        self.pool.resume(self.slot);
        // Somebody who went away meanwhile may have found nobody to follow him.
        for listener in 0..self.pool.listeners.len() {
            self.pool.top_up(listener, self.slot);
        }
    }

    /// Take no client any more. False: there is no other worker that does.
    pub(crate) fn leave(&self) -> bool {
        self.pool.pause(self.slot, true);
        self.hand_over_all();
        self.pool.open_slots().any(|slot| slot != self.slot)
    }

    fn hand_over_all(&self) {
        for listener in 0..self.pool.listeners.len() {
            self.hand_over(listener);
        }
    }

    /// First unregister, then arm another: whichever side of that a connection
    /// comes, somebody sees it. If all others are armed already, the wake-up
    /// that this worker may have swallowed is made good by the sentinel.
    fn hand_over(&self, listener: usize) {
        let registered = self.pool.unregister(self.slot, listener);
        let held = self.pool.holds(self.slot, listener);
        self.pool.disarm(self.slot, listener);
        if registered || held {
            self.pool.top_up(listener, self.slot);
            self.pool.rewatch(listener);
        }
    }
}
