use super::*;

fn idle_at_open(world: &World) {
    world.on_open(|world, client| {
        world.client_set_busy(client, false).unwrap();
        DTM_READ.cast_signed()
    });
}

#[test]
fn idle_ones_go_and_busy_ones_are_told_once() {
    let world = world();
    let (_busy, client) = world.connect();
    idle_at_open(&world);
    let (idle, _) = world.connect();
    world.heard();
    world.start_drain();
    world.start_drain();
    assert!(world.draining());
    assert_eq!(
        world.turn(),
        [Step(1, DTM_DRAIN), Close(2, DTM_CLOSE_DRAIN)]
    );
    assert!(sees_end(&idle));
    assert_eq!(world.turn(), []);
    // Idle now: somebody else says so, and the pass ends it.
    world.client_set_busy(client, false).unwrap();
    assert_eq!(world.turn(), [Close(1, DTM_CLOSE_DRAIN)]);
}

#[test]
fn idle_at_the_end_of_its_step() {
    let world = world();
    let (mut ours, _) = world.connect();
    world.start_drain();
    world.turn();
    ours.write_all(b"x").unwrap();
    world.on_step(|world, client, _| {
        read(world.client_fd(client).unwrap(), 10);
        world.client_set_busy(client, false).unwrap();
        DTM_READ.cast_signed()
    });
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_DRAIN)]);
}

/// What had arrived before is answered: three requests, one a step, then the end.
#[test]
fn what_was_sent_is_served_first() {
    let world = world();
    idle_at_open(&world);
    let (mut ours, _) = world.connect();
    world.heard();
    ours.write_all(b"123").unwrap();
    world.on_step(|world, client, _| {
        read(world.client_fd(client).unwrap(), 1);
        DTM_READ.cast_signed()
    });
    world.start_drain();
    assert_eq!(world.turn(), [Step(1, DTM_READ)]);
    assert_eq!(world.turn(), [Step(1, DTM_READ)]);
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_DRAIN)]);
}

#[test]
fn the_event_and_the_news_come_together() {
    let world = world();
    let (mut ours, _) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.start_drain();
    world.on_step(|_, _, _| DTM_WAIT);
    assert_eq!(world.turn(), [Step(1, DTM_READ | DTM_DRAIN)]);
    assert_eq!(world.turn(), []);
}

#[test]
fn a_client_that_comes_during_a_drain_is_served() {
    let world = world();
    world.start_drain();
    let (mut ours, _) = world.connect();
    ours.write_all(b"x").unwrap();
    world.on_step(|_, _, _| DTM_DONE);
    assert_eq!(
        world.turn(),
        [Open(1), Step(1, DTM_READ), Close(1, DTM_CLOSE_DONE)]
    );
}

#[test]
fn taken_clients_drain_too() {
    let mut setup = defaults();
    setup.step = None;
    let world = world_with(setup);
    world.on_open(|_, _| DTM_TAKEN);
    let (_ours, client) = world.connect();
    world.heard();
    world.start_drain();
    assert_eq!(world.turn(), []);
    world.client_set_busy(client, false).unwrap();
    assert_eq!(world.turn(), [Close(1, DTM_CLOSE_DRAIN)]);
}

#[test]
fn deadline_and_shutdown() {
    let world = world();
    let (busy, _) = world.connect();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let watch = world.watch(theirs, DTM_READ, 9);
    let timer = world.timer(0, 0, 8);
    world.own_timer(3, Some(0));
    world.heard();
    world.close_clients(DTM_CLOSE_DEADLINE);
    assert_eq!(world.heard(), [Close(1, DTM_CLOSE_DEADLINE)]);
    assert!(sees_end(&busy));

    let (last, _) = world.connect();
    world.on_close(|world, _, _| {
        let nothing_new = world.timer_add(1, 0, Some(fire), std::ptr::null_mut());
        assert_eq!(nothing_new.unwrap_err().code, DTM_ESTATE);
    });
    world.shutdown(DTM_CLOSE_SHUTDOWN);
    let ends = [
        Open(2),
        Close(2, DTM_CLOSE_SHUTDOWN),
        WatchClose(9, DTM_CLOSE_SHUTDOWN),
    ];
    assert_eq!(world.heard(), ends);
    assert!(sees_end(&last) && sees_end(&ours));
    assert_eq!(world.watch_wake(watch).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.timer_free(timer).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.turn(), []);
    assert_eq!(world.next_deadline(), None);
}

/// Its own step asks for the end of everything: it ends last, but it ends.
#[test]
fn closed_while_its_step_runs() {
    let world = world();
    let (mut ours, _) = world.connect();
    let (_other, _) = world.connect();
    world.heard();
    ours.write_all(b"x").unwrap();
    world.on_step(|world, _, _| {
        world.close_clients(DTM_CLOSE_SHUTDOWN);
        DTM_KEEP
    });
    let ends = [
        Step(1, DTM_READ),
        Close(2, DTM_CLOSE_SHUTDOWN),
        Close(1, DTM_CLOSE_SHUTDOWN),
    ];
    assert_eq!(world.turn(), ends);
}

/// Found by the chaos test: a client that was answered an instant before the drain is as
/// idle as one that was answered long before; its next request is on its way.
#[test]
fn a_patient_drain_spares_the_client_of_the_last_pass() {
    let world = world();
    idle_at_open(&world);
    let (mut ours, _) = world.connect();
    world.heard();
    for _ in 0..20 {
        ours.write_all(b"x").unwrap();
        world.on_step(|world, client, _| {
            read(world.client_fd(client).unwrap(), 8);
            DTM_KEEP
        });
        assert_eq!(world.turn(), [Step(1, DTM_READ)]);
    }
    world.start_patient_drain();
    assert_eq!(world.turn(), []);
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_DRAIN)]);
}

/// Found by c-examples/http.c under load: a client that has just come is busy, so it is told
/// of the drain, finds nothing to read and becomes idle. Its first request is on its way.
#[test]
fn a_patient_drain_spares_a_client_that_has_just_come() {
    let world = world();
    world.on_step(|world, client, _| {
        read(world.client_fd(client).unwrap(), 8);
        world.client_set_busy(client, false).unwrap();
        DTM_KEEP
    });
    let (mut ours, _) = world.connect();
    world.heard();
    world.start_patient_drain();
    assert_eq!(world.turn(), [Step(1, DTM_DRAIN)]);
    assert_eq!(world.turn(), []);
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ), Close(1, DTM_CLOSE_DRAIN)]);
}
