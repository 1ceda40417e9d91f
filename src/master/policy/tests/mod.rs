//! The policy against a simulated world: children that start, fail, hang, die
//! and leave in any order, and a controller that asks for anything.

use super::*;

mod chaos;
mod recycle;
mod reload;
mod rollback;
mod scale;
mod stop;
mod supervision;
mod world;

use world::{World, running, settings};

/// flow: M6, M7
#[test]
fn start_forks_controller_and_workers_and_opens_them() {
    let world = running(4);
    assert_eq!(world.forks[0].1, Job::Controller);
    assert_eq!(world.workers().len(), 4);
    assert_eq!(world.open.len(), 5);
}

/// flow: M13, M14
#[test]
fn a_death_is_replaced_in_its_slot_with_growing_delays() {
    let mut world = running(2);
    let mut delays = Vec::new();
    for _ in 0..9 {
        let (&spawn, &(slot, ..)) = world
            .alive
            .iter()
            .find(|(_, a)| matches!(a.1, Job::Worker { index: 0 }))
            .unwrap();
        let died_at = world.now;
        world.die(spawn, Exit::Code(1));
        world.cooperate();
        assert_eq!(world.forks.last().unwrap().0, slot);
        delays.push(world.now - died_at);
    }
    let expected = [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
    for (delay, expected) in delays.iter().zip(expected) {
        assert!(
            *delay <= expected && *delay >= expected - expected / 10,
            "{delays:?}"
        );
    }
}

/// flow: M10, M16, M19
#[test]
fn nothing_is_forked_under_a_ban_and_nothing_is_forgotten() {
    let mut world = running(4);
    world.send(Event::Ban(true));
    let victims: Vec<u64> = world.workers().into_iter().take(3).collect();
    for spawn in victims {
        world.die(
            spawn,
            Exit::Signal {
                number: 9,
                core: false,
            },
        );
    }
    world.ask(1, Command::LoadConfig);
    world.ask(2, Command::LoadConfig);
    world.ask(3, Command::Start);
    world.advance(20_000);
    assert_eq!(world.zombies.len(), 3);
    assert_eq!(
        (world.loads, world.answers(3)),
        (0, vec![crate::ffi::DTM_ENOFORK])
    );
    let forks = world.forks.len();
    world.send(Event::Ban(false));
    world.cooperate();
    assert_eq!(world.forks.len() - forks, 3);
    assert_eq!(
        (world.loads, world.answers(1), world.answers(2)),
        (1, vec![0], vec![0])
    );
    assert_eq!(world.workers().len(), 4);
}

#[test]
fn a_failed_fork_is_tried_again_by_its_own_timer() {
    let mut world = running(2);
    world.fork_fails = true;
    let victim = *world.workers().first().unwrap();
    world.die(victim, Exit::Code(1));
    for _ in 0..20 {
        let at = world.policy.next_deadline().unwrap();
        assert!(at > world.now && at - world.now <= 2_000);
        world.advance(at - world.now);
    }
    world.fork_fails = false;
    world.advance(2_000);
    assert_eq!(world.workers().len(), 2);
}

#[test]
fn helpers_keep_their_phase_and_policy() {
    let spec = |restart, after_open| FuncSpec {
        count: 1,
        restart,
        after_open,
        interval: None,
    };
    let funcs = vec![
        spec(Restart::Always, false),
        spec(Restart::OnFailure, true),
        spec(Restart::Once, true),
    ];
    let mut world = World::new(settings(1, funcs));
    assert!(
        world.workers().is_empty(),
        "workers wait for the first helper"
    );
    world.cooperate();
    let order: Vec<Job> = world.forks.iter().map(|f| f.1).collect();
    assert!(
        matches!(order[1], Job::Func { func: 0, .. }) && matches!(order[2], Job::Worker { .. })
    );
    let spawn = |w: &World, func| {
        w.alive
            .iter()
            .find(|(_, a)| matches!(a.1, Job::Func { func: f, .. } if f == func))
            .map(|(s, _)| *s)
    };
    for func in 0..3 {
        let victim = spawn(&world, func).unwrap();
        world.die(victim, Exit::Code(0));
        world.cooperate();
    }
    assert!(spawn(&world, 0).is_some() && spawn(&world, 1).is_none() && spawn(&world, 2).is_none());
}

#[test]
fn the_last_worker_cannot_leave_for_good() {
    let mut world = running(2);
    for _ in 0..2 {
        let victim = *world.workers().first().unwrap();
        world.die(victim, Exit::Code(crate::ffi::DTM_EXIT_NO_RESTART));
        world.cooperate();
    }
    assert_eq!(world.workers().len(), 1);
}
