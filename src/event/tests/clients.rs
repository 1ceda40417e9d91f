//! The life of a client: how it begins, what its callbacks answer, how it ends.

use super::*;

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
