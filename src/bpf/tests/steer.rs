//! Steering: who gets the next connection.

use super::*;
use crate::bpf::{Loads, Row, Steer, away};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const SECOND: u64 = 1_000_000_000;

/// A group with a row for each member, all open and asleep.
pub(super) struct Bench {
    pub(super) group: Group,
    pub(super) steer: Steer,
    loads: Arc<Loads>,
}

impl Bench {
    pub(super) fn new(rows: usize) -> Option<Self> {
        Self::at("127.0.0.1:0", rows)
    }

    pub(super) fn at(address: &str, rows: usize) -> Option<Self> {
        if !privileged() {
            return None;
        }
        let group = Group::at(address, rows);
        let steer = steer_for(rows, 1).unwrap();
        let loads = steer.loads();
        steer.place_base(0, group.base.as_fd()).unwrap();
        for row in 0..rows {
            steer.place(0, row, group.members[row].as_fd()).unwrap();
            loads.rows()[row].come_back(away::CLOSED);
        }
        steer.set_rows(rows);
        steer.attach(0, group.base.as_fd()).unwrap();
        Some(Self {
            group,
            steer,
            loads,
        })
    }

    pub(super) fn row(&self, row: usize) -> &Row {
        &self.loads.rows()[row]
    }

    pub(super) fn wake(&self, row: usize, at_ns: u64) {
        self.row(row).beat().store(at_ns, Relaxed);
    }

    /// One connection, accepted at once and closed: no load stays.
    pub(super) fn send(&self) -> Option<usize> {
        let to = self.group.send();
        if let Some(row) = to {
            self.row(row).took(1);
        }
        to
    }

    pub(super) fn sends(&self, n: usize) -> Vec<Option<usize>> {
        (0..n).map(|_| self.send()).collect()
    }
}

pub(super) fn now_ns() -> u64 {
    crate::sys::now_ms() * (SECOND / 1000)
}

#[test]
fn the_least_loaded_gets_it() {
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let Some(bench) = Bench::at(address, 4) else {
            return;
        };
        for best in [2, 0, 3, 1] {
            (0..4).for_each(|row| bench.row(row).set_load(if row == best { 6 } else { 7 }));
            assert_eq!(bench.send(), Some(best), "{address}");
        }
        bench.row(0).set_load(u32::MAX);
        bench.row(2).set_load(0);
        assert_eq!(bench.sends(2), [Some(2); 2], "{address}");
    }
}

#[test]
fn both_families_of_one_socket() {
    let Some(bench) = Bench::at("[::]:0", 2) else {
        return;
    };
    bench.row(0).set_load(9);
    let port = bench.group.address.port();
    let _clients = ["127.0.0.1", "::1"].map(|host| TcpStream::connect((host, port)).unwrap());
    assert_eq!(bench.group.drain(), (0, vec![0, 2]));
}

#[test]
fn equals_take_turns() {
    let Some(bench) = Bench::new(5) else { return };
    let turns = [0, 1, 2, 3, 4, 0, 1].map(Some);
    assert_eq!(bench.sends(7), turns);
    // Those that are left take turns, too: none inherits its neighbours' share.
    bench.row(1).set_load(1);
    bench.row(3).go_away(away::FULL);
    bench.row(4).go_away(away::LEAVING);
    assert_eq!(bench.sends(4), [2, 0, 2, 0].map(Some));
}

#[test]
fn a_burst_is_spread_before_anybody_accepts() {
    let Some(bench) = Bench::new(4) else { return };
    bench.row(3).set_load(10);
    let _clients: Vec<_> = (0..90).map(|_| bench.group.connect()).collect();
    let waiting: Vec<_> = (0..4).map(|row| bench.row(row).on_the_way()).collect();
    assert_eq!(waiting, [25, 25, 25, 15]);
    assert_eq!(bench.group.drain(), (0, vec![25, 25, 25, 15]));
}

#[test]
fn those_that_are_away_get_none() {
    let Some(bench) = Bench::new(3) else { return };
    for why in [away::CLOSED, away::HUNG, away::FULL, away::LEAVING] {
        bench.row(1).go_away(why);
        assert!(!bench.sends(6).contains(&Some(1)));
        bench.row(1).come_back(why);
        assert!(bench.sends(3).contains(&Some(1)));
    }
    // Rather a loaded, busy worker than one that is away.
    bench.row(0).set_load(u32::MAX);
    bench.wake(0, now_ns() - SECOND);
    bench.row(1).go_away(away::HUNG);
    bench.row(2).go_away(away::FULL | away::LEAVING);
    assert_eq!(bench.sends(2), [Some(0); 2]);
    // Each one has its bits.
    bench.row(2).come_back(away::FULL);
    assert_eq!(bench.send(), Some(0));

    bench.row(0).vacate();
    assert_eq!(bench.sends(3), [None; 3]);
}

#[test]
fn a_blocked_worker_is_left_alone_while_another_is_there() {
    let Some(bench) = Bench::new(3) else { return };
    bench.wake(0, now_ns() - SECOND);
    bench.row(1).set_load(1000);
    bench.row(2).go_away(away::FULL);
    assert_eq!(bench.sends(3), [Some(1); 3]);
    // All of them: the least loaded one.
    bench.wake(1, now_ns() - SECOND);
    assert_eq!(bench.sends(3), [Some(0); 3]);
    bench.row(1).asleep();
    assert_eq!(bench.sends(3), [Some(1); 3]);
    // Not for too long, as things are.
    bench.steer.header().limit.store(3600 * SECOND, Relaxed);
    assert_eq!(bench.sends(3), [Some(0); 3]);
}

/// In a loop of the service's own, a worker says when it was last seen.
#[test]
fn one_that_has_just_gone_to_sleep_is_not_blocked() {
    let Some(bench) = Bench::new(2) else { return };
    bench.row(1).set_load(1);
    for ago in [0, SECOND / 10_000, SECOND] {
        bench.wake(0, crate::event::ASLEEP + crate::sys::now_ns() - ago);
        assert_eq!(bench.send(), Some(0), "asleep for {ago} ns");
    }
}

#[test]
fn only_the_first_rows_count() {
    let Some(bench) = Bench::new(5) else { return };
    for n in [1, 2, 4, 5, 100] {
        bench.steer.set_rows(n);
        let mut got: Vec<_> = bench.sends(n.min(5)).into_iter().flatten().collect();
        got.sort_unstable();
        assert_eq!(got, (0..n.min(5)).collect::<Vec<_>>());
    }
    bench.steer.set_rows(0);
    assert_eq!(bench.sends(2), [None; 2]);
}

#[test]
fn what_never_arrived_is_forgiven() {
    let Some(bench) = Bench::new(2) else { return };
    let row = bench.row(0);
    bench.row(1).go_away(away::FULL);
    let connect = |n| (0..n).map(|_| bench.group.connect()).collect::<Vec<_>>();
    // Lost on the way, for all that the row knows.
    let _lost = connect(3);
    bench.group.drain();
    let then = row.reconcile(row.assigned());
    assert_eq!(row.on_the_way(), 0);
    // What comes after the look is not forgiven before the next one.
    let _coming = connect(2);
    let then = row.reconcile(then);
    assert_eq!(row.on_the_way(), 2);
    // They come after all: fewer than none must not look like four billion.
    bench.group.drain();
    row.took(3);
    assert_eq!(row.on_the_way(), 0);
    row.set_load(3);
    bench.row(1).set_load(4);
    bench.row(1).come_back(away::FULL);
    assert_eq!(bench.group.send(), Some(0));
    // Nor be held against those that come next.
    row.reconcile(then);
    let _next = connect(1);
    assert_eq!(row.on_the_way(), 1);
}
