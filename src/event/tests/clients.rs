use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;

const RW: i32 = (DTM_READ | DTM_WRITE).cast_signed();

#[test]
fn a_life() {
    let world = world();
    let (mut ours, client) = world.connect();
    assert_eq!(world.heard(), [Open(1)]);
    assert_eq!(world.clients(), 1);
    assert_eq!(world.client_origin(client).unwrap(), (0, 7, Peer::Unix));
    assert!(world.client_data(client).unwrap().is_null());
    assert_eq!(world.turn(), []);

    ours.write_all(b"x").unwrap();
    world.on_step(|world, client, _| {
        assert_eq!(read(world.client_fd(client).unwrap(), 10), 1);
        DTM_DONE
    });
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_DONE)]);
    assert!(sees_end(&ours));
    assert_eq!(world.clients(), 0);
    assert_eq!(world.client_fd(client).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.client_close(client).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.turn(), []);
}

#[test]
fn handles_that_are_none() {
    let world = world();
    let (_ours, client) = world.connect();
    let wrong = client.cast::<u8>().wrapping_add(4).cast();
    assert_eq!(world.client_wake(wrong).unwrap_err().code, DTM_EINVAL);
    let null = std::ptr::null();
    assert_eq!(world.client_wake(null).unwrap_err().code, DTM_EINVAL);
    assert_eq!(world.watch_wake(client.cast()).unwrap_err().code, DTM_EGONE);
    let bits = world.client_set_interest(client, DTM_WAKE).unwrap_err();
    assert_eq!(bits.code, DTM_EINVAL);
}

#[test]
fn refused_at_open() {
    for (answer, reason) in [
        (DTM_EUSER, DTM_CLOSE_ERROR),
        (DTM_DONE, DTM_CLOSE_DONE),
        (0x4000, DTM_CLOSE_ERROR),
    ] {
        let world = world();
        world.on_open(move |_, _| answer);
        let (ours, _) = world.connect();
        assert_eq!(world.heard(), [Open(1), Close(1, reason)]);
        assert_eq!(world.clients(), 0);
        assert!(sees_end(&ours));
    }
}

#[test]
fn closed_in_its_open() {
    let world = world();
    world.on_open(|world, client| {
        world.client_close(client).unwrap();
        RW
    });
    let (ours, _) = world.connect();
    assert_eq!(world.heard(), [Open(1), Close(1, DTM_CLOSE_ASKED)]);
    assert!(sees_end(&ours));
}

#[test]
fn the_server_may_speak_first() {
    let world = world();
    world.on_open(|_, _| DTM_WRITE.cast_signed());
    let (mut ours, _) = world.connect();
    ours.write_all(b"x").unwrap();
    world.heard();
    world.on_step(|_, _, _| DTM_READ.cast_signed());
    assert_eq!(world.turn(), [Step(1, DTM_WRITE)]);
    assert_eq!(world.turn(), [Step(1, DTM_READ)]);
}

#[test]
fn no_more_than_the_limit() {
    let mut setup = defaults();
    setup.max_clients = 1;
    let world = world_with(setup);
    let (_ours, _) = world.connect();
    assert!(world.full());
    let (ours, theirs) = UnixStream::pair().unwrap();
    assert!(
        world
            .client_add(theirs.into(), Origin::sole(0, 0, Peer::Unix))
            .is_err()
    );
    assert_eq!(world.heard(), [Open(1)]);
    assert!(sees_end(&ours));
}

/// What epoll does not take is refused cleanly: here a regular file.
#[test]
fn refused_by_epoll() {
    let world = world();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    world
        .client_add(file.into(), Origin::sole(0, 0, Peer::Unix))
        .unwrap();
    assert_eq!(world.heard(), [Open(1), Close(1, DTM_CLOSE_ERROR)]);
    assert_eq!(world.clients(), 0);
}

#[test]
fn results_that_end_a_client() {
    for (answer, reason) in [
        (DTM_DONE, DTM_CLOSE_DONE),
        (-1, DTM_CLOSE_ERROR),
        (i32::MIN, DTM_CLOSE_ERROR),
        (DTM_WAKE.cast_signed(), DTM_CLOSE_ERROR),
        (DTM_TAKEN, DTM_CLOSE_ERROR),
    ] {
        let world = world();
        world.on_open(|_, _| RW);
        let _ours = world.connect();
        world.heard();
        world.on_step(move |_, _, _| answer);
        assert_eq!(world.turn(), [Step(1, DTM_WRITE), Close(1, reason)]);
    }
}

/// Whatever else the step did.
#[test]
fn results_count_after_other_changes() {
    for answer in [i32::MIN, -1, 0xff, DTM_DONE] {
        let world = world();
        world.on_open(|_, _| RW);
        let _ours = world.connect();
        world.heard();
        world.on_step(move |world, client, _| {
            world.client_set_interest(client, 0).unwrap();
            answer
        });
        let [_, Close(1, reason)] = world.turn()[..] else {
            panic!("{answer} did not end it");
        };
        assert_eq!(reason == DTM_CLOSE_DONE, answer == DTM_DONE);
    }
}

/// What a step asked for is done, even if its result is the one that usually changes nothing.
#[test]
fn a_result_as_ever_after_other_changes() {
    let world = world();
    let (mut ours, client) = world.connect();
    world.heard();
    let act: [fn(&World, Client); 3] = [
        |world, client| world.client_wake(client).unwrap(),
        |world, client| world.client_set_interest(client, DTM_WRITE).unwrap(),
        |world, client| world.client_close(client).unwrap(),
    ];
    let told: [&[Told]; 3] = [
        &[Step(1, DTM_READ), Step(1, DTM_WAKE)],
        &[Step(1, DTM_READ)],
        &[Step(1, DTM_READ), Close(1, DTM_CLOSE_ASKED)],
    ];
    for (act, told) in act.into_iter().zip(told) {
        ours.write_all(b"x").unwrap();
        world.on_step(move |world, client, events| {
            if events == DTM_READ {
                read(world.client_fd(client).unwrap(), 10);
                act(world, client);
            }
            DTM_READ.cast_signed()
        });
        assert_eq!(world.turn(), told);
        assert_eq!(world.turn(), [], "it waits for reading only");
    }
    assert_eq!(world.client_fd(client).unwrap_err().code, DTM_EGONE);
}

#[test]
fn closed_by_itself_and_then_stepped_no_more() {
    let world = world();
    let (mut ours, _) = world.connect();
    ours.write_all(b"x").unwrap();
    world.heard();
    world.on_step(|world, client, _| {
        world.client_close(client).unwrap();
        assert_eq!(world.client_wake(client).unwrap_err().code, DTM_EGONE);
        RW
    });
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_ASKED)]);
    assert_eq!(world.turn(), []);
}

/// Both are ready in one batch; the first one closes the second.
#[test]
fn closed_by_another() {
    let world = world();
    let pairs = [world.connect(), world.connect()];
    world.heard();
    for (ours, _) in &pairs {
        (&*ours).write_all(b"x").unwrap();
    }
    let clients = pairs.each_ref().map(|(_, client)| *client);
    world.on_step(move |world, client, _| {
        for other in clients.into_iter().filter(|other| *other != client) {
            world.client_close(other).unwrap();
        }
        DTM_DONE
    });
    let told = world.turn();
    let Step(first, DTM_READ) = told[0] else {
        panic!("{told:?}")
    };
    let second = 3 - first;
    let ends = [Close(first, DTM_CLOSE_DONE), Close(second, DTM_CLOSE_ASKED)];
    assert_eq!(told[1..], ends);
    assert_eq!(world.clients(), 0);
}

/// The first reason counts: it was asked for before its timeout was looked at.
#[test]
fn the_first_reason_counts() {
    let world = world();
    let (_ours, client) = world.connect();
    let (_others, other) = world.connect();
    world.heard();
    world.client_set_timeout(client, 1).unwrap();
    world.client_close(client).unwrap();
    world.client_close(other).unwrap();
    world.close_clients(DTM_CLOSE_SHUTDOWN);
    let ends = [Close(1, DTM_CLOSE_ASKED), Close(2, DTM_CLOSE_ASKED)];
    assert_eq!(world.heard(), ends);
}

#[test]
fn woken_in_the_same_pass_once() {
    let world = world();
    let (mut ours, one) = world.connect();
    let (_quiet, two) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.on_step(move |world, client, events| {
        if events & DTM_READ != 0 {
            read(world.client_fd(client).unwrap(), 10);
        }
        if client == one {
            world.client_wake(two).unwrap();
            world.client_wake(two).unwrap();
        }
        DTM_KEEP
    });
    assert_eq!(world.turn(), [Step(1, DTM_READ), Step(2, DTM_WAKE)]);
    assert_eq!(world.turn(), []);
}

#[test]
fn a_wake_up_goes_with_what_is_ready() {
    let world = world();
    let (mut ours, client) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.client_wake(client).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ | DTM_WAKE)]);
}

/// Steps that keep waking each other leave room for the kernel's events.
#[test]
fn endless_wake_ups_are_rationed() {
    let world = world();
    let (mut ours, client) = world.connect();
    world.heard();
    world.on_step(|world, client, _| {
        world.client_wake(client).unwrap();
        DTM_KEEP
    });
    world.client_wake(client).unwrap();
    let woken = world.turn_for(-1).len();
    assert!(woken > 1 && woken <= 1024);
    ours.write_all(b"x").unwrap();
    let told = world.turn_for(-1);
    assert_eq!(told[0], Step(1, DTM_READ | DTM_WAKE));
}

#[test]
fn interest_changed_from_outside() {
    let world = world();
    let (mut ours, client) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.client_set_interest(client, 0).unwrap();
    assert_eq!(world.turn(), []);
    world
        .client_set_interest(client, DTM_READ | DTM_WRITE)
        .unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ | DTM_WRITE)]);
}

/// DTM_KEEP keeps what the step itself, or another one meanwhile, has set.
#[test]
fn interest_changed_from_inside() {
    let world = world();
    let (mut ours, _) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.on_step(|world, client, _| {
        world.client_set_interest(client, DTM_WRITE).unwrap();
        DTM_KEEP
    });
    assert_eq!(world.turn(), [Step(1, DTM_READ)]);
    assert_eq!(world.turn(), [Step(1, DTM_WRITE)]);
}

#[test]
fn taken_by_the_service() {
    let world = world();
    world.on_open(|_, _| DTM_TAKEN);
    let (mut ours, client) = world.connect();
    ours.write_all(b"x").unwrap();
    world.heard();
    assert_eq!(world.turn(), []);
    assert_eq!(world.clients(), 1);
    let fd = world.client_fd(client).unwrap();
    assert_eq!(read(fd, 10), 1);
    world.client_wake(client).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_WAKE)]);
    world.client_close(client).unwrap();
    assert_eq!(world.turn(), [Close(1, DTM_CLOSE_ASKED)]);
    assert!(sees_end(&ours));
}

fn is_ours(fd: i32, ours: &UnixStream) -> bool {
    // SAFETY: released to us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let open = !sees_end(ours);
    drop(fd);
    open && sees_end(ours)
}

#[test]
fn released_to_the_service() {
    let world = world();
    for taken in [DTM_TAKEN, DTM_KEEP] {
        world.on_open(move |_, _| taken);
        let (ours, client) = world.connect();
        assert_eq!((world.clients(), world.busy()), (1, 1));
        let fd = world.client_release(client).unwrap();
        assert_eq!((world.clients(), world.busy()), (0, 0));
        assert_eq!(world.client_release(client).unwrap_err().code, DTM_EGONE);
        assert_eq!(world.client_close(client).unwrap_err().code, DTM_EGONE);
        world.heard();
        assert_eq!(world.turn(), [], "no close callback");
        assert!(is_ours(fd, &ours));
    }
}

#[test]
fn released_by_its_own_callbacks() {
    let world = world();
    let kept = Rc::new(Cell::new(-1));
    let release = |kept: &Rc<Cell<i32>>| {
        let kept = kept.clone();
        move |world: &World, client| kept.set(world.client_release(client).unwrap())
    };

    let from_open = release(&kept);
    world.on_open(move |world, client| {
        from_open(world, client);
        DTM_KEEP
    });
    let (ours, _) = world.connect();
    assert_eq!(world.heard(), [Open(1)]);
    assert_eq!(world.clients(), 0);
    assert!(is_ours(kept.get(), &ours));

    world.on_open(|_, _| DTM_KEEP);
    let from_step = release(&kept);
    world.on_step(move |world, client, _| {
        from_step(world, client);
        assert_eq!(
            world.client_set_busy(client, false).unwrap_err().code,
            DTM_EGONE
        );
        DTM_KEEP
    });
    let (mut ours, _) = world.connect();
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Open(2), Step(2, DTM_READ)]);
    assert_eq!(world.turn(), [], "it is in nobody's epoll");
    assert_eq!(world.clients(), 0);
    assert!(is_ours(kept.get(), &ours));

    let from_close = release(&kept);
    world.on_close(move |world, client, _| from_close(world, client));
    let (mut ours, client) = world.connect();
    world.client_close(client).unwrap();
    assert_eq!(world.turn(), [Open(3), Close(3, DTM_CLOSE_ASKED)]);
    assert_eq!(world.clients(), 0);
    ours.write_all(b"x").unwrap();
    // SAFETY: it lives as long as the world.
    let epoll = unsafe { BorrowedFd::borrow_raw(world.epoll_fd()) };
    let mut fds = [PollFd::new(epoll, PollFlags::POLLIN)];
    assert_eq!(
        poll(&mut fds, PollTimeout::ZERO),
        Ok(0),
        "it is in nobody's epoll"
    );
    assert!(is_ours(kept.get(), &ours));
}

/// Own events come first, whatever order the kernel has them in.
#[test]
fn own_events() {
    let world = world();
    let (mut ours, _) = world.connect();
    world.heard();
    let (mut signal, wait) = UnixStream::pair().unwrap();
    let events = libc::EPOLLIN.cast_unsigned();
    world.own_add(wait.as_raw_fd(), events, 300).unwrap();
    ours.write_all(b"x").unwrap();
    signal.write_all(b"x").unwrap();
    world.on_step(|_, _, _| DTM_DONE);
    let ended = [
        Own(300, events),
        Step(1, DTM_READ),
        Close(1, DTM_CLOSE_DONE),
    ];
    assert_eq!(world.turn(), ended);
    assert_eq!(world.turn(), [Own(300, events)], "level-triggered");
    world.own_del(wait.as_raw_fd());
    assert_eq!(world.turn(), []);
}

#[test]
fn no_pass_inside_a_pass() {
    let world = world();
    let _ours = world.connect();
    world.client_wake(world.last.get()).unwrap();
    world.on_step(|world, _, _| {
        let error = world.pass(0, world).unwrap_err();
        assert_eq!(error.code, DTM_ESTATE);
        DTM_DONE
    });
    world.heard();
    assert_eq!(world.turn(), [Step(1, DTM_WAKE), Close(1, DTM_CLOSE_DONE)]);
}
