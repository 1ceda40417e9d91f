use super::*;
use crate::bpf::{Steer, away};

/// A group with a row for each member, all open and asleep.
struct Bench {
    group: Group,
    steer: Steer,
}

impl Bench {
    fn new(rows: usize) -> Option<Self> {
        if !privileged() {
            return None;
        }
        let group = Group::new(rows);
        let steer = Steer::load(rows, 1).unwrap();
        steer.place_base(0, group.base.as_fd()).unwrap();
        for row in 0..rows {
            steer.place(0, row, group.members[row].as_fd()).unwrap();
            steer.row(row).come_back(away::CLOSED);
        }
        steer.set_rows(rows);
        steer.attach(0, group.base.as_fd()).unwrap();
        Some(Self { group, steer })
    }
}

#[test]
fn the_least_loaded_gets_it() {
    let Some(bench) = Bench::new(4) else { return };
    for (row, load) in [7, 3, 9, 4].into_iter().enumerate() {
        bench.steer.row(row).set_load(load);
    }
    assert_eq!(bench.group.send(), Some(1));
}
