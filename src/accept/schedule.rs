//! The master's part: who takes part, how many tokens, repair after a death.

use super::choose::MASTER;
use super::pool::{Pool, Stats};
use super::probe;
use super::seat::Seat;
use super::sentinel::Watch;
use crate::error::Result;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

pub(crate) struct Schedule {
    pub(super) pool: Arc<Pool>,
    pub(super) watch: Watch,
}

impl Schedule {
    /// Made before the first fork. The listeners stay open as long as the runtime.
    pub(crate) fn new(slots: usize, listeners: &[RawFd], k: u32) -> Result<Self> {
        let schedule = Self {
            pool: Arc::new(Pool::new(slots, listeners)?),
            watch: Watch::new(listeners.len(), k),
        };
        schedule.set_limits();
        Ok(schedule)
    }

    /// A worker's part.
    pub(crate) fn seat(&self, slot: usize) -> Seat {
        Seat::new(Arc::clone(&self.pool), slot)
    }

    /// Called in each child: the master alone says who takes part.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.pool.rules.make_read_only()
    }

    /// The worker of this slot is open for business.
    pub(crate) fn admit(&self, slot: usize) {
        self.pool.clear(slot);
        self.open_bit(slot, true);
        self.top_up();
    }

    /// The worker of this slot drains or is dead. Its tokens go to others, and
    /// whatever it left half done is put right. Harmless when done twice.
    pub(crate) fn retire(&self, slot: usize) {
        self.open_bit(slot, false);
        self.pool.clear(slot);
        self.repair();
    }

    fn open_bit(&self, slot: usize, open: bool) {
        let (word, bit) = (&self.pool.open_bits()[slot / 64], 1 << (slot % 64));
        if open {
            word.fetch_or(bit, SeqCst);
        } else {
            word.fetch_and(!bit, SeqCst);
        }
    }

    /// Someone may have died between any two of its steps.
    fn repair(&self) {
        for listener in 0..self.pool.listeners.len() {
            for slot in self.pool.open_slots() {
                if self.pool.holds(slot, listener) && self.pool.register(slot, listener).is_err() {
                    self.pool.disarm(slot, listener);
                }
            }
            self.pool.top_up(listener, MASTER);
            // If the sentinel was just being moved it may be missing.
            let _ = self.pool.watch(listener);
            // The dead worker may have been woken and not have accepted.
            if probe::readable(self.pool.listener(listener)) {
                self.kick(listener);
            }
        }
    }

    /// Have the kernel look again on behalf of every armed worker.
    pub(super) fn kick(&self, listener: usize) {
        for slot in self.pool.open_slots() {
            if self.pool.holds(slot, listener) {
                self.pool.requeue(slot, listener);
            }
        }
        self.pool.rewatch(listener);
    }

    pub(super) fn top_up(&self) {
        for listener in 0..self.pool.listeners.len() {
            if self.pool.top_up(listener, MASTER) > 0 {
                self.pool.rewatch(listener);
            }
        }
    }

    /// How many workers are armed at each listener.
    pub(crate) fn set_k(&self, k: u32) {
        self.watch.k.set(k.max(1));
        self.set_limits();
        self.top_up();
    }

    pub(super) fn set_limits(&self) {
        for listener in 0..self.pool.listeners.len() {
            let limit = self.watch.limit(listener);
            self.pool.limit(listener).store(u64::from(limit), Relaxed);
        }
    }

    /// To be polled (level-triggered, read) by the master's own epoll, and by
    /// nothing else: see [`Schedule::on_sentinel`].
    pub(crate) fn sentinel_fd(&self) -> RawFd {
        self.pool.sentinel.0.as_raw_fd()
    }

    /// How many connections wait at a listener.
    #[cfg(test)]
    pub(crate) fn depth(&self, listener: u32) -> u32 {
        probe::depth(self.pool.listener(listener as usize))
    }

    pub(crate) fn listeners(&self) -> u32 {
        u32::try_from(self.pool.listeners.len()).unwrap_or(u32::MAX)
    }

    /// The load of a slot's worker.
    pub(crate) fn load(&self, slot: usize) -> u32 {
        self.pool.load(slot).load(Relaxed)
    }

    /// How it stands, for the API.
    pub(crate) fn report(&self, _listener: Option<u32>) -> crate::ffi::dtm_accept_t {
        let stats = self.stats();
        crate::ffi::dtm_accept_t {
            accepted: stats.accepted,
            moves: stats.moves,
            ..crate::ffi::dtm_accept_t::default()
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            rescues: self.watch.rescues.get(),
            ..self.pool.stats()
        }
    }
}
