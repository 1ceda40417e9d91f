//! What each process tells about itself: one row per slot, each on cache lines
//! of its own, plus the service's own counters. For the master these are hints.

use super::{One, Piece, Progress, ProgressTable, Region, add};
use crate::error::Result;
use crate::ffi::DTM_COUNTERS_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The library's own words of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    /// The slot's, over all its processes. A reset leaves these alone.
    ConsoleConnections,
    ConsoleRefused,
    ConsoleCommands,
    TotalAccepted,
    /// From here on, the process's. Open clients; each accept touches this cache line.
    Clients,
    /// Clients accepted by this process.
    Accepted,
    /// Frames dropped because they were for another process.
    Fenced,
    /// Clients closed at the drain's deadline.
    Late,
}

const GAUGES: usize = 16;
/// From here on a row's words belong to the process.
const OWN: usize = Gauge::Clients as usize;
const COUNTERS: usize = DTM_COUNTERS_MAX as usize;

/// All that a process tells, close together. Two rows never share a line, nor a pair of
/// lines that are fetched together.
#[repr(C, align(128))]
pub(crate) struct BoardRow {
    pub(super) progress: Progress,
    gauges: [AtomicU64; GAUGES],
    counters: [AtomicU64; COUNTERS],
}

pub(crate) struct Board {
    rows: Piece<BoardRow>,
    slots: usize,
}

/// A process's own gauges, for what it counts at each client.
pub(crate) struct Gauges(One<BoardRow>);

impl Gauges {
    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        self.word(gauge).store(value, Relaxed);
    }

    pub(crate) fn add(&self, gauge: Gauge, n: u64) {
        add(self.word(gauge), n);
    }

    #[inline(always)]
    fn word(&self, gauge: Gauge) -> &AtomicU64 {
        &self.0.gauges[gauge as usize]
    }
}

impl Board {
    pub(crate) fn new(slots: usize) -> Result<Self> {
        let n = slots + 1;
        let region = Arc::new(Region::new("dtm-board", n * size_of::<BoardRow>())?);
        let rows = region.piece(0, n);
        Ok(Self { rows, slots })
    }

    /// How far each child is.
    pub(crate) fn progress(&self) -> ProgressTable {
        ProgressTable::new(self.rows.part(0..self.slots))
    }

    pub(crate) fn get(&self, slot: usize, gauge: Gauge) -> u64 {
        self.gauge(slot, gauge).load(Relaxed)
    }

    /// Only for the slot's own process.
    pub(crate) fn gauges(&self, slot: usize) -> Gauges {
        Gauges(self.rows.one(slot))
    }

    /// Before a fork: the gauges belong to the new process. The totals and the
    /// service's counters belong to the slot and go on.
    pub(crate) fn reset(&self, slot: usize) {
        for word in &self.rows[slot].gauges[OWN..] {
            word.store(0, Relaxed);
        }
    }

    /// Add to one of the service's counters. Only the slot's own process, too.
    pub(crate) fn count(&self, slot: usize, counter: usize, delta: u64) {
        add(&self.counters(slot)[counter], delta);
    }

    /// One of the service's counters; of all slots together without `slot`.
    pub(crate) fn counter(&self, slot: Option<usize>, counter: usize) -> u64 {
        let one = |slot| self.counters(slot)[counter].load(Relaxed);
        match slot {
            Some(slot) => one(slot),
            None => (0..=self.slots).map(one).fold(0, u64::wrapping_add),
        }
    }

    /// The sum over all slots.
    pub(crate) fn total(&self, gauge: Gauge) -> u64 {
        let one = |slot| self.get(slot, gauge);
        (0..=self.slots).map(one).fold(0, u64::wrapping_add)
    }

    /// Master: what the binary before this one had counted. No slot's, but in the sum.
    pub(crate) fn inherit(&self, counter: usize, value: u64) {
        self.counters(self.slots)[counter].store(value, Relaxed);
    }

    /// The same of one of the library's own.
    pub(crate) fn inherit_total(&self, gauge: Gauge, value: u64) {
        self.gauge(self.slots, gauge).store(value, Relaxed);
    }

    fn gauge(&self, slot: usize, gauge: Gauge) -> &AtomicU64 {
        &self.rows[slot].gauges[gauge as usize]
    }

    fn counters(&self, slot: usize) -> &[AtomicU64] {
        &self.rows[slot].counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_end_with_the_process_and_counters_do_not() {
        let board = Board::new(3).unwrap();
        let own = board.gauges(1);
        own.set(Gauge::Clients, 4);
        own.add(Gauge::Accepted, 2);
        own.add(Gauge::Accepted, 3);
        own.add(Gauge::TotalAccepted, 5);
        board.count(1, 31, 10);
        board.count(2, 31, 5);
        assert_eq!(board.get(1, Gauge::Accepted), 5);

        board.reset(1);
        assert_eq!(board.get(1, Gauge::Clients), 0);
        assert_eq!(board.get(1, Gauge::Accepted), 0);
        assert_eq!(board.get(1, Gauge::TotalAccepted), 5);
        board.inherit_total(Gauge::TotalAccepted, 100);
        assert_eq!(board.total(Gauge::TotalAccepted), 105);
        assert_eq!(board.counter(Some(1), 31), 10);
        assert_eq!(board.counter(None, 31), 15);
        assert_eq!(board.counter(None, 0), 0);
    }
}
