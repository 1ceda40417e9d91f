//! What is counted of each slot, over all its processes: by the one that has it, alone, so
//! without a locked addition.

use super::words::{LISTENERS, Words};
use crate::shm::{Word, add};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Clone, Copy)]
pub(super) enum Tally {
    Accepted,
    Moves,
    Empty,
    Errors,
    Late,
    /// How many there are.
    Count,
}

/// Clients of one listener.
#[derive(Default)]
struct Clients {
    accepted: AtomicU64,
    /// Those of them that came from a queue of several workers.
    taken: AtomicU64,
}

/// A slot's. Two never share a line, nor a pair of lines that are fetched together.
#[repr(C, align(128))]
#[derive(Default)]
pub(crate) struct TallyRow {
    tallies: [AtomicU64; Tally::Count as usize],
    clients: [Clients; LISTENERS],
}

impl Word for TallyRow {}

impl TallyRow {
    pub(super) fn get(&self, what: Tally) -> u64 {
        self.tallies[what as usize].load(Relaxed)
    }

    pub(super) fn accepted(&self, listener: usize) -> u64 {
        self.clients[listener].accepted.load(Relaxed)
    }

    pub(super) fn taken(&self, listener: usize) -> u64 {
        self.clients[listener].taken.load(Relaxed)
    }

    // --- For the slot's own process ---

    pub(super) fn count(&self, what: Tally) {
        add(&self.tallies[what as usize], 1);
    }

    /// A client of this listener.
    #[inline(always)]
    pub(super) fn count_client(&self, listener: usize) {
        self.count(Tally::Accepted);
        add(&self.clients[listener].accepted, 1);
    }

    /// The same: it came from the queue of several workers.
    #[inline(always)]
    pub(super) fn count_taken(&self, listener: usize) {
        add(&self.clients[listener].taken, 1);
    }
}

/// Sums.
impl Words {
    /// Over all slots, since the start.
    pub(super) fn total(&self, what: Tally) -> u64 {
        self.sum(|row| row.get(what))
    }

    /// Clients of this listener, over all slots.
    pub(super) fn accepted_at(&self, listener: usize) -> u64 {
        self.sum(|row| row.accepted(listener))
    }

    fn sum(&self, of: impl Fn(&TallyRow) -> u64) -> u64 {
        self.tallies().iter().map(of).fold(0, u64::wrapping_add)
    }

    /// By those workers that are open: tells whether anybody accepts.
    pub(super) fn accepted_by_open(&self) -> u64 {
        let of = |slot| self.tally(slot).get(Tally::Accepted);
        self.open_slots().map(of).fold(0, u64::wrapping_add)
    }

    /// The number is a new listener's: nobody has accepted anything there.
    pub(super) fn forget_clients(&self, listener: usize) {
        for row in self.tallies() {
            row.clients[listener].accepted.store(0, Relaxed);
            row.clients[listener].taken.store(0, Relaxed);
        }
    }
}
