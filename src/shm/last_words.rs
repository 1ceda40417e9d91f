//! What a child last warned of or complained about, kept where the master can read
//! it when the child is dead or hangs: so whoever asked for a reload is told why it
//! failed. One row per slot, a ring of a few lines.
//!
//! The child may have scribbled here, or have been killed in the middle of a line.
//! The master takes nothing from it but text, cut and cleaned.

use super::Region;
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Enough for the complaint itself, libdtm's line about it, and two more.
const LINES: usize = 4;
/// Longest line that is kept whole, in bytes; with its length, 256 bytes.
const WIDTH: usize = 248;
const WORD: usize = size_of::<u64>();
const LINE: usize = 1 + WIDTH / WORD;
/// How many lines there were, then the lines.
const ROW: usize = 1 + LINES * LINE;

pub(crate) struct LastWords {
    region: Region,
}

impl LastWords {
    pub(crate) fn new(slots: usize) -> Result<Self> {
        let region = Region::new("dtm-last-words", slots * ROW * WORD)?;
        Ok(Self { region })
    }

    /// Only the slot's own process.
    pub(crate) fn say(&self, slot: usize, text: &str) {
        let row = self.row(slot);
        let count = row[0].load(Relaxed);
        let line = line_of(row, count);
        let bytes = &text.as_bytes()[..text.len().min(WIDTH)];
        // A line that is being written is empty.
        line[0].store(0, Relaxed);
        for (word, part) in line[1..].iter().zip(bytes.chunks(WORD)) {
            let mut full = [0; WORD];
            full[..part.len()].copy_from_slice(part);
            word.store(u64::from_ne_bytes(full), Relaxed);
        }
        line[0].store(u64::try_from(bytes.len()).unwrap_or(0), Relaxed);
        row[0].store(count.wrapping_add(1), Relaxed);
    }

    /// The lines of a slot's last process, the oldest first.
    pub(crate) fn read(&self, slot: usize) -> Vec<String> {
        let row = self.row(slot);
        let count = row[0].load(Relaxed);
        let lines = u64::try_from(LINES).unwrap_or(0);
        let first = count.saturating_sub(lines);
        let texts = (first..count).map(|n| text(line_of(row, n)));
        texts.filter(|text| !text.is_empty()).collect()
    }

    /// Before a fork: the row belongs to the new process.
    pub(crate) fn forget(&self, slot: usize) {
        for word in self.row(slot) {
            word.store(0, Relaxed);
        }
    }

    fn row(&self, slot: usize) -> &[AtomicU64] {
        self.region.u64s(slot * ROW * WORD, ROW)
    }
}

fn line_of(row: &[AtomicU64], n: u64) -> &[AtomicU64] {
    let at = usize::try_from(n).unwrap_or(0) % LINES;
    &row[1 + at * LINE..][..LINE]
}

fn text(line: &[AtomicU64]) -> String {
    let len = usize::try_from(line[0].load(Relaxed))
        .unwrap_or(0)
        .min(WIDTH);
    let words = line[1..].iter().flat_map(|w| w.load(Relaxed).to_ne_bytes());
    let bytes: Vec<u8> = words.take(len).collect();
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    // The cut may have gone through a character.
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\u{fffd}')
        .chars()
        .map(clean)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_lines_are_kept() {
        let words = LastWords::new(2).unwrap();
        assert!(words.read(1).is_empty());
        for n in 1..=6 {
            words.say(1, &format!("line {n}"));
        }
        assert_eq!(words.read(1), ["line 3", "line 4", "line 5", "line 6"]);
        assert!(words.read(0).is_empty());
        words.forget(1);
        assert!(words.read(1).is_empty());
        words.say(1, "anew");
        assert_eq!(words.read(1), ["anew"]);
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let words = LastWords::new(1).unwrap();
        words.say(0, &format!("x{}", "é".repeat(200)));
        let kept = words.read(0).remove(0);
        assert_eq!(kept, format!("x{}", "é".repeat((WIDTH - 1) / 2)));
    }

    proptest! {
        /// Whatever a child leaves there: a few lines of printable text.
        #[test]
        fn scribbling_does_no_harm(scribble in proptest::collection::vec(any::<u64>(), ROW)) {
            let words = LastWords::new(1).unwrap();
            for (word, value) in words.row(0).iter().zip(scribble) {
                word.store(value, Relaxed);
            }
            let lines = words.read(0);
            prop_assert!(lines.len() <= LINES);
            prop_assert!(lines.iter().all(|l| !l.contains(char::is_control)));
        }
    }
}
