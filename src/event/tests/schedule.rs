//! What the accept schedule needs from the loop: who is busy, who is stuck, and when
//! the work for clients begins.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A word for set_beat(), which wants one that lives for ever.
fn beat() -> &'static AtomicU64 {
    Box::leak(Box::new(AtomicU64::new(0)))
}

fn now_ns() -> u64 {
    clock::Clock::read().ns()
}

#[test]
fn busy_clients_are_counted() {
    let world = world();
    let (_a, first) = world.connect();
    let (_b, second) = world.connect();
    assert_eq!(world.busy(), 2);
    for (busy, sum) in [(false, 1), (false, 1), (true, 2), (true, 2), (false, 1)] {
        world.client_set_busy(first, busy).unwrap();
        assert_eq!(world.busy(), sum);
    }
    // One ends idle, one busy.
    world.client_close(first).unwrap();
    world.turn();
    assert_eq!((world.clients(), world.busy()), (1, 1));
    world.client_close(second).unwrap();
    world.turn();
    assert_eq!((world.clients(), world.busy()), (0, 0));
}

#[test]
fn own_events_then_the_boundary_then_clients() {
    let world = world();
    let (mut ours, _client) = world.connect();
    let (mut signal, own) = UnixStream::pair().unwrap();
    let input = libc::EPOLLIN.cast_unsigned();
    world.own_add(own.as_raw_fd(), input, 7).unwrap();
    world.on_step(|world, client, _| {
        read(world.client_fd(client).unwrap(), 10);
        DTM_KEEP
    });
    world.heard();
    ours.write_all(b"x").unwrap();
    signal.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Own(7, input), Step(1, DTM_READ)]);

    world.boundary(true);
    ours.write_all(b"x").unwrap();
    assert_eq!(
        world.turn(),
        [Own(7, input), Own(BOUNDARY, 0), Step(1, DTM_READ)]
    );
    world.boundary(false);
    assert_eq!(world.turn(), [Own(7, input)]);
}

/// Asleep while it waits, and since it awoke at work.
#[test]
fn the_beat_tells_sleep_from_work() {
    let world = world();
    let beat = beat();
    world.set_beat(beat);
    let (ours, _client) = world.connect();
    world.heard();
    world.on_step(move |_, _, _| {
        assert!(beat.load(Relaxed) <= now_ns());
        DTM_DONE
    });
    let asleep = now_ns();
    let told = [Step(1, DTM_READ), Close(1, DTM_CLOSE_DONE)];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while beat.load(Relaxed) != ASLEEP {
                std::thread::yield_now();
            }
            (&ours).write_all(b"x").unwrap();
        });
        assert_eq!(world.turn_for(-1), told);
    });
    assert!((asleep..=now_ns()).contains(&beat.load(Relaxed)));
}

/// A foreign loop sleeps outside of every pass.
#[test]
fn the_beat_rests_between_the_passes_of_a_foreign_loop() {
    let world = world();
    let beat = beat();
    world.set_beat(beat);
    world.foreign().unwrap();
    let asleep = now_ns();
    world.turn();
    let first = beat.load(Relaxed);
    assert!((ASLEEP + asleep..=ASLEEP + now_ns()).contains(&first));
    world.turn();
    assert!(beat.load(Relaxed) > first, "nobody saw it get on");
}
