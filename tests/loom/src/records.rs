//! Records that one process publishes and all read. A02

use crate::explore;
use crate::latch::Latch;
use crate::sync::AtomicU64;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

/// The writer is killed after `step` stores of a record, and its successor publishes two. A reader has a whole record each time, and never an older one.
fn a_writer_that_dies(step: usize) {
    explore(&format!("records: killed after {step} stores"), move || {
        let words = || (0..Latch::words(2)).map(|_| AtomicU64::new(0));
        let words: Arc<Vec<AtomicU64>> = Arc::new(words().collect());
        let published = Arc::clone(&words);
        let reader = thread::spawn(move || {
            let mut newest = 0;
            for _ in 0..2 {
                let mut record = [9; 2];
                if let Some(epoch) = Latch::new(&published).read(&mut record) {
                    assert_eq!(record[0], record[1], "torn");
                    assert!(epoch >= newest, "older than before");
                    newest = epoch;
                }
            }
        });
        let latch = Latch::new(&words);
        for (word, value) in latch.stores([1, 1]).take(step) {
            word.store(value, Release);
        }
        latch.publish([2, 2]);
        latch.publish([3, 3]);
        reader.join().unwrap();
        let mut record = [9; 2];
        assert!(Latch::new(&words).read(&mut record).is_some());
        assert_eq!(record, [3, 3], "the newest at the end");
    });
}

pub(crate) fn models() {
    (0..=3).for_each(a_writer_that_dies);
}
