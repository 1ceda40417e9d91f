//! The loop's clients, for those who ask from outside.

use super::clock::NS_PER_MS;
use super::entry::{BUSY, Entry};
use super::reactor::Reactor;
use crate::channel::{ClientFacts, Clients, MOST_CLIENTS};
use crate::shm::NUMBER_BITS;
use std::collections::BinaryHeap;

/// A client's number and the second of its birth share a word: 40 bits count a million
/// clients a second for 12 days, over and over; 23 bits of seconds are 97 days, and an
/// age is a difference. The top bit is free: see [`crate::shm::Note`].
const SECONDS_MASK: u64 = (1 << (63 - NUMBER_BITS)) - 1;

pub(super) fn birth(number: u64, now_ms: u64) -> u64 {
    (((now_ms / 1000) & SECONDS_MASK) << NUMBER_BITS) | number_of(number)
}

pub(super) fn number_of(birth: u64) -> u64 {
    birth & ((1 << NUMBER_BITS) - 1)
}

fn age_of(birth: u64, now_ms: u64) -> u32 {
    let age = (now_ms / 1000).wrapping_sub(birth >> NUMBER_BITS) & SECONDS_MASK;
    u32::try_from(age).unwrap_or(u32::MAX)
}

impl Reactor {
    /// All counted, and the most interesting told of: the busy ones, then the oldest.
    /// One look at every entry; nothing is kept for it meanwhile.
    pub(crate) fn census(&self) -> Clients {
        let now = self.now_ms();
        let mut chosen = BinaryHeap::new();
        let mut watches = 0;
        let mut index = 0;
        while let Some(entry) = self.slab.get(index) {
            watches += u32::from(entry.is_watch());
            if entry.is_client() {
                let age = u64::from(age_of(entry.id.get(), now));
                chosen.push((!entry.has(BUSY), u64::MAX - age, entry.id(), index));
                if chosen.len() > MOST_CLIENTS {
                    chosen.pop(); // the least interesting of them
                }
            }
            index += 1;
        }
        let list = chosen.into_sorted_vec().into_iter();
        let list = list.filter_map(|(.., index)| self.slab.get(index));
        Clients {
            open: self.clients(),
            busy: self.busy(),
            watches,
            draining: self.draining(),
            left_ms: u64::MAX,
            list: list.map(|entry| facts(entry, now)).collect(),
        }
    }
}

fn facts(entry: &Entry, now_ms: u64) -> ClientFacts {
    let (listener, _, peer) = entry.origin();
    ClientFacts {
        id: entry.id(),
        age_s: age_of(entry.id.get(), now_ms),
        quiet_ms: now_ms.saturating_sub(entry.stamp.get() / NS_PER_MS),
        busy: entry.has(BUSY),
        interest: entry.interest.get().into(),
        listener,
        peer: peer.to_string(),
        state: crate::report::label::name(entry.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_age_share_a_word() {
        let born = birth(7, 5_000);
        assert_eq!((number_of(born), age_of(born, 65_999)), (7, 60));
        // The seconds go round: a machine that has been up for a year.
        let before = (SECONDS_MASK * 2 + 1) * 1000;
        let born = birth(8, before);
        assert_eq!((number_of(born), age_of(born, before + 3_000)), (8, 3));
        assert_eq!(number_of(birth((1 << NUMBER_BITS) + 9, 0)), 9);
    }
}
