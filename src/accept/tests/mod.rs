//! The schedule against the kernel's real wait queues, step by step: no worker
//! sleeps, so each armed one sees each connection.
//! flow: M5, M11, L5

mod asleep;
mod choices;
mod drops;
mod handed;
mod rescue;
mod switch;

use super::handover::HandOver;
use super::pool::Pool;
use super::*;
use crate::event::OWN;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::Relaxed;

/// The base door of the only listener.
const BASE: Door = Door {
    listener: 0,
    kind: door::Kind::Shared { group: 0 },
};

fn spawn_of(slot: usize) -> u64 {
    slot as u64 + 100
}

fn schedule_of(slots: usize, listener: &impl AsRawFd, k: u32, own_loops: bool) -> Schedule {
    let socket = Socket {
        fd: listener.as_raw_fd(),
        inet: true,
        backlog: 511,
    };
    let schedule = Schedule::new(slots, &[(0, socket)], own_loops).unwrap();
    schedule.set_tokens(k);
    schedule
}

struct Bench {
    listener: TcpListener,
    schedule: Schedule,
    seats: Vec<Seat>,
}

impl Bench {
    /// All workers open, none asleep: each armed one sees each connection.
    fn new(workers: usize, k: u32) -> Self {
        Self::of(workers, k, false)
    }

    fn of(workers: usize, k: u32, own_loops: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let schedule = schedule_of(workers + 1, &listener, k, own_loops);
        for slot in 0..workers {
            schedule.enlist(slot, spawn_of(slot), 1, workers as u32);
            schedule.admit(slot);
        }
        let seat = |slot| schedule.seat(slot, spawn_of(slot));
        let seats = (0..workers).map(seat).collect();
        Self {
            listener,
            schedule,
            seats,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().unwrap()).unwrap()
    }

    /// Slots that are registered at the listener, by the kernel's account.
    fn registered(&self) -> Vec<usize> {
        let tfd = format!("tfd: {:8} ", self.listener.as_raw_fd());
        let registered = |slot: &usize| {
            let path = format!("/proc/self/fdinfo/{}", self.seats[*slot].epoll_fd());
            std::fs::read_to_string(path).unwrap().contains(&tfd)
        };
        (0..self.seats.len()).filter(registered).collect()
    }

    fn armed(&self) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|slot| self.schedule.pool.holds(*slot, 0))
            .collect()
    }

    /// Slots whose loop would wake up now.
    fn awake(&self) -> Vec<usize> {
        let awake = |slot: &usize| {
            let mut events = [EpollEvent::empty(); 4];
            let epoll = self.schedule.pool.epoll(*slot);
            let n = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
            let token = OWN | u64::from(BASE.token());
            assert!(events[..n].iter().all(|event| event.data() == token));
            n > 0
        };
        (0..self.seats.len()).filter(awake).collect()
    }

    fn accept(&self, slot: usize) -> TcpStream {
        assert!(self.seats[slot].may_accept(BASE));
        let (client, _) = self.listener.accept().unwrap();
        self.seats[slot].accepted(BASE, || 0);
        client
    }

    fn depth(&self) -> u32 {
        probe::depth(self.listener.as_fd())
    }

    fn loads(&self) -> Vec<u32> {
        loads(&self.schedule.pool, self.seats.len())
    }

    fn alarmed(&self) -> bool {
        crate::sys::readable(self.schedule.pool.sentinel.0.as_fd())
    }
}

fn loads(pool: &Pool, workers: usize) -> Vec<u32> {
    (0..workers)
        .map(|slot| pool.words.row(slot).load())
        .collect()
}

#[test]
fn k_workers_are_armed() {
    for (workers, k, armed) in [(1, 2, 1), (4, 1, 1), (4, 2, 2), (4, 9, 4)] {
        let bench = Bench::new(workers, k);
        assert_eq!(bench.registered().len(), armed);
        assert_eq!(bench.registered(), bench.armed());
    }
}

/// Who leaves has still what it took, and the next one in the slot has nothing.
#[test]
fn what_was_passed_stays_settled_when_the_worker_leaves() {
    let bench = Bench::new(2, 1);
    assert!(bench.seats[0].row().settle(5));
    bench.schedule.retire(0);
    assert!(!bench.schedule.settle(0, 5));
    bench.schedule.enlist(0, spawn_of(0) + 1, 1, 2);
    assert!(bench.schedule.settle(0, 5));
    assert!(!bench.seats[0].row().settle(5));
}

#[test]
fn the_token_moves_to_the_least_loaded() {
    let bench = Bench::new(4, 2);
    bench.seats[2].set_load(7);
    let _client = bench.connect();
    assert_eq!(bench.awake(), [0, 1]);
    bench.accept(0);
    assert_eq!(bench.registered(), [1, 3]);
    assert_eq!(bench.armed(), [1, 3]);
    assert_eq!(bench.awake(), Vec::<usize>::new(), "nothing is left");
    assert_eq!(bench.schedule.report(None).moves, 1);
}

#[test]
fn the_least_loaded_keeps_the_token() {
    let bench = Bench::new(3, 1);
    bench.seats[1].set_load(5);
    bench.seats[2].set_load(5);
    for load in 1..=4 {
        let _client = bench.connect();
        bench.accept(0);
        assert_eq!(bench.loads(), [load, 5, 5]);
        assert_eq!(bench.registered(), [0]);
    }
    let _client = bench.connect();
    bench.accept(0);
    assert_eq!(bench.registered(), [1]);
}

#[test]
fn several_waiting_connections_go_to_several_workers() {
    let bench = Bench::new(4, 2);
    let _clients: Vec<_> = (0..40).map(|_| bench.connect()).collect();
    assert_eq!(bench.depth(), 40);
    for slot in (0..4).cycle().take_while(|_| bench.depth() > 0) {
        if bench.awake().contains(&slot) {
            bench.accept(slot);
        }
    }
    assert_eq!(bench.depth(), 0);
    assert_eq!(bench.loads().iter().sum::<u32>(), 40);
    assert!(
        bench.loads().iter().all(|load| (9..=11).contains(load)),
        "{:?}",
        bench.loads()
    );
}

/// Killed between setting its successor's bit and registering it, or between
/// the two halves of moving the sentinel.
#[test]
fn a_death_in_the_middle_is_repaired() {
    let bench = Bench::new(4, 2);
    bench.schedule.pool.unregister(1, BASE);
    bench
        .schedule
        .pool
        .sentinel
        .delete(&bench.listener)
        .unwrap();
    assert_eq!(bench.registered(), [0]);
    bench.schedule.retire(0);
    assert_eq!(bench.registered(), [1, 2]);
    assert_eq!(bench.armed(), [1, 2]);
    let _client = bench.connect();
    assert!(bench.alarmed());
    bench.accept(2);
    assert_eq!(bench.registered(), [1, 3], "the dead one is not chosen");
}

#[test]
fn a_new_worker_begins_without_what_the_dead_one_left() {
    let bench = Bench::new(2, 1);
    bench.schedule.retire(0);
    bench.seats[0].set_load(99);
    bench.schedule.pool.register(0, BASE).unwrap();
    bench.schedule.admit(0);
    assert_eq!(bench.registered(), [1]);
    assert_eq!(bench.loads(), [0, 0]);
}

#[test]
fn who_leaves_hands_over() {
    let bench = Bench::new(3, 2);
    assert!(bench.seats[0].leave());
    assert_eq!(bench.registered(), [1, 2]);
    assert!(
        !bench.schedule.pool.arm(0, BASE),
        "nobody can arm it any more"
    );
    assert_eq!(bench.registered(), [1, 2]);

    // The wake-up that the second one may have swallowed is not lost.
    let _client = bench.connect();
    assert!(bench.seats[1].leave());
    assert!(bench.alarmed());
    bench.schedule.retire(0);
    bench.schedule.retire(1);
    assert!(!bench.seats[2].leave(), "there is nobody else");
    assert_eq!(bench.registered(), Vec::<usize>::new());
}

/// Armed by somebody who did not know yet.
#[test]
fn a_late_registration_is_refused_once() {
    let bench = Bench::new(3, 1);
    bench.seats[0].leave();
    bench.schedule.pool.register(0, BASE).unwrap();
    let _client = bench.connect();
    assert_eq!(bench.awake(), [0, 1]);
    assert!(!bench.seats[0].may_accept(BASE));
    assert_eq!(bench.awake(), [1]);

    // And from an open worker no token is born of it.
    bench.schedule.pool.register(2, BASE).unwrap();
    bench.accept(2);
    assert_eq!(bench.registered(), [1]);
}

#[test]
fn when_all_are_full_the_first_that_is_not_is_armed() {
    let bench = Bench::new(3, 2);
    bench.seats.iter().for_each(Seat::pause);
    assert_eq!(bench.registered(), Vec::<usize>::new());
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).again.is_some());
    assert!(bench.schedule.on_sentinel(1002).again.is_some());
    assert_eq!(bench.registered(), Vec::<usize>::new());
    bench.seats[1].resume();
    assert_eq!(bench.awake(), [1]);
    bench.seats[0].resume();
    bench.seats[2].resume();
    assert_eq!(bench.registered(), [0, 1]);
}

#[test]
fn k_can_change() {
    let bench = Bench::new(4, 1);
    bench.schedule.set_tokens(3);
    assert_eq!(bench.registered().len(), 3);
    bench.schedule.set_tokens(1);
    for _ in 0..4 {
        let _client = bench.connect();
        bench.accept(bench.registered()[0]);
    }
    assert_eq!(bench.registered().len(), 1);
}

#[test]
fn unix_listeners_tell_whether_somebody_waits() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    let name = format!("dtm-accept-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    assert_eq!(probe::depth(listener.as_fd()), 0);
    let _client = UnixStream::connect_addr(&address).unwrap();
    assert_eq!(probe::depth(listener.as_fd()), 1);
}
