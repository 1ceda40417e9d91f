//! The last reports: written by the master, read by every process.

use crate::error::Result;
use crate::ffi::dtm_report_t;
use crate::shm::{Latch, Region};
use std::sync::atomic::Ordering::{Acquire, Release};

/// So many are kept: enough for the crash of all workers of a usual machine.
const REPORTS: usize = 32;

const WORDS: usize = size_of::<dtm_report_t>() / size_of::<u64>();
const _: () = assert!(size_of::<dtm_report_t>().is_multiple_of(size_of::<u64>()));
const LATCH: usize = Latch::words(WORDS);

pub(crate) struct Ring {
    region: Region,
}

impl Ring {
    pub(crate) fn new() -> Result<Self> {
        let words = 1 + REPORTS * LATCH;
        let region = Region::published("dtm-reports", words * size_of::<u64>())?;
        Ok(Self { region })
    }

    /// Called in each child: the master alone writes.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.region.make_read_only()
    }

    /// Master: a new report, or more of one that is there; they are numbered from 1.
    pub(crate) fn put(&self, report: &dtm_report_t) {
        // SAFETY: numbers only, a whole number of words, as asserted; layout.rs shows
        // that there are no gaps.
        let words: [u64; WORDS] = unsafe { std::mem::transmute_copy(report) };
        self.latch(report.number).publish(words);
        let newest = &self.region.u64s(0, 1)[0];
        newest.store(newest.load(Acquire).max(report.number), Release);
    }

    /// The number of the newest report; 0: there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.region.u64s(0, 1)[0].load(Acquire)
    }

    /// All that are kept, the newest first.
    pub(crate) fn all(&self) -> Vec<dtm_report_t> {
        let newest = self.newest();
        let oldest = newest.saturating_sub(REPORTS as u64);
        (oldest + 1..=newest)
            .rev()
            .filter_map(|n| self.get(n))
            .collect()
    }

    fn get(&self, number: u64) -> Option<dtm_report_t> {
        let mut words = [0; WORDS];
        self.latch(number).read(&mut words)?;
        // SAFETY: as above; any numbers are a valid report.
        let report: dtm_report_t = unsafe { std::mem::transmute_copy(&words) };
        // Overwritten meanwhile by a newer one.
        (report.number == number).then_some(report)
    }

    fn latch(&self, number: u64) -> Latch<'_> {
        let place = usize::try_from(number % REPORTS as u64).unwrap_or(0);
        let start = (1 + place * LATCH) * size_of::<u64>();
        Latch::new(self.region.u64s(start, LATCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_old_ones_go() {
        let ring = Ring::new().unwrap();
        assert!(ring.all().is_empty());
        let mut report = dtm_report_t::default();
        for number in 1..=REPORTS as u64 + 3 {
            report.number = number;
            report.pid = 7;
            ring.put(&report);
        }
        report.pid = 8;
        ring.put(&report);
        let all = ring.all();
        assert_eq!(
            (all.len(), all[0].number, all[0].pid),
            (REPORTS, REPORTS as u64 + 3, 8)
        );
        assert_eq!((all[REPORTS - 1].number, all[1].pid), (4, 7));
    }
}
