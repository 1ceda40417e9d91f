//! When a client is stepped: what it waits for, and wake-ups.

use super::*;

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
