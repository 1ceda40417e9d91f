//! A reload that fails, or cannot begin, leaves everything as it was.

use super::world::{World, running, settings};
use super::*;

#[test]
fn a_reload_whose_worker_dies_leaves_the_old_generation_untouched() {
    let mut world = running(3);
    let old = world.workers();
    world.ask(1, Command::Reload);
    let new = *world.workers().difference(&old).next().unwrap();
    world.die(new, Exit::Code(64));
    world.cooperate();
    assert_eq!(world.workers(), old);
    assert!(old.iter().all(|s| !world.alive[s].3));
    assert_eq!(world.answers(1), [crate::ffi::DTM_EFAILED]);
    assert_eq!(world.reverts, 1);
}

#[test]
fn a_reload_whose_worker_hangs_is_cancelled_at_the_start_timeout() {
    let mut world = running(2);
    let old = world.workers();
    world.ask(1, Command::Reload);
    world.advance(60_000);
    world.cooperate();
    assert_eq!(world.workers(), old);
    assert_eq!(world.answers(1), [crate::ffi::DTM_EFAILED]);
}

/// Who asks for more time in its init has it in a reload, too.
#[test]
fn more_time_to_start_is_more_time_for_the_reload() {
    let mut world = running(2);
    let old = world.workers();
    world.ask(1, Command::Reload);
    for spawn in world
        .workers()
        .difference(&old)
        .copied()
        .collect::<Vec<_>>()
    {
        let (slot, ms) = (world.alive[&spawn].0, Some(300_000));
        world.send(Event::Extended { slot, spawn, ms });
    }
    world.advance(90_000);
    assert!(world.answers(1).is_empty());
    world.cooperate();
    assert_eq!(world.answers(1), [crate::ffi::DTM_OK]);
    assert!(world.workers().is_disjoint(&old));
}

/// What would be taken back again is not taken over: asked before the service is.
#[test]
fn room_is_known_before_a_config_is_loaded() {
    let world = running(2);
    assert_eq!(world.policy.check_room(4), Ok(()));
    let code = |world: &World, workers| world.policy.check_room(workers).unwrap_err().0;
    assert_eq!(code(&world, 100), -libc::ENOSPC);
}

#[test]
fn a_wrong_config_forks_nothing() {
    let mut world = running(2);
    let forks = world.forks.len();
    world.next_load = Err((crate::ffi::DTM_ECONFIG, "line 3".into()));
    world.ask(1, Command::Reload);
    assert_eq!(world.answers(1), [crate::ffi::DTM_ECONFIG]);
    assert_eq!(world.forks.len(), forks);
}

/// What is in memory during a reload may still be taken back.
#[test]
fn no_worker_of_the_old_generation_is_forked_with_a_config_that_may_be_cancelled() {
    let mut world = running(3);
    world.ask(1, Command::Reload);
    let victim = *world.workers().first().unwrap();
    let generation = world.alive[&victim].2;
    world.die(victim, Exit::Code(1));
    world.advance(50);
    let of_old = |w: &World| w.alive.values().filter(|a| a.2 == generation).count();
    assert_eq!(of_old(&world), 2);
    let at = world.policy.next_deadline().unwrap();
    assert!(at > world.now, "the loop sleeps meanwhile");
    let new = *world.workers().last().unwrap();
    world.die(new, Exit::Code(64));
    world.cooperate();
    assert_eq!((of_old(&world), world.reverts), (3, 1));
}

#[test]
fn a_config_that_does_not_fit_is_taken_back() {
    let mut world = running(2);
    world.next_load = Ok(settings(100, Vec::new()));
    world.ask(1, Command::LoadConfig);
    assert_eq!((world.answers(1), world.reverts), (vec![-libc::ENOSPC], 1));
    assert_eq!(world.policy.settings.workers, 2);
}
