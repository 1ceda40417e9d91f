//! Block A, master to all: which processes there are, and what each is told.

use super::{Latch, Region};
use crate::error::Result;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// One slot of the process table. State 0: the slot is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// DTM_ROLE_*.
    pub(crate) role: u32,
    /// DTM_WORKER_*.
    pub(crate) state: u32,
    pub(crate) generation: u32,
    pub(crate) index: u32,
    pub(crate) pid: i32,
    /// DTM_CLASS_*.
    pub(crate) class: u32,
    pub(crate) spawn: u64,
    /// How the slot's last process ended: DTM_REASON_*, and its wait status.
    pub(crate) reason: u32,
    pub(crate) status: i32,
    /// Since when the slot stands so, and when the next fork is due (0: none is):
    /// CLOCK_MONOTONIC in ms.
    pub(crate) since: u64,
    pub(crate) next_fork: u64,
    /// What the slot has seen, over all its processes. Never falls.
    pub(crate) forks: u32,
    pub(crate) deaths: u32,
    pub(crate) crashes: u32,
    pub(crate) timeouts: u32,
    pub(crate) disallowed: u32,
    pub(crate) recycled: u32,
}

const ROW: usize = 10;

impl Row {
    fn pack(&self) -> [u64; ROW] {
        [
            pair(self.role, self.state),
            pair(self.generation, self.index),
            pair(self.pid.cast_unsigned(), self.class),
            self.spawn,
            pair(self.reason, self.status.cast_unsigned()),
            self.since,
            self.next_fork,
            pair(self.forks, self.deaths),
            pair(self.crashes, self.timeouts),
            pair(self.disallowed, self.recycled),
        ]
    }

    fn unpack(words: &[u64; ROW]) -> Self {
        let [a, b, c, spawn, d, since, next_fork, e, f, g] = *words;
        Self {
            role: high(a),
            state: low(a),
            generation: high(b),
            index: low(b),
            pid: high(c).cast_signed(),
            class: low(c),
            spawn,
            reason: high(d),
            status: low(d).cast_signed(),
            since,
            next_fork,
            forks: high(e),
            deaths: low(e),
            crashes: high(f),
            timeouts: low(f),
            disallowed: high(g),
            recycled: low(g),
        }
    }
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the half that was asked for"
)]
fn low(word: u64) -> u32 {
    word as u32
}

/// What the master wants of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Run = 0,
    /// Take no new client, finish those there are, leave.
    Drain = 1,
    /// Leave at once.
    Stop = 2,
    /// The time for the drain is over: close what is left, and leave.
    Expire = 3,
}

pub(crate) struct Table {
    region: Region,
    slots: usize,
}

impl Table {
    pub(crate) fn new(slots: usize) -> Result<Self> {
        let words = slots + Latch::words(slots * ROW);
        let region = Region::published("dtm-table", words * size_of::<u64>())?;
        Ok(Self { region, slots })
    }

    /// Called in each child: the master alone writes.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.region.make_read_only()
    }

    /// Master: publish the rows of slots 0, 1, ...; returns the epoch.
    pub(crate) fn publish<'a>(&self, rows: impl IntoIterator<Item = &'a Row>) -> u64 {
        self.latch().publish(rows.into_iter().flat_map(Row::pack))
    }

    /// The epoch of the newest rows: cheap, to see whether a read is worth while.
    pub(crate) fn epoch(&self) -> u64 {
        self.latch().epoch()
    }

    /// The newest rows, one for each slot, and their epoch. `None` (the master
    /// was publishing all the time): `rows` is as before.
    pub(crate) fn read(&self, rows: &mut Vec<Row>) -> Option<u64> {
        let mut words = vec![0; self.slots * ROW];
        let epoch = self.latch().read(&mut words)?;
        rows.clear();
        rows.extend(words.as_chunks::<ROW>().0.iter().map(Row::unpack));
        Some(epoch)
    }

    /// Master: tell the child `spawn` of a slot what to do. Before each fork
    /// the slot's order is set to Run for the new spawn.
    pub(crate) fn set_order(&self, slot: usize, spawn: u64, order: Order) {
        self.orders()[slot].store(spawn << 2 | order as u64, Release);
    }

    /// A child: what am I told? One load, to be asked on every pass: messages
    /// are nudges that may get lost, this is the truth.
    pub(crate) fn order(&self, slot: usize, spawn: u64) -> Order {
        let word = self.orders()[slot].load(Acquire);
        match word & 3 {
            // The slot is for another child now: this one was written off.
            _ if word >> 2 != spawn => Order::Stop,
            0 => Order::Run,
            1 => Order::Drain,
            3 => Order::Expire,
            _ => Order::Stop,
        }
    }

    /// May this spawn be alive? Sure from before its fork until after its death; a
    /// spawn that never was is not known.
    pub(crate) fn knows(&self, spawn: u64) -> bool {
        let mut orders = self.orders().iter();
        orders.any(|order| order.load(Acquire) >> 2 == spawn)
    }

    fn orders(&self) -> &[AtomicU64] {
        self.region.u64s(0, self.slots)
    }

    fn latch(&self) -> Latch<'_> {
        let start = self.slots * size_of::<u64>();
        Latch::new(self.region.u64s(start, Latch::words(self.slots * ROW)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_survive_packing(a: [u32; 12], b: [i32; 2], c: [u64; 3]) {
            let [role, state, generation, index, class, reason, ..] = a;
            let [.., forks, deaths, crashes, timeouts, disallowed, recycled] = a;
            let ([pid, status], [spawn, since, next_fork]) = (b, c);
            let row = Row {
                role, state, generation, index, pid, class, spawn, reason, status, since, next_fork,
                forks, deaths, crashes, timeouts, disallowed, recycled,
            };
            prop_assert_eq!(Row::unpack(&row.pack()), row);
        }
    }

    #[test]
    fn rows_are_published_whole() {
        let table = Table::new(3).unwrap();
        let mut rows = vec![Row {
            spawn: 99,
            ..Row::default()
        }];
        assert_eq!(table.read(&mut rows), Some(0));
        assert_eq!(rows, [Row::default(); 3]);

        let two = [1, 2].map(|spawn| Row {
            spawn,
            pid: i32::MIN,
            ..Row::default()
        });
        assert_eq!(table.publish(&two), 1);
        assert_eq!(table.epoch(), 1);
        assert_eq!(table.read(&mut rows), Some(1));
        assert_eq!(rows[..2], two);
        assert_eq!(rows[2], Row::default());
    }

    #[test]
    fn an_order_is_for_one_spawn_only() {
        let table = Table::new(2).unwrap();
        table.set_order(1, 7, Order::Run);
        assert_eq!(table.order(1, 7), Order::Run);
        table.set_order(1, 7, Order::Drain);
        assert_eq!(table.order(1, 7), Order::Drain);
        assert!(table.knows(7) && !table.knows(8));
        table.set_order(1, 8, Order::Run);
        assert_eq!(table.order(1, 8), Order::Run);
        assert_eq!(table.order(1, 7), Order::Stop);
    }
}
