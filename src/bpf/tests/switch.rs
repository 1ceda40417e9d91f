//! Programs and sockets that change while connections arrive: none is lost.

use super::steer::Bench;
use super::*;
use crate::bpf::{attach_table, away};
use std::io::{ErrorKind::WouldBlock, Read, Write};
use std::time::Duration;

/// Repeat `change`, and serve what arrives, while somebody connects all the time.
fn under_load(group: &Group, mut change: impl FnMut()) {
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| (0..300).for_each(|_| ask(&mut group.connect())));
        while !clients.is_finished() {
            change();
            group.answer();
        }
    });
}

fn ask(client: &mut TcpStream) {
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.write_all(b"?").unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
}

impl Group {
    /// Serve all that wait; returns how many.
    fn answer(&self) -> usize {
        let sockets = std::iter::once(&self.base).chain(&self.members);
        let waiting = sockets.flat_map(|s| std::iter::from_fn(|| s.accept().ok()));
        waiting
            .map(|(mut client, _)| client.write_all(b"!").unwrap())
            .count()
    }
}

#[test]
fn tables_replace_each_other() {
    as_nobody(|| {
        let group = Group::new(3);
        let mut round = 0;
        under_load(&group, || {
            attach_table(group.base.as_fd(), &[round % 4, (round + 1) % 4]).unwrap();
            round += 1;
        });
    });
}

#[test]
fn table_and_steering_replace_each_other() {
    let Some(bench) = Bench::new(3) else { return };
    let base = bench.group.base.as_fd();
    under_load(&bench.group, || {
        attach_table(base, &[1, 2]).unwrap();
        bench.steer.attach(0, base).unwrap();
    });
    attach_table(base, &[1]).unwrap();
    assert_eq!(bench.group.send(), Some(0));
    bench.row(0).go_away(away::FULL);
    bench.row(1).go_away(away::FULL);
    bench.steer.attach(0, base).unwrap();
    assert_eq!(bench.group.send(), Some(2));
}

/// What a table chose is not on the account of steering.
#[test]
fn steering_after_a_table_counts_from_the_start() {
    let Some(bench) = Bench::new(2) else { return };
    let base = bench.group.base.as_fd();
    attach_table(base, &[1]).unwrap();
    let _clients: Vec<_> = (0..10).map(|_| bench.group.connect()).collect();
    assert_eq!(bench.group.drain(), (0, vec![10, 0]));
    bench.row(0).took(10);
    bench.steer.attach(0, base).unwrap();
    let _clients: Vec<_> = (0..10).map(|_| bench.group.connect()).collect();
    assert_eq!(bench.group.drain(), (0, vec![5, 5]));
    assert_eq!(bench.row(0).on_the_way(), 5);
}

/// The members' queues are served only afterwards; what is sent there is not lost. All
/// of them fit into one queue (128): a client whose queue is full only believes that it
/// is in it.
#[test]
fn a_group_grows_from_one_socket_under_load() {
    const MEMBERS: usize = 20;
    const EACH: usize = 5;
    let mut group = Group::new(0);
    let address = group.address;
    std::thread::scope(|scope| {
        let (go, may) = std::sync::mpsc::channel();
        let clients = scope.spawn(move || {
            let connect = |()| (0..EACH).map(|_| TcpStream::connect(address).unwrap());
            may.iter().flat_map(connect).collect::<Vec<_>>()
        });
        for _ in 0..MEMBERS {
            go.send(()).unwrap();
            group.grow();
        }
        drop(go);
        let mut open = clients.join().unwrap();
        assert_eq!(open.len(), MEMBERS * EACH);
        assert_eq!(group.answer(), open.len());
        open.iter_mut().for_each(ask);
    });
}

/// The queue of a socket that is closed goes to those that the program names.
#[test]
fn a_closed_socket_leaves_its_queue_to_the_others() {
    let Some(mut bench) = Bench::new(3) else {
        return;
    };
    for row in 1..3 {
        bench.row(row).go_away(away::FULL);
    }
    let mut clients: Vec<_> = (0..10).map(|_| bench.group.connect()).collect();
    bench.row(0).go_away(away::CLOSED);
    bench.row(2).come_back(away::FULL);
    drop(bench.group.members.remove(0));
    assert_eq!(bench.row(2).on_the_way(), 10);
    assert_eq!(
        bench.group.members[0].accept().err().unwrap().kind(),
        WouldBlock
    );
    assert_eq!(bench.group.answer(), 10);
    clients.iter_mut().for_each(ask);
    // Nobody is left: the base inherits.
    let mut clients: Vec<_> = (0..10).map(|_| bench.group.connect()).collect();
    bench.row(2).go_away(away::CLOSED);
    bench.group.members.clear();
    assert_eq!(bench.group.answer(), 10);
    clients.iter_mut().for_each(ask);
}
