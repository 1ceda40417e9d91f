//! Steering: what is loaded, and which socket stands where.

use super::steer::Bench;
use super::*;
use crate::bpf::away;
use crate::bpf::loads::ROWS_MAX;
use crate::ffi::DTM_EINVAL;
use crate::process::fork::{Forked, fork};

#[test]
fn placed_twice_is_placed() {
    let Some(bench) = Bench::new(2) else { return };
    bench.steer.place_base(0, bench.group.base.as_fd()).unwrap();
    bench
        .steer
        .place(0, 1, bench.group.members[1].as_fd())
        .unwrap();
    assert_eq!(bench.sends(3), [0, 1, 0].map(Some));
    // But a socket has one place.
    let twice = bench.steer.place(0, 0, bench.group.members[1].as_fd());
    assert_eq!(twice.unwrap_err().code, -libc::EBUSY);
    assert_eq!(bench.sends(2), [1, 0].map(Some));
}

#[test]
fn a_new_worker_finds_the_queue_of_the_old_one() {
    let Some(bench) = Bench::new(2) else { return };
    bench.row(1).go_away(away::FULL);
    let _clients: Vec<_> = (0..3).map(|_| bench.group.connect()).collect();
    let row = bench.row(0);
    row.set_load(9);
    bench.wake(0, 1);
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
    assert_eq!(bench.row(0).on_the_way(), 0);
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
    let steer = steer_for(3, 1).unwrap();
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
    let steer = steer_for(2, 2).unwrap();
    let groups = [Group::new(2), Group::at("[::1]:0", 2)];
    for (listener, group) in groups.iter().enumerate() {
        steer.place_base(listener, group.base.as_fd()).unwrap();
        for (row, member) in group.members.iter().enumerate() {
            steer.place(listener, row, member.as_fd()).unwrap();
            steer.loads().rows()[row].come_back(away::CLOSED);
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
        let steer = steer_for(rows, 1).unwrap();
        let group = Group::new(1);
        let last = rows - 1;
        steer.place(0, last, group.members[0].as_fd()).unwrap();
        steer.loads().rows()[last].come_back(away::CLOSED);
        steer.set_rows(rows);
        steer.attach(0, group.base.as_fd()).unwrap();
        assert_eq!(group.send(), Some(0));
        assert_eq!(steer.loads().rows()[last].on_the_way(), 1);
    }
    for rows in [0, ROWS_MAX + 1] {
        assert_eq!(steer_for(rows, 1).err().unwrap().code, DTM_EINVAL);
    }
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    let error = as_nobody(|| steer_for(4, 1).err());
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
