//! The schedule against the kernel's real wait queues, in one process.
//! flow: M5, M11, L5

use super::*;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

struct Bench {
    listener: TcpListener,
    schedule: Schedule,
    seats: Vec<Seat>,
}

impl Bench {
    /// All workers open, none asleep: each armed one sees each connection.
    fn new(workers: usize, k: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let schedule = Schedule::new(workers + 1, &[listener.as_raw_fd()], k).unwrap();
        for slot in 0..workers {
            schedule.admit(slot);
        }
        let seats = (0..workers).map(|slot| schedule.seat(slot)).collect();
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
        let registered = |slot: &usize| {
            let path = format!("/proc/self/fdinfo/{}", self.seats[*slot].epoll_fd());
            std::fs::read_to_string(path).unwrap().contains("tfd:")
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
            let token = crate::event::OWN | u64::from(LISTENER_TOKEN);
            assert!(events[..n].iter().all(|event| event.data() == token));
            n > 0
        };
        (0..self.seats.len()).filter(awake).collect()
    }

    fn accept(&self, slot: usize) -> TcpStream {
        assert!(self.seats[slot].may_accept(0));
        let (client, _) = self.listener.accept().unwrap();
        self.seats[slot].accepted(0);
        client
    }

    fn alarmed(&self) -> bool {
        probe::readable(self.schedule.pool.sentinel.0.as_fd())
    }

    fn loads(&self) -> Vec<u32> {
        let load = |slot| {
            self.schedule
                .pool
                .load(slot)
                .load(std::sync::atomic::Ordering::SeqCst)
        };
        (0..self.seats.len()).map(load).collect()
    }
}

#[test]
fn k_workers_are_armed() {
    for (workers, k, armed) in [(1, 2, 1), (4, 1, 1), (4, 2, 2), (4, 9, 4)] {
        let bench = Bench::new(workers, k);
        assert_eq!(bench.registered().len(), armed);
        assert_eq!(bench.registered(), bench.armed());
    }
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
    assert_eq!(bench.schedule.stats().moves, 1);
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
    assert_eq!(bench.schedule.depth(0), 40);
    for slot in (0..4).cycle().take_while(|_| bench.schedule.depth(0) > 0) {
        if bench.awake().contains(&slot) {
            bench.accept(slot);
        }
    }
    assert_eq!(bench.schedule.depth(0), 0);
    assert_eq!(bench.loads().iter().sum::<u32>(), 40);
    assert!(
        bench.loads().iter().all(|load| (9..=11).contains(load)),
        "{:?}",
        bench.loads()
    );
}

#[test]
fn a_queue_that_nobody_serves_gets_one_more_worker() {
    let bench = Bench::new(4, 2);
    assert!(!bench.alarmed());
    let _clients = [bench.connect(), bench.connect(), bench.connect()];
    assert!(bench.alarmed());
    let wait = bench.schedule.on_sentinel(1000).unwrap();
    assert_eq!(bench.registered(), [0, 1], "the workers get a moment");
    assert!(bench.schedule.on_sentinel(1000 + wait).is_some());
    assert_eq!(bench.registered(), [0, 1, 2]);
    assert!(bench.awake().contains(&2));

    // As long as it goes on like this no more are added...
    bench.accept(2);
    assert_eq!(bench.registered(), [0, 1, 3]);
    assert!(bench.schedule.on_sentinel(1020).is_some());
    assert_eq!(bench.schedule.stats().rescues, 1);
    bench.accept(3);
    bench.accept(2);
    assert_eq!(bench.schedule.on_sentinel(1030), None);
    assert!(!bench.alarmed());
    assert_eq!(bench.registered().len(), 3);

    // ... and when it is calm the additional token is dropped with the next client.
    bench.schedule.check(10_000);
    let _client = bench.connect();
    bench.accept(bench.registered()[0]);
    assert_eq!(bench.registered().len(), 2);
    assert_eq!(bench.registered(), bench.armed());
}

#[test]
fn a_queue_that_is_served_raises_no_alarm() {
    let bench = Bench::new(4, 2);
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).is_some());
    bench.accept(1);
    assert_eq!(bench.schedule.on_sentinel(1002), None);
    assert_eq!(bench.schedule.stats().rescues, 0);
}

/// All are armed and one of them was woken in vain: the kernel looks again.
#[test]
fn when_all_are_armed_all_are_woken_again() {
    let bench = Bench::new(2, 2);
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).is_some());
    bench.schedule.pool.unregister(0, 0);
    bench.schedule.pool.unregister(1, 0);
    assert!(bench.schedule.on_sentinel(1002).is_some());
    assert_eq!(bench.awake(), [0, 1]);
}

/// Killed between setting its successor's bit and registering it, or between
/// the two halves of moving the sentinel.
#[test]
fn a_death_in_the_middle_is_repaired() {
    let bench = Bench::new(4, 2);
    bench.schedule.pool.unregister(1, 0);
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
    bench.schedule.pool.register(0, 0).unwrap();
    bench.schedule.admit(0);
    assert_eq!(bench.registered(), [1]);
    assert_eq!(bench.loads(), [0, 0]);
}

#[test]
fn who_leaves_hands_over() {
    let bench = Bench::new(3, 2);
    assert!(bench.seats[0].leave());
    assert_eq!(bench.registered(), [1, 2]);
    assert!(!bench.schedule.pool.arm(0, 0), "nobody can arm it any more");
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
    bench.schedule.pool.register(0, 0).unwrap();
    let _client = bench.connect();
    assert_eq!(bench.awake(), [0, 1]);
    assert!(!bench.seats[0].may_accept(0));
    assert_eq!(bench.awake(), [1]);

    // And from an open worker no token is born of it.
    bench.schedule.pool.register(2, 0).unwrap();
    bench.accept(2);
    assert_eq!(bench.registered(), [1]);
}

#[test]
fn when_all_are_full_the_first_that_is_not_is_armed() {
    let bench = Bench::new(3, 2);
    bench.seats.iter().for_each(Seat::pause);
    assert_eq!(bench.registered(), Vec::<usize>::new());
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).is_some());
    assert!(bench.schedule.on_sentinel(1002).is_some());
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
    bench.schedule.set_k(3);
    assert_eq!(bench.registered().len(), 3);
    bench.schedule.set_k(1);
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
    let schedule = Schedule::new(1, &[listener.as_raw_fd()], 1).unwrap();
    assert_eq!(schedule.depth(0), 0);
    let _client = UnixStream::connect_addr(&address).unwrap();
    assert_eq!(schedule.depth(0), 1);
}

#[test]
fn modes_that_there_are_not_yet_are_refused() {
    assert_eq!(resolve(AcceptMode::Token), Ok("token"));
    assert_eq!(resolve(AcceptMode::Steer).unwrap_err().code, DTM_ENOTSUP);
}

/// A worker that really sleeps in its epoll instance, until `stop` is closed.
/// Its load is the number of clients it ever had.
fn work(seat: &Seat, epoll: &Epoll, listener: &TcpListener, stop: BorrowedFd<'_>) {
    epoll
        .add(stop, EpollEvent::new(EpollFlags::EPOLLIN, 0))
        .unwrap();
    loop {
        let mut event = [EpollEvent::empty()];
        epoll.wait(&mut event, EpollTimeout::NONE).unwrap();
        if event[0].data() == 0 {
            return;
        }
        assert!(seat.may_accept(0));
        match listener.accept() {
            Ok((mut client, _)) => {
                seat.accepted(0);
                client.write_all(b"!").unwrap();
            }
            Err(_) => seat.empty(0),
        }
    }
}

/// The master's loop, until `stop` is closed.
fn supervise(schedule: &Schedule, stop: BorrowedFd<'_>) {
    let sentinel = schedule.pool.sentinel.0.as_fd();
    let epoll = Epoll::new(nix::sys::epoll::EpollCreateFlags::empty()).unwrap();
    epoll
        .add(stop, EpollEvent::new(EpollFlags::EPOLLIN, 0))
        .unwrap();
    epoll
        .add(sentinel, EpollEvent::new(EpollFlags::EPOLLIN, 1))
        .unwrap();
    let start = std::time::Instant::now();
    let mut again = None;
    loop {
        let mut event = [EpollEvent::empty()];
        let timeout = again.map_or(EpollTimeout::NONE, |ms: u64| {
            u16::try_from(ms).unwrap().into()
        });
        let n = epoll.wait(&mut event, timeout).unwrap();
        if n > 0 && event[0].data() == 0 {
            return;
        }
        let before = again;
        again = schedule.on_sentinel(u64::try_from(start.elapsed().as_millis()).unwrap());
        match (before, again) {
            (None, Some(_)) => epoll.delete(sentinel).unwrap(),
            (Some(_), None) => epoll
                .add(sentinel, EpollEvent::new(EpollFlags::EPOLLIN, 1))
                .unwrap(),
            _ => {}
        }
    }
}

/// Clients come one after the other until `done` says of the loads that they
/// are as they should be. Some workers are stuck from the start.
fn serve(workers: usize, stuck: usize, k: u32, done: impl Fn(&[u32]) -> bool + Sync) {
    let bench = Bench::new(workers, k);
    let Bench {
        listener,
        schedule,
        seats,
    } = &bench;
    let (stop, until) = nix::unistd::pipe().unwrap();
    let (stop, pool) = (stop.as_fd(), &*schedule.pool);
    std::thread::scope(|scope| {
        for (slot, seat) in seats.iter().enumerate().skip(stuck) {
            scope.spawn(move || work(seat, pool.epoll(slot), listener, stop));
        }
        let (address, done) = (listener.local_addr().unwrap(), &done);
        scope.spawn(move || {
            let load = |slot| pool.load(slot).load(std::sync::atomic::Ordering::SeqCst);
            let loads = || (0..workers).map(load).collect::<Vec<_>>();
            let _until = until;
            for _ in 0..5000 {
                let mut client = TcpStream::connect(address).unwrap();
                client.read_exact(&mut [0]).unwrap();
                if done(&loads()) {
                    return;
                }
            }
            panic!("still {:?}", loads());
        });
        supervise(schedule, stop);
    });
}

#[test]
fn sleeping_workers_get_equally_many_clients() {
    for (workers, k) in [(2, 1), (4, 2), (9, 4)] {
        serve(workers, 0, k, |loads| {
            let (least, most) = (*loads.iter().min().unwrap(), *loads.iter().max().unwrap());
            least >= 20 && most - least <= 1
        });
    }
}

/// Whatever number of workers is stuck, holding every token: clients are served.
#[test]
fn stuck_workers_stop_nobody() {
    for stuck in 1..=3 {
        serve(4, stuck, 2, |loads| {
            loads[stuck..].iter().all(|load| *load >= 20)
        });
    }
}
