//! A pass itself: the owner's own events, and none inside another.

use super::*;

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
