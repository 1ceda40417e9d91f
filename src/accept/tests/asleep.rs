//! Workers that really sleep, as threads; the kernel decides whom it wakes.
//! flow: M5, L5, L12

use super::*;
use nix::sys::epoll::{Epoll, EpollFlags};
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Do clients stay, or are they gone when they have their answer?
#[derive(Clone, Copy, PartialEq)]
enum Clients {
    Stay,
    Go,
    /// The same, and each takes a while.
    Slow,
}

/// A worker that really sleeps in its epoll instance, until `stop` is closed.
fn work(
    seat: &mut Seat,
    clients: Clients,
    epoll: &Epoll,
    listener: &TcpListener,
    stop: BorrowedFd<'_>,
) {
    let mut gone = 0;
    epoll
        .add(stop, EpollEvent::new(EpollFlags::EPOLLIN, 0))
        .unwrap();
    loop {
        let mut event = [EpollEvent::empty()];
        epoll.wait(&mut event, EpollTimeout::NONE).unwrap();
        if event[0].data() == 0 {
            return;
        }
        if clients == Clients::Slow {
            seat.row().beat().store(crate::sys::now_ns(), Relaxed);
        }
        assert!(seat.may_accept(BASE));
        match listener.accept() {
            Ok((mut client, _)) => {
                seat.accepted(BASE, || gone);
                client.write_all(b"!").unwrap();
                if clients == Clients::Slow {
                    std::thread::sleep(Duration::from_micros(300));
                }
                if clients != Clients::Stay {
                    gone += 1;
                    seat.set_load(seat.row().load() - 1);
                }
            }
            Err(_) => seat.empty(),
        }
        if seat.is_timed() {
            seat.keep_on(gone);
        }
        seat.row().beat().store(crate::event::ASLEEP, Relaxed);
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
    let mut again: Option<u64> = None;
    loop {
        let mut event = [EpollEvent::empty()];
        let timeout = again.map_or(EpollTimeout::NONE, |ms| u16::try_from(ms).unwrap().into());
        let n = epoll.wait(&mut event, timeout).unwrap();
        if n > 0 && event[0].data() == 0 {
            return;
        }
        let before = again;
        again = schedule
            .on_sentinel(u64::try_from(start.elapsed().as_millis()).unwrap())
            .again;
        match (before, again) {
            (None, Some(_)) => epoll.delete(sentinel).unwrap(),
            (Some(_), None) => epoll
                .add(sentinel, EpollEvent::new(EpollFlags::EPOLLIN, 1))
                .unwrap(),
            _ => {}
        }
    }
}

/// So many at a time, clients come and stay until `done` says of the numbers of them that
/// they are as they should be. Some workers are stuck from the start; without any, no
/// master is needed.
fn serve(bench: &mut Bench, stuck: usize, visitors: usize, done: impl Fn(&[u32]) -> bool + Sync) {
    serve_some(bench, Clients::Stay, stuck, visitors, done);
}

fn serve_some(
    bench: &mut Bench,
    clients: Clients,
    stuck: usize,
    visitors: usize,
    done: impl Fn(&[u32]) -> bool + Sync,
) {
    let Bench {
        listener,
        schedule,
        seats,
    } = bench;
    let (listener, schedule) = (&*listener, &*schedule);
    let (pool, workers) = (&*schedule.pool, seats.len());
    let address = listener.local_addr().unwrap();
    let visit = || {
        for _ in 0..5000 {
            let mut client = TcpStream::connect(address).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            client.read_exact(&mut [0]).unwrap();
            if done(&accepted(pool, workers)) {
                return;
            }
        }
        panic!("still {:?}", accepted(pool, workers));
    };
    let (stop, until) = nix::unistd::pipe().unwrap();
    let stop = stop.as_fd();
    std::thread::scope(|scope| {
        for (slot, seat) in seats.iter_mut().enumerate().skip(stuck) {
            scope.spawn(move || work(seat, clients, pool.epoll(slot), listener, stop));
        }
        scope.spawn(|| {
            let _until = until;
            std::thread::scope(|scope| (0..visitors).for_each(|_| drop(scope.spawn(visit))));
        });
        if stuck > 0 {
            supervise(schedule, stop);
        }
    });
}

/// How many each worker has accepted.
fn accepted(pool: &Pool, workers: usize) -> Vec<u32> {
    let of = |slot| pool.words.tally(slot).get(tally::Tally::Accepted);
    (0..workers)
        .map(|slot| u32::try_from(of(slot)).unwrap())
        .collect()
}

const SIZES: [(usize, u32); 4] = [(2, 1), (4, 1), (4, 2), (9, 4)];

#[test]
fn sleeping_workers_get_equally_many_clients() {
    for (workers, k) in SIZES {
        serve(&mut Bench::new(workers, k), 0, 1, |loads| {
            let (least, most) = (*loads.iter().min().unwrap(), *loads.iter().max().unwrap());
            least >= 20 && most - least <= 1
        });
    }
}

/// Tokens that were added for workers which did not run in time go with the next clients;
/// those that are missing because some had too many clients come when all are even.
fn settle(bench: &Bench) {
    bench.seats.iter().for_each(|seat| seat.row().asleep());
    for _ in 0..20 * bench.seats.len() {
        let _client = bench.connect();
        let armed = bench.armed().into_iter();
        bench.accept(armed.min_by_key(|slot| bench.loads()[*slot]).unwrap());
    }
}

/// However the workers race, no token is lost or doubled.
#[test]
fn k_tokens_stay_k_tokens() {
    for (workers, k) in SIZES {
        let mut bench = Bench::new(workers, k);
        serve(&mut bench, 0, 3, |loads| loads.iter().sum::<u32>() >= 2000);
        settle(&bench);
        assert_eq!(bench.armed().len(), k as usize);
        assert_eq!(bench.registered(), bench.armed());
    }
}

/// All get their turn; returns how often a token moved, for 2,000 clients.
fn moves(workers: usize, k: u32, clients: Clients) -> u64 {
    let mut bench = Bench::new(workers, k);
    serve_some(&mut bench, clients, 0, 3, |accepted| {
        accepted.iter().sum::<u32>() >= 2000
    });
    let accepted = accepted(&bench.schedule.pool, workers);
    assert!(accepted.iter().all(|n| *n >= 20), "{accepted:?}");
    let moves = bench.schedule.report(None).moves;
    settle(&bench);
    assert_eq!(bench.armed().len(), k as usize);
    assert_eq!(bench.registered(), bench.armed());
    moves
}

/// Where clients come and go a worker keeps its token for some of them.
#[test]
fn tokens_move_less_where_clients_do_not_stay() {
    for (workers, k) in SIZES {
        let moves = moves(workers, k, Clients::Go);
        assert!(moves < 1000, "{workers} workers, {k} tokens: {moves}");
    }
}

/// Not where its work for one would keep the next one waiting.
#[test]
fn tokens_move_with_each_client_where_those_take_long() {
    for (workers, k) in SIZES {
        let moves = moves(workers, k, Clients::Slow);
        assert!(moves > 1000, "{workers} workers, {k} tokens: {moves}");
    }
}

/// Whatever number of workers is stuck, holding every token: clients are served.
#[test]
fn stuck_workers_stop_nobody() {
    for stuck in 1..=3 {
        serve(&mut Bench::new(4, 2), stuck, 3, |loads| {
            loads.iter().sum::<u32>() >= 200
        });
    }
}
