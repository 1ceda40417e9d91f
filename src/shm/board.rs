//! What each process tells about itself: one row per slot, each on cache lines
//! of its own, plus the service's own counters. For the master these are hints.

use super::{Piece, Region};
use crate::error::Result;
use crate::ffi::DTM_COUNTERS_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The library's own words of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    /// Open clients.
    Clients,
    /// Clients accepted by this process.
    Accepted,
    /// Frames dropped because they were for another process.
    Fenced,
    /// Clients closed at the drain's deadline.
    Late,
    /// From here on: the slot's, over all its processes. A reset leaves these alone.
    ConsoleConnections = 12,
    ConsoleRefused = 13,
    ConsoleCommands = 14,
    TotalAccepted = 15,
}

const GAUGES: usize = 16;
/// From here on a row's words belong to the slot.
const TOTALS: usize = Gauge::ConsoleConnections as usize;
const COUNTERS: usize = DTM_COUNTERS_MAX as usize;
const ROW: usize = GAUGES + COUNTERS;
// Two rows never share a line, nor a pair of lines that are fetched together.
const _: () = assert!((ROW * size_of::<u64>()).is_multiple_of(128));

pub(crate) struct Board {
    rows: Piece<AtomicU64>,
    slots: usize,
}

impl Board {
    pub(crate) fn new(slots: usize) -> Result<Self> {
        let words = (slots + 1) * ROW;
        let region = Arc::new(Region::new("dtm-board", words * size_of::<u64>())?);
        let rows = region.piece(0, words);
        Ok(Self { rows, slots })
    }

    pub(crate) fn get(&self, slot: usize, gauge: Gauge) -> u64 {
        self.gauge(slot, gauge).load(Relaxed)
    }

    /// Only the slot's own process.
    pub(crate) fn set(&self, slot: usize, gauge: Gauge, value: u64) {
        self.gauge(slot, gauge).store(value, Relaxed);
    }

    /// Only the slot's own process: there is one writer, so no locked addition.
    pub(crate) fn add(&self, slot: usize, gauge: Gauge, n: u64) {
        let word = self.gauge(slot, gauge);
        word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Before a fork: the gauges belong to the new process. The totals and the
    /// service's counters belong to the slot and go on.
    pub(crate) fn reset(&self, slot: usize) {
        for word in &self.row(slot)[..TOTALS] {
            word.store(0, Relaxed);
        }
    }

    /// Add to one of the service's counters. Only the slot's own process, too.
    pub(crate) fn count(&self, slot: usize, counter: usize, delta: u64) {
        let word = &self.counters(slot)[counter];
        word.store(word.load(Relaxed).wrapping_add(delta), Relaxed);
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
        self.set(self.slots, gauge, value);
    }

    fn gauge(&self, slot: usize, gauge: Gauge) -> &AtomicU64 {
        &self.rows[slot * ROW + gauge as usize]
    }

    fn counters(&self, slot: usize) -> &[AtomicU64] {
        &self.row(slot)[GAUGES..]
    }

    fn row(&self, slot: usize) -> &[AtomicU64] {
        &self.rows[slot * ROW..(slot + 1) * ROW]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_end_with_the_process_and_counters_do_not() {
        let board = Board::new(3).unwrap();
        board.set(1, Gauge::Clients, 4);
        board.add(1, Gauge::Accepted, 2);
        board.add(1, Gauge::Accepted, 3);
        board.add(1, Gauge::TotalAccepted, 5);
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
