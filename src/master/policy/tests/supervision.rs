//! Budgets, slots that are given up, and what the table says of a slot.

use super::world::{World, running, settings};
use super::*;

fn with_budget(workers: u32, budget: u32) -> World {
    let mut settings = settings(workers, Vec::new());
    settings.budget = Some(budget);
    let mut world = World::new(settings);
    world.cooperate();
    world
}

/// The worker with this index, in the serving generation.
pub(super) fn worker(world: &World, index: u32) -> Option<u64> {
    let mut alive = world.alive.iter();
    let found = alive.find(|(_, a)| a.1 == Job::Worker { index });
    found.map(|(spawn, _)| *spawn)
}

/// Dies until nobody follows; how often.
fn exhaust(world: &mut World, index: u32) -> u32 {
    let mut deaths = 0;
    while let Some(spawn) = worker(world, index) {
        world.die(spawn, Exit::Code(1));
        world.cooperate();
        deaths += 1;
        assert!(deaths < 100, "it is never given up");
    }
    deaths
}

fn given_up(world: &World) -> usize {
    let failed = |note: &&Note| matches!(note, Note::Failed { .. });
    world.log.iter().filter(failed).count()
}

/// C1, A05
#[test]
fn a_slot_is_given_up_after_its_budget_and_the_others_serve() {
    let mut world = with_budget(3, 10);
    assert_eq!(exhaust(&mut world, 1), 10);
    assert_eq!((given_up(&world), world.workers().len()), (1, 2));
    assert_eq!(world.policy.next_deadline(), None, "nothing is planned");
    let slot = world.policy.slots().iter().find(|s| s.failed).unwrap();
    assert_eq!(slot.last, Some((Reason::Exit, Exit::Code(1))));
    assert_eq!((slot.tally.deaths, slot.tally.forks), (10, 10));
    assert_eq!(slot.class(), Class::NotStarted);
}

/// Deaths that lie further apart than the window are no crash loop.
#[test]
fn old_deaths_do_not_count() {
    let mut world = with_budget(2, 3);
    for _ in 0..20 {
        world.advance(30_001);
        let spawn = worker(&world, 0).unwrap();
        world.die(spawn, Exit::Code(1));
        world.cooperate();
    }
    assert_eq!((given_up(&world), world.workers().len()), (0, 2));
}

/// A06: when all of them die, all of them are tried again, for ever.
#[test]
fn the_last_worker_is_never_given_up() {
    let mut world = with_budget(3, 5);
    exhaust(&mut world, 0);
    exhaust(&mut world, 1);
    for _ in 0..50 {
        let spawn = worker(&world, 2).expect("the last one comes back");
        world.die(spawn, Exit::Code(1));
        let before = world.now;
        world.cooperate();
        assert!(world.now - before <= 5_000);
    }
    assert_eq!((given_up(&world), world.workers().len()), (2, 1));
}

#[test]
fn the_controller_is_never_given_up() {
    let mut world = with_budget(1, 3);
    for _ in 0..20 {
        let mut alive = world.alive.iter();
        let (&spawn, _) = alive.find(|(_, a)| a.1 == Job::Controller).unwrap();
        world.die(spawn, Exit::Code(1));
        world.cooperate();
    }
    assert_eq!(given_up(&world), 0);
}

#[test]
fn a_reset_gives_another_chance_and_so_does_a_reload() {
    let mut world = with_budget(3, 4);
    assert_eq!(exhaust(&mut world, 0), 4);
    world.ask(1, Command::Reset);
    world.cooperate();
    assert_eq!((world.answers(1), world.workers().len()), (vec![0], 3));
    assert_eq!(exhaust(&mut world, 0), 4, "a whole budget again");
    world.ask(2, Command::Reload);
    world.cooperate();
    assert_eq!((world.answers(2), world.workers().len()), (vec![0], 3));
    assert!(world.policy.slots().iter().all(|s| !s.failed));
}

/// A reset waits for forking to be allowed, and ends the back-off of all others, too.
#[test]
fn a_reset_ends_back_off() {
    let mut world = running(2);
    for _ in 0..8 {
        let spawn = worker(&world, 0).unwrap();
        world.die(spawn, Exit::Code(1));
        world.cooperate();
    }
    let spawn = worker(&world, 0).unwrap();
    world.die(spawn, Exit::Code(1));
    world.send(Event::Ban(true));
    world.ask(1, Command::Reset);
    assert_eq!((worker(&world, 0), world.answers(1)), (None, vec![0]));
    world.send(Event::Ban(false));
    assert!(worker(&world, 0).is_some());
}

/// T1: what the table counts of a slot never falls, whoever lives there.
#[test]
fn tallies_outlive_processes_and_generations() {
    let mut world = running(2);
    let spawn = worker(&world, 0).unwrap();
    let slot = world.alive[&spawn].0;
    let signal = Exit::Signal {
        number: 11,
        core: true,
    };
    world.die(spawn, signal);
    world.cooperate();
    world.ask(1, Command::Reload);
    world.cooperate();
    let (tally, last) = (
        world.policy.slots()[slot].tally,
        world.policy.slots()[slot].last,
    );
    assert_eq!((tally.deaths, tally.crashes, tally.disallowed), (1, 1, 1));
    assert_eq!(last, Some((Reason::Told, Exit::Code(0))));
    assert!(tally.forks >= 2);
}

#[test]
fn each_state_of_a_slot_has_its_class() {
    let mut world = World::new(settings(1, Vec::new()));
    let class = |w: &World| {
        let of_worker = |s: &&Slot| s.is_worker();
        w.policy.slots().iter().find(of_worker).unwrap().class()
    };
    assert_eq!(class(&world), Class::NotStarted);
    world.cooperate();
    assert_eq!(class(&world), Class::Valid);
    world.ask(1, Command::Stop);
    assert_eq!(class(&world), Class::Disallowed);
    let mut out = Vec::new();
    let deadline = world.policy.next_deadline().unwrap();
    world
        .policy
        .step(Event::Tick { heard: deadline }, deadline, &mut out);
    assert_eq!(class(&world), Class::TimedOut);
}

/// PostgreSQL's rule for background workers: after an interval, and never again after 0.
#[test]
fn a_func_may_have_its_own_interval() {
    let spec = FuncSpec {
        count: 1,
        restart: Restart::OnFailure,
        after_open: false,
        interval: Some(60_000),
    };
    let mut world = World::new(settings(1, vec![spec]));
    world.cooperate();
    let func = |w: &World| {
        let mut alive = w.alive.iter();
        alive
            .find(|(_, a)| matches!(a.1, Job::Func { .. }))
            .map(|(s, _)| *s)
    };
    for _ in 0..3 {
        let before = world.now;
        world.die(func(&world).unwrap(), Exit::Code(1));
        world.advance(59_999);
        assert_eq!(func(&world), None);
        world.cooperate();
        assert_eq!(world.now - before, 60_000);
    }
    world.die(func(&world).unwrap(), Exit::Code(0));
    world.advance(600_000);
    assert_eq!(func(&world), None);
}
