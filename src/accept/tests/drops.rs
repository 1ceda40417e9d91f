//! What the kernel really drops, over all that happens to doors. E04

use super::*;
use crate::config::AcceptMode;
use nix::sys::socket::{Backlog, listen};
use std::time::Duration;

/// Its queue holds two, the least that the kernel allows.
fn narrow_listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    listener
}

/// Dropped at this socket since it was made; and some more are now.
fn overflow(listener: &TcpListener) -> u64 {
    let address = listener.local_addr().unwrap();
    let before = probe::drops(listener.as_fd());
    let patience = Duration::from_millis(50);
    let clients: Vec<_> = (0..5)
        .map(|_| TcpStream::connect_timeout(&address, patience))
        .collect();
    assert!(clients.iter().any(Result::is_err));
    let after = probe::drops(listener.as_fd());
    assert!(after > before);
    after.into()
}

fn socket_of(listener: &TcpListener) -> Socket {
    Socket {
        fd: listener.as_raw_fd(),
        inet: true,
        backlog: 1,
    }
}

#[test]
fn what_was_dropped_stays_counted_whatever_happens_to_the_doors() {
    let listener = narrow_listener();
    let before_us = overflow(&listener);
    let schedule = schedule_of(3, &listener, 1, false);
    let counted = |now| {
        schedule.count_drops(now);
        schedule.report(None).drops
    };
    assert_eq!(counted(1000), 0);
    let ours = overflow(&listener) - before_us;
    assert_eq!(counted(1000), ours);
    for slot in 0..2 {
        schedule.enlist(slot, spawn_of(slot), 1, 2);
        schedule.admit(slot);
    }
    schedule.set_mode(AcceptMode::Hash).unwrap();
    assert_eq!(counted(1000), ours);
    schedule.close(0);
    schedule.drop_listener(0);
    assert_eq!(counted(1000), ours);

    // Another one of this number.
    let next = narrow_listener();
    let before_us = overflow(&next);
    schedule.expect(0, socket_of(&next)).unwrap();
    schedule.serve(0);
    assert_eq!(counted(1000), ours);
    let ours = ours + overflow(&next) - before_us;
    assert_eq!(counted(1000), ours);
    schedule.inherit([7; CARRIED.len()]);
    assert_eq!(counted(1000), ours + 7);
}

#[test]
fn they_are_counted_soon_after_clients_waited_and_not_otherwise() {
    let listener = narrow_listener();
    let schedule = schedule_of(1, &listener, 1, false);
    let ours = overflow(&listener);
    assert_eq!(schedule.next_deadline(), None, "nobody wakes up for it");
    schedule.on_sentinel(1000);
    let due = schedule.next_deadline().unwrap();
    schedule.check(due - 1);
    assert_eq!(schedule.report(None).drops, 0);
    schedule.check(due);
    assert_eq!(schedule.report(None).drops, ours);
    assert_eq!(schedule.next_deadline(), None);
    schedule.was_taken(BASE); // where the master accepts, no sentinel looks
    assert!(schedule.next_deadline().is_some());
}

#[test]
fn what_was_dropped_just_before_a_listener_closes_is_counted() {
    let listener = narrow_listener();
    let schedule = schedule_of(1, &listener, 1, false);
    let ours = overflow(&listener);
    schedule.on_sentinel(1000);
    schedule.close(0);
    assert_eq!(schedule.report(None).drops, ours);
    assert_eq!(schedule.next_deadline(), None);
}

#[test]
fn who_takes_over_counts_what_comes_then() {
    let listener = narrow_listener();
    let (old, new) = (
        schedule_of(1, &listener, 1, false),
        schedule_of(1, &listener, 1, false),
    );
    new.stand_by();
    let first = overflow(&listener);
    old.let_go();
    new.take_over();
    let second = overflow(&listener) - first;
    new.count_drops(1000);
    assert_eq!(old.report(None).drops, first);
    assert_eq!(new.report(None).drops, second);
}
