//! Publication of a record by one writer that may be killed at any moment.
//!
//! Two copies and a count of publications. The count's lowest bit says which
//! copy is current; the writer fills the other one and then counts up. A writer
//! that dies half-way leaves the current copy as it was, and the next writer
//! simply begins again: there is no lock to recover and no state to repair.

use crate::sync::AtomicU64;
use std::sync::atomic::Ordering::*;

#[derive(Clone, Copy)]
pub(crate) struct Latch<'a> {
    count: &'a AtomicU64,
    copies: [&'a [AtomicU64]; 2],
}

/// Each further try means that the writer finished one more publication
/// meanwhile; so many in a row do not happen to a reader that runs.
const TRIES: usize = 8;

impl<'a> Latch<'a> {
    /// Words that a record of `payload` words takes.
    pub(crate) const fn words(payload: usize) -> usize {
        1 + 2 * payload
    }

    /// A latch over `words`; zeros are a record of zeros, never published.
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        assert!(words.len() % 2 == 1, "a latch is a count and two copies");
        let (count, copies) = (&words[0], &words[1..]);
        let (first, second) = copies.split_at(copies.len() / 2);
        Self {
            count,
            copies: [first, second],
        }
    }

    /// How often was a record published? Changes with each publication.
    pub(crate) fn epoch(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Publish a record; returns its epoch. Words that `record` does not have
    /// become 0. One writer at a time.
    pub(crate) fn publish(&self, record: impl IntoIterator<Item = u64>) -> u64 {
        for (word, value) in self.stores(record) {
            // Each store is a release: a reader that sees one of them, and then
            // looks at the count, sees every count from before.
            word.store(value, Release);
        }
        self.epoch()
    }

    /// A publication as the list of its stores, in order.
    pub(crate) fn stores(
        &self,
        record: impl IntoIterator<Item = u64>,
    ) -> impl Iterator<Item = (&'a AtomicU64, u64)> {
        let next = self.count.load(Relaxed).wrapping_add(1);
        let values = record.into_iter().chain(std::iter::repeat(0));
        let copy = self.copy(next).iter().zip(values);
        copy.chain(std::iter::once((self.count, next)))
    }

    /// The newest complete record; returns its epoch. `None`: the writer was
    /// faster every time, and `record` is unspecified.
    pub(crate) fn read(&self, record: &mut [u64]) -> Option<u64> {
        for _ in 0..TRIES {
            let epoch = self.count.load(Acquire);
            for (value, word) in record.iter_mut().zip(self.copy(epoch)) {
                *value = word.load(Acquire);
            }
            // The writer touches this copy again only after it counted up.
            if self.count.load(Relaxed) == epoch {
                return Some(epoch);
            }
        }
        None
    }

    fn copy(&self, epoch: u64) -> &'a [AtomicU64] {
        self.copies[usize::from(epoch & 1 == 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(payload: usize) -> Vec<AtomicU64> {
        let mut words = Vec::new();
        words.resize_with(Latch::words(payload), AtomicU64::default);
        words
    }

    fn read(latch: Latch<'_>) -> [u64; 3] {
        let mut record = [99; 3];
        latch.read(&mut record).unwrap();
        record
    }

    /// A02, F08: kill the writer after each single store, at either parity.
    #[test]
    fn a_killed_writer_leaves_the_last_complete_record() {
        for earlier in 0..3 {
            for survived in 0..=4 {
                let words = words(3);
                let latch = Latch::new(&words);
                for n in 0..earlier {
                    latch.publish([n, n, n]);
                }
                let before = read(latch);
                for (word, value) in latch.stores([7, 8, 9]).take(survived) {
                    word.store(value, Release);
                }
                let all = survived == 4; // three values and the count
                assert_eq!(read(latch), if all { [7, 8, 9] } else { before });

                // The next writer needs no repair.
                latch.publish([4, 5, 6]);
                assert_eq!(read(latch), [4, 5, 6]);
            }
        }
    }

    #[test]
    fn short_records_are_filled_up_with_zeros() {
        let words = words(3);
        let latch = Latch::new(&words);
        latch.publish([1, 2, 3]);
        latch.publish([1, 2, 3]);
        latch.publish([5]);
        assert_eq!(read(latch), [5, 0, 0]);
        assert_eq!(latch.epoch(), 3);
    }

    /// A reader beside a writer that never stops gets whole records, in order.
    #[test]
    fn readers_never_see_a_mixture() {
        let words = words(3);
        let latch = Latch::new(&words);
        let last = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=last {
                    latch.publish([n, n + 1, n + 2]);
                }
            });
            let mut newest = 0;
            while newest < last {
                let mut record = [0; 3];
                let Some(epoch) = latch.read(&mut record) else {
                    continue;
                };
                if epoch > 0 {
                    assert_eq!(record, [epoch, epoch + 1, epoch + 2]);
                }
                assert!(epoch >= newest);
                newest = epoch;
            }
        });
    }
}
