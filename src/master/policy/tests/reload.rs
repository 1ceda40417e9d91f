//! Stages of a reload: the canary, the rest, the opening, room for one more old generation.

use super::world::{World, asker, running, settings};
use super::*;
use crate::ffi::{DTM_EFAILED, DTM_OK};

/// Workers of a generation, by spawn.
fn of(world: &World, generation: u32) -> Vec<(u64, usize)> {
    let alive = world.alive.iter();
    alive
        .filter(|(_, a)| a.2 == generation && matches!(a.1, Job::Worker { .. }))
        .map(|(spawn, a)| (*spawn, a.0))
        .collect()
}

fn update(world: &mut World, generation: u32) {
    for (spawn, slot) in of(world, generation) {
        world.send(Event::Ready { slot, spawn });
        world.send(Event::Updated { slot, spawn });
    }
}

/// flow: M17
#[test]
fn reload_opens_the_new_generation_before_the_old_is_told() {
    let mut world = running(3);
    world.next_load = Ok(Settings {
        canary: None,
        ..settings(3, Vec::new())
    });
    let old = world.workers();
    world.ask(7, Command::Reload);
    assert_eq!(world.workers().len(), 6);
    let told = |w: &World| old.iter().filter(|s| w.alive[s].3).count();
    let new: Vec<u64> = world.workers().difference(&old).copied().collect();
    for (i, spawn) in new.iter().enumerate() {
        let slot = world.alive[spawn].0;
        world.send(Event::Ready {
            slot,
            spawn: *spawn,
        });
        world.send(Event::Updated {
            slot,
            spawn: *spawn,
        });
        assert_eq!(told(&world), if i + 1 == new.len() { 3 } else { 0 });
    }
    world.cooperate();
    assert_eq!(world.answers(7), [0]);
    assert_eq!(world.workers().into_iter().collect::<Vec<_>>(), new);
}

#[test]
fn the_rest_is_forked_when_the_canary_is_up_to_date() {
    let mut world = running(4);
    world.next_load = Ok(Settings {
        canary: Some(2),
        ..settings(4, Vec::new())
    });
    world.ask(1, Command::Reload);
    assert_eq!(of(&world, 2).len(), 2);
    let (spawn, slot) = of(&world, 2)[0];
    world.send(Event::Ready { slot, spawn });
    world.send(Event::Updated { slot, spawn });
    assert_eq!(of(&world, 2).len(), 2, "one of two is not enough");
    update(&mut world, 2);
    assert_eq!(of(&world, 2).len(), 4);
    assert!(world.answers(1).is_empty());
    update(&mut world, 2);
    assert_eq!(world.answers(1), [DTM_OK]);
    assert!(
        of(&world, 2)
            .iter()
            .all(|(spawn, _)| world.open.contains(spawn))
    );
}

#[test]
fn until_it_opens_as_many_workers_are_wanted_as_before() {
    for (before, after) in [(2, 4), (4, 2)] {
        let mut world = running(before);
        world.next_load = Ok(Settings {
            canary: None,
            ..settings(after, Vec::new())
        });
        let wanted = |w: &World| w.policy.facts(&crate::shm::Facts::default()).workers;
        world.ask(1, Command::Reload);
        assert_eq!(wanted(&world), u64::from(before));
        update(&mut world, 2);
        assert_eq!(world.answers(1), [DTM_OK]);
        assert_eq!(wanted(&world), u64::from(after));
    }
}

#[test]
fn without_a_canary_all_are_forked_at_once() {
    let mut world = running(4);
    world.next_load = Ok(Settings {
        canary: None,
        ..settings(4, Vec::new())
    });
    world.ask(1, Command::Reload);
    assert_eq!(of(&world, 2).len(), 4);
}

/// D02: what cannot start costs one process.
#[test]
fn a_canary_that_dies_is_to_blame() {
    let mut world = running(4);
    let forks = world.forks.len();
    world.ask(1, Command::Reload);
    let (spawn, slot) = of(&world, 2)[0];
    world.die(spawn, Exit::Code(crate::ffi::DTM_EXIT_INIT));
    assert_eq!(world.answers(1), [DTM_EFAILED]);
    assert_eq!(world.forks.len(), forks + 1);
    let (generation, code, text, blame) = world.ends.pop().unwrap();
    assert_eq!((generation, code, blame), (2, DTM_EFAILED, Some(slot)));
    assert!(
        text.starts_with("worker 0 of the new generation failed"),
        "{text}"
    );
    assert_eq!(world.policy.counts.get(Count::FailedReloads), 1);
}

/// D03: 3 of 4 are ready, one hangs.
#[test]
fn the_one_that_hangs_is_to_blame() {
    let mut world = running(4);
    world.ask(1, Command::Reload);
    update(&mut world, 2);
    // The rest has a start timeout of its own.
    world.advance(59_000);
    let rest: Vec<_> = of(&world, 2).split_off(1);
    for (spawn, slot) in &rest[..2] {
        let (spawn, slot) = (*spawn, *slot);
        world.send(Event::Ready { slot, spawn });
        world.send(Event::Updated { slot, spawn });
    }
    let (spawn, slot) = rest[2];
    world.send(Event::Ready { slot, spawn });
    assert!(world.answers(1).is_empty());
    world.advance(1_000);
    let (.., text, blame) = world.ends.pop().unwrap();
    assert_eq!(blame, Some(slot));
    assert!(
        text.contains("worker 3") && text.contains("not up to date in time"),
        "{text}"
    );
    world.cooperate();
    assert_eq!((of(&world, 1).len(), of(&world, 2).len()), (4, 0));
}

/// R4, D04: one more run with the newest configuration, whoever asks how often.
#[test]
fn requests_during_a_reload_are_one_more_run() {
    let mut world = running(2);
    let loads = world.loads;
    world.ask(1, Command::Reload);
    for id in 2..100 {
        world.ask(id, Command::Reload);
        assert_eq!(world.answers(id), [-libc::EBUSY]);
    }
    world.cooperate();
    assert_eq!(world.loads, loads + 2);
    assert_eq!(world.policy.counts.get(Count::Reloads), 2);
}

/// R6: clients that never end; each reload finds at most two old generations.
#[test]
fn the_oldest_generation_makes_room() {
    let mut world = running(1);
    for generation in 2..=6 {
        world.ask(u64::from(generation), Command::Reload);
        update(&mut world, generation);
        // Three old ones would be too many: the oldest has to go first.
        let oldest = *world.generations().first().unwrap();
        if generation >= 4 {
            assert!(world.answers(u64::from(generation)).is_empty());
            assert_eq!(oldest, generation - 3);
            let told = of(&world, oldest)[0].1;
            let stop = world.policy.slots()[told].child.as_ref().unwrap().stop;
            assert_eq!(stop.map(|s| s.order), Some(Order::Expire));
            // It does not care: it is killed when the grace is over.
            world.advance(2_000);
        }
        assert_eq!(world.answers(u64::from(generation)), [DTM_OK]);
        assert!(world.generations().len() <= 3);
    }
}

/// Only what is about to open makes room: a reload that fails closes nobody.
#[test]
fn a_failing_reload_makes_no_room() {
    let mut world = running(1);
    for generation in 2..=3 {
        world.ask(u64::from(generation), Command::Reload);
        update(&mut world, generation);
    }
    world.ask(4, Command::Reload);
    let (spawn, _) = of(&world, 4)[0];
    world.die(spawn, Exit::Code(1));
    assert_eq!(world.answers(4), [DTM_EFAILED]);
    assert_eq!(
        world.generations().into_iter().collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

/// A worker that asks not to be restarted before it opened: the generation would be
/// smaller than wanted, in the end empty.
#[test]
fn no_worker_of_a_new_generation_may_leave() {
    let mut world = running(1);
    world.ask(1, Command::Reload);
    let (spawn, _) = of(&world, 2)[0];
    world.die(spawn, Exit::Code(crate::ffi::DTM_EXIT_NO_RESTART));
    assert_eq!(world.answers(1), [DTM_EFAILED]);
    assert_eq!(of(&world, 1).len(), 1);
}

/// D16: whatever happened before, the next one succeeds.
#[test]
fn the_next_one_succeeds() {
    let mut world = running(3);
    for id in 1..20 {
        world.ask(id, Command::Reload);
        if id % 2 == 0 {
            let (spawn, _) = *of(&world, world.policy.newest).last().unwrap();
            world.die(spawn, Exit::Code(1));
        }
        world.cooperate();
        let code = if id % 2 == 0 { DTM_EFAILED } else { DTM_OK };
        assert_eq!(world.answers(id), [code]);
        assert!(!world.replies.iter().any(|r| r.0 == asker(99)));
    }
}

/// The last one is up to date, and another one is dead: both are heard of at once.
#[test]
fn no_reload_is_complete_with_a_worker_that_is_dead() {
    let mut world = running(2);
    let old = world.workers();
    world.ask(1, Command::Reload);
    let news = |w: &World| -> Vec<u64> { w.workers().difference(&old).copied().collect() };
    let updated = |w: &World, spawn: u64| {
        let slot = w.alive[&spawn].0;
        [Event::Ready { slot, spawn }, Event::Updated { slot, spawn }]
    };
    let first = news(&world)[0];
    updated(&world, first)
        .into_iter()
        .for_each(|e| world.send(e));
    let second = *news(&world).iter().find(|s| **s != first).unwrap();
    updated(&world, second)
        .into_iter()
        .for_each(|e| world.say(e));
    let died = world.death(first, Exit::Code(1));
    world.say(died);
    world.cooperate();
    assert_eq!(world.answers(1), [crate::ffi::DTM_EFAILED]);
    assert_eq!((world.workers(), world.reverts), (old, 1));
}
