//! Steering: who gets the next connection.

use super::*;
use crate::bpf::{ROWS_MAX, Row, Steer, away};
use crate::ffi::DTM_EINVAL;
use crate::process::fork::{Forked, fork};

const SECOND: u64 = 1_000_000_000;

/// A group with a row for each member, all open and asleep.
pub(super) struct Bench {
    pub(super) group: Group,
    pub(super) steer: Steer,
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

    pub(super) fn row(&self, row: usize) -> &Row {
        self.steer.row(row)
    }

    /// One connection, accepted at once and closed: no load stays.
    fn send(&self) -> Option<usize> {
        let to = self.group.send();
        if let Some(row) = to {
            self.row(row).took(1);
        }
        to
    }

    fn sends(&self, n: usize) -> Vec<Option<usize>> {
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
        assert_eq!(bench.steer.spilled(), 0);
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
    bench.row(0).busy(now_ns() - SECOND);
    bench.row(1).go_away(away::HUNG);
    bench.row(2).go_away(away::FULL | away::LEAVING);
    assert_eq!(bench.sends(2), [Some(0); 2]);
    // Each one has its bits.
    bench.row(2).come_back(away::FULL);
    assert_eq!(bench.send(), Some(0));

    bench.row(0).vacate();
    assert_eq!(bench.sends(3), [None; 3]);
    assert_eq!(bench.steer.spilled(), 3);
}

#[test]
fn a_blocked_worker_is_left_alone_while_another_is_there() {
    let Some(bench) = Bench::new(3) else { return };
    bench.row(0).busy(now_ns() - SECOND);
    bench.row(1).set_load(1000);
    bench.row(2).go_away(away::FULL);
    assert_eq!(bench.sends(3), [Some(1); 3]);
    // All of them: the least loaded one.
    bench.row(1).busy(now_ns() - SECOND);
    assert_eq!(bench.sends(3), [Some(0); 3]);
    bench.row(1).asleep();
    assert_eq!(bench.sends(3), [Some(1); 3]);
    // Not for too long, as things are.
    bench.steer.set_limit(3600 * SECOND);
    assert_eq!(bench.sends(3), [Some(0); 3]);
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
    bench.row(1).set_load(4);
    let _clients: Vec<_> = (0..3).map(|_| bench.group.connect()).collect();
    assert_eq!(bench.group.drain(), (0, vec![3, 0]));
    assert_eq!(row.on_the_way(), 3);
    row.settle();
    assert_eq!(row.on_the_way(), 0);
    // They come after all: fewer than none must not look like four billion.
    row.took(3);
    assert_eq!(row.on_the_way(), 0);
    row.set_load(3);
    assert_eq!(bench.group.send(), Some(0));
}

#[test]
fn a_new_worker_finds_the_queue_of_the_old_one() {
    let Some(bench) = Bench::new(2) else { return };
    bench.row(1).go_away(away::FULL);
    let _clients: Vec<_> = (0..3).map(|_| bench.group.connect()).collect();
    let row = bench.row(0);
    row.set_load(9);
    row.busy(1);
    row.go_away(away::FULL);
    row.vacate();
    assert_eq!(
        (row.away(), row.load(), row.on_the_way()),
        (away::CLOSED, 0, 3)
    );
    assert_eq!(bench.group.drain(), (0, vec![3, 0]));
    row.took(3);
    assert_eq!(bench.send(), None);
    row.come_back(away::CLOSED);
    assert_eq!(bench.send(), Some(0));
}

#[test]
fn a_row_without_a_socket_spills() {
    let Some(mut bench) = Bench::new(2) else {
        return;
    };
    bench.row(1).set_load(1);
    let gone = bench.group.members.remove(0);
    drop(gone);
    assert_eq!(bench.group.send(), None);
    assert_eq!((bench.steer.spilled(), bench.row(0).on_the_way()), (1, 0));
    // A new one takes its place.
    bench.group.grow();
    bench
        .steer
        .place(0, 0, bench.group.members[1].as_fd())
        .unwrap();
    assert_eq!(bench.group.send(), Some(1));
    // And another one pushes it out.
    bench.group.grow();
    bench.row(0).took(1);
    bench
        .steer
        .place(0, 0, bench.group.members[2].as_fd())
        .unwrap();
    assert_eq!(bench.group.send(), Some(2));
}

#[test]
fn without_a_base_the_kernel_chooses() {
    if !privileged() {
        return;
    }
    let group = Group::new(3);
    let steer = Steer::load(3, 1).unwrap();
    steer.attach(0, group.base.as_fd()).unwrap();
    let _clients: Vec<_> = (0..100).map(|_| group.connect()).collect();
    let (base, members) = group.drain();
    assert_eq!(base + members.iter().sum::<usize>(), 100);
    assert!(base > 0 && members.iter().all(|n| *n > 0));
}

#[test]
fn listeners_have_their_sockets_and_one_table() {
    if !privileged() {
        return;
    }
    let steer = Steer::load(2, 2).unwrap();
    let groups = [Group::new(2), Group::at("[::1]:0", 2)];
    for (listener, group) in groups.iter().enumerate() {
        steer.place_base(listener, group.base.as_fd()).unwrap();
        for (row, member) in group.members.iter().enumerate() {
            steer.place(listener, row, member.as_fd()).unwrap();
            steer.row(row).come_back(away::CLOSED);
        }
        steer.attach(listener, group.base.as_fd()).unwrap();
    }
    steer.set_rows(2);
    let sent: Vec<_> = (0..6).map(|i| groups[i % 2].send()).collect();
    assert_eq!(sent, [0, 1, 0, 1, 0, 1].map(Some));
    // A socket of another group is refused, whatever the row says.
    let stranger = groups[1].members[0].as_fd();
    assert_eq!(steer.place(0, 0, stranger).unwrap_err().code, -libc::EBUSY);
}

#[test]
fn children_write_the_same_table() {
    let Some(bench) = Bench::new(2) else { return };
    match fork().unwrap() {
        Forked::Child => {
            bench.row(0).set_load(7);
            crate::process::exit_now(0);
        }
        Forked::Parent(pid) => {
            nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
        }
    }
    assert_eq!(bench.row(0).load(), 7);
    assert_eq!(bench.send(), Some(1));
}

#[test]
fn every_size_passes_the_verifier() {
    if !privileged() {
        return;
    }
    for rows in [1, 2, 16, 200, ROWS_MAX] {
        let steer = Steer::load(rows, 1).unwrap();
        let group = Group::new(1);
        let last = rows - 1;
        steer.place(0, last, group.members[0].as_fd()).unwrap();
        steer.row(last).come_back(away::CLOSED);
        steer.set_rows(rows);
        steer.attach(0, group.base.as_fd()).unwrap();
        assert_eq!(group.send(), Some(0));
        assert_eq!((steer.spilled(), steer.row(last).on_the_way()), (0, 1));
    }
    for rows in [0, ROWS_MAX + 1] {
        assert_eq!(Steer::load(rows, 1).err().unwrap().code, DTM_EINVAL);
    }
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    let error = as_nobody(|| Steer::load(4, 1).err());
    let Some(error) = error else {
        eprintln!("not tested: this machine lets everybody load programs");
        return;
    };
    assert_eq!(error.code, -libc::EPERM);
    assert!(
        error.text.contains("needs CAP_BPF and CAP_NET_ADMIN"),
        "{error}"
    );
}
