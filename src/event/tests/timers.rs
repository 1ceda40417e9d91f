use super::*;

#[test]
fn once_and_again() {
    let world = world();
    let once = world.timer(1, 0, 1);
    assert_eq!(world.turn_until_told(), [Fired(1)]);
    assert_eq!(world.next_deadline(), None);
    world.timer_set(once, 2, 0).unwrap();
    assert_eq!(world.turn_until_told(), [Fired(1)]);
    world.timer_free(once).unwrap();
    assert_eq!(world.timer_set(once, 2, 0).unwrap_err().code, DTM_EGONE);
}

#[test]
fn periodic_until_freed_in_its_own_call() {
    let world = world();
    world.timer(0, 1, 1);
    world.on_timer(|_, _| {});
    for _ in 0..3 {
        assert_eq!(world.turn_until_told(), [Fired(1)]);
    }
    world.on_timer(|world, timer| world.timer_free(timer).unwrap());
    assert_eq!(world.turn_until_told(), [Fired(1)]);
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn stopped_in_its_own_call() {
    let world = world();
    let timer = world.timer(0, 1, 1);
    world.on_timer(|world, timer| world.timer_set(timer, DTM_OFF, 1).unwrap());
    assert_eq!(world.turn_until_told(), [Fired(1)]);
    assert_eq!(world.next_deadline(), None);
    world.timer_set(timer, 0, 0).unwrap();
    assert_eq!(world.turn_until_told(), [Fired(1)]);
}

#[test]
fn in_order_whatever_else() {
    let world = world();
    world.timer(40, 0, 3);
    world.own_timer(5, Some(20));
    world.timer(1, 0, 1);
    let stopped = world.timer(2, 0, 9);
    world.own_timer(6, Some(2));
    world.own_timer(6, None);
    world.timer_free(stopped).unwrap();
    let mut told = Vec::new();
    while world.next_deadline().is_some() {
        told.extend(world.turn_for(-1));
    }
    assert_eq!(told, [Fired(1), Own(5, 0), Fired(3)]);
}

#[test]
fn idle_clients_time_out() {
    let mut setup = defaults();
    setup.client_timeout_ms = 5;
    setup.watch_timeout_ms = 60;
    let world = world_with(setup);
    let (_ours, _) = world.connect();
    let (_other, patient) = world.connect();
    world.client_set_timeout(patient, 30).unwrap();
    let (_third, endless) = world.connect();
    world.client_set_timeout(endless, DTM_OFF).unwrap();
    let (_fourth, theirs) = UnixStream::pair().unwrap();
    world.watch(theirs, DTM_READ, 4);
    world.heard();
    let mut told = Vec::new();
    while world.next_deadline().is_some() {
        told.extend(world.turn_for(-1));
    }
    let ends = [
        Close(1, DTM_CLOSE_TIMEOUT),
        Close(2, DTM_CLOSE_TIMEOUT),
        WatchClose(4, DTM_CLOSE_TIMEOUT),
    ];
    assert_eq!(told, ends);
    assert_eq!(world.clients(), 1);
}

/// A step is activity. It leaves a stamp; the timer finds it, and waits again.
#[test]
fn activity_puts_the_timeout_off() {
    let mut setup = defaults();
    setup.client_timeout_ms = 3;
    let world = world_with(setup);
    let (_ours, client) = world.connect();
    world.heard();
    let entry = entry::Entry::behind(client).unwrap();
    let first = entry.node.deadline();
    let last_activity = first + 500;
    entry.stamp.set(last_activity * 1_000_000);
    while entry.node.deadline() == first {
        assert_eq!(world.turn_for(-1), []);
    }
    assert_eq!(entry.node.deadline(), last_activity + 3);
    entry.stamp.set(0);
    assert_eq!(world.turn_until_told(), [Close(1, DTM_CLOSE_TIMEOUT)]);
}

/// Setting a longer timeout costs no work in the wheel, a shorter one counts at once.
#[test]
fn timeouts_are_set_lazily() {
    let world = world();
    let (_ours, client) = world.connect();
    let entry = entry::Entry::behind(client).unwrap();
    world.client_set_timeout(client, 1_000_000).unwrap();
    let armed = entry.node.deadline();
    world.client_set_timeout(client, 2_000_000).unwrap();
    assert_eq!(entry.node.deadline(), armed);
    world.client_set_timeout(client, 1000).unwrap();
    assert!(entry.node.deadline() < armed);
    world.client_set_timeout(client, DTM_OFF).unwrap();
    assert_eq!(world.next_deadline(), None);
}

/// The service's own loop sleeps on epoll_fd().
#[test]
fn foreign_loop() {
    let world = world();
    world.foreign().unwrap();
    world.foreign().unwrap();
    let (_ours, client) = world.connect();
    world.heard();
    let fd = world.epoll_fd();
    assert!(!is_readable(fd));
    world.client_wake(client).unwrap();
    assert!(is_readable(fd));
    assert_eq!(world.turn(), [Step(1, DTM_WAKE)]);
    assert!(!is_readable(fd));

    world.timer(1, 0, 2);
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, -1) }, 1);
    assert_eq!(world.turn(), [Fired(2)]);
    assert!(!is_readable(fd));
    world.shutdown(DTM_CLOSE_SHUTDOWN);
}

/// This process was late, not they: more of them have sent something than one pass takes.
#[test]
fn who_was_in_time_is_served_however_late_that_is_seen() {
    let world = world();
    let many = 100; // and 64 events are taken at once
    let mut peers = Vec::new();
    for _ in 0..many {
        let (mut peer, client) = world.connect();
        world.client_set_timeout(client, 5).unwrap();
        peer.write_all(b"x").unwrap();
        peers.push(peer);
    }
    world.on_step(|_, _, _| DTM_DONE);
    world.heard();
    std::thread::sleep(std::time::Duration::from_millis(10));
    let told = [world.turn(), world.turn()].concat();
    let timed_out = |told: &&Told| matches!(told, Close(_, DTM_CLOSE_TIMEOUT));
    assert_eq!(told.iter().filter(timed_out).count(), 0);
    let done = |told: &&Told| matches!(told, Close(_, DTM_CLOSE_DONE));
    assert_eq!(told.iter().filter(done).count(), many);
}

#[test]
fn a_wake_up_comes_before_a_timeout() {
    let world = world();
    let (_peer, client) = world.connect();
    world.client_set_timeout(client, 5).unwrap();
    world.client_wake(client).unwrap();
    world.heard();
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert_eq!(world.turn(), [Step(1, DTM_WAKE)]);
    assert_eq!(world.turn_until_told(), [Close(1, DTM_CLOSE_TIMEOUT)]);
}
