//! The program in the kernel does what these few lines say, whatever the table holds.

use super::steer::{Bench, now_ns};
use crate::bpf::Row;
use crate::bpf::loads::Header;
use proptest::prelude::*;
use std::sync::atomic::Ordering::Relaxed;

const ROWS: usize = 20;

#[derive(Debug, Clone)]
struct Content {
    load: u32,
    away: u32,
    busy_since: u64,
    assigned: u32,
    taken: u32,
}

impl Content {
    fn of(row: &Row) -> Self {
        Self {
            load: row.load.load(Relaxed),
            away: row.away.load(Relaxed),
            busy_since: row.busy_since.load(Relaxed),
            assigned: row.assigned.load(Relaxed),
            taken: row.taken.load(Relaxed),
        }
    }

    fn write(&self, row: &Row) {
        row.load.store(self.load, Relaxed);
        row.away.store(self.away, Relaxed);
        row.busy_since.store(self.busy_since, Relaxed);
        row.assigned.store(self.assigned, Relaxed);
        row.taken.store(self.taken, Relaxed);
    }
}

fn model(rows: &[Content], header: &Header, now: u64) -> Option<usize> {
    let deadline = now.wrapping_sub(header.limit.load(Relaxed));
    let turn = header.turn.load(Relaxed);
    let count = header.rows.load(Relaxed) as usize;
    let open = rows
        .iter()
        .enumerate()
        .take(count)
        .filter(|(_, row)| row.away == 0);
    let best = open.min_by_key(|(i, row)| {
        let overdue = row.busy_since.wrapping_sub(deadline).cast_signed() < 0;
        let way = row.assigned.wrapping_sub(row.taken).cast_signed().max(0);
        let order = (*i as u32).wrapping_sub(turn) % 1024;
        (overdue, i64::from(row.load) + i64::from(way), order)
    });
    best.map(|(i, _)| i)
}

/// Small numbers make ties, large ones make overflows.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..4u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

/// Never so near to the limit that the time of the test could decide.
fn since() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(i64::MAX.cast_unsigned()), 2 => Just(1), 1 => any::<u64>()]
}

fn content() -> impl Strategy<Value = Content> {
    let away = prop_oneof![3 => Just(0), 1 => any::<u32>()];
    (number(), away, since(), number(), number()).prop_map(
        |(load, away, busy_since, assigned, taken)| Content {
            load,
            away,
            busy_since,
            assigned,
            taken,
        },
    )
}

#[test]
fn the_kernel_agrees_with_the_model() {
    let Some(bench) = Bench::new(ROWS) else {
        return;
    };
    let case = (
        prop::collection::vec(content(), ROWS),
        prop_oneof![3 => 0..=ROWS as u32, 1 => any::<u32>()],
        any::<u32>(),
        prop_oneof![3 => Just(crate::bpf::row::LIMIT_NS), 1 => any::<u64>()],
    );
    let header = bench.steer.header();
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    };
    proptest!(config, |((rows, count, turn, limit) in case)| {
        rows.iter().enumerate().for_each(|(i, row)| row.write(bench.row(i)));
        header.rows.store(count, Relaxed);
        header.turn.store(turn, Relaxed);
        header.limit.store(limit, Relaxed);
        // Each connection changes the table for the next one.
        for _ in 0..4 {
            let rows: Vec<_> = (0..ROWS).map(|i| Content::of(bench.row(i))).collect();
            let expected = model(&rows, header, now_ns());
            prop_assert_eq!(bench.group.send(), expected);
            if let Some(row) = expected {
                prop_assert_eq!(header.turn.load(Relaxed) as usize, row + 1);
                let assigned = bench.row(row).assigned.load(Relaxed);
                prop_assert_eq!(assigned, rows[row].assigned.wrapping_add(1));
            }
        }
    });
}
