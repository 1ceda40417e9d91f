//! What the schedule wants of the master's loop while another binary has the sockets.

use super::*;
use crate::config::AcceptMode;
use std::os::fd::{BorrowedFd, OwnedFd};

/// It does nothing at its deadline then: one that has passed would be due for ever.
#[test]
fn who_has_handed_over_wants_to_be_woken_for_nothing() {
    let bench = Bench::new(3, 1);
    let _client = bench.connect();
    let wait = bench.schedule.on_sentinel(1000).again.unwrap();
    bench.schedule.on_sentinel(1000 + wait);
    assert_eq!(bench.schedule.report(None).rescues, 1);
    assert!(bench.schedule.next_deadline().is_some());
    bench.schedule.let_go();
    assert_eq!(bench.schedule.next_deadline(), None);
    bench.schedule.take_back();
    assert!(bench.schedule.next_deadline().is_some());
}

const WORKERS: usize = 3;

/// A binary that steers, before anybody serves.
fn steers(listener: &TcpListener) -> Schedule {
    let schedule = schedule_of(WORKERS, listener, 1, false);
    schedule.set_mode(AcceptMode::Steer).unwrap();
    schedule
}

fn serve(schedule: &Schedule) {
    for slot in 0..WORKERS {
        schedule.enlist(slot, spawn_of(slot), 1, WORKERS as u32);
        schedule.admit(slot);
    }
}

/// A new one, with the sockets of this one.
fn successor(old: &Schedule, listener: &TcpListener) -> Schedule {
    let new = steers(listener);
    new.stand_by();
    let copy = |fd| -> OwnedFd {
        // SAFETY: a door of the old schedule, open throughout this call.
        unsafe { BorrowedFd::borrow_raw(fd) }
            .try_clone_to_owned()
            .unwrap()
    };
    let doors = old.opened(0).into_iter();
    new.adopt(0, doors.map(|(code, fd)| (code, copy(fd))).collect());
    new
}

fn is_steered(schedule: &Schedule) -> bool {
    schedule.lanes.get(0).unwrap().is_steered()
}

/// The kernel takes some ms; a client comes to a worker all the same.
fn comes_to_be_steered(schedule: &Schedule, listener: &TcpListener) {
    for _ in 0..500 {
        if is_steered(schedule) {
            assert_eq!(schedule.held.next(), None);
            let base = probe::depth(listener.as_fd());
            let _clients: Vec<TcpStream> = (0..30)
                .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
                .collect();
            let depth = |slot| probe::depth(schedule.fd(Door::own(0, slot)).unwrap());
            let depths: Vec<u32> = (0..WORKERS).map(depth).collect();
            assert!(depths.iter().all(|n| *n >= 10), "{depths:?}");
            assert_eq!(probe::depth(listener.as_fd()), base);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        if schedule.next_deadline().is_some() {
            schedule.check(crate::sys::now_ms());
        }
    }
    panic!("it is not steered");
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// It was killed: its program has the sockets until the kernel has done away with it.
#[test]
fn who_takes_over_from_one_that_never_let_go_steers() {
    if !crate::bpf::tests::privileged() {
        return;
    }
    let listener = listener();
    let old = steers(&listener);
    serve(&old);
    assert!(is_steered(&old));
    let new = successor(&old, &listener);
    drop(old);
    new.take_over();
    serve(&new);
    comes_to_be_steered(&new, &listener);
}

#[test]
fn who_takes_back_steers_when_the_other_one_is_gone() {
    if !crate::bpf::tests::privileged() {
        return;
    }
    let listener = listener();
    let old = steers(&listener);
    serve(&old);
    let new = successor(&old, &listener);
    old.let_go();
    new.take_over();
    serve(&new);
    assert!(is_steered(&new));
    old.take_back();
    assert!(!is_steered(&old) && old.held.next().is_some());
    // It had not heard yet that it is too late.
    let busy = new.lanes.get(0).unwrap();
    busy.forget_program();
    new.select(0);
    assert!(busy.is_steered());
    drop((busy, new));
    old.take_back();
    comes_to_be_steered(&old, &listener);
}
