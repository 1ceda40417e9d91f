//! Workers that are worn out: each is replaced by a successor that opens before it leaves.

use super::supervision::worker;
use super::world::{World, running, settings};
use super::*;

/// Looks at every open worker; each has served so many requests since its fork.
fn look(world: &mut World, requests: impl Fn(u64) -> u64) {
    let alive = world.alive.iter();
    let workers = alive.filter(|(spawn, a)| {
        matches!(a.1, Job::Worker { .. }) && world.open.contains(spawn) && !a.3
    });
    let usages = workers.map(|(&spawn, &(slot, ..))| Usage {
        slot,
        spawn,
        requests: requests(spawn),
        ..Usage::default()
    });
    let usages = usages.collect();
    world.send(Event::Looked(usages));
}

fn recycling(workers: u32, parallel: u32) -> World {
    let mut settings = settings(workers, Vec::new());
    settings.recycle.requests = Some(100);
    settings.recycle.parallel = parallel;
    settings.budget = Some(3);
    let mut world = World::new(settings);
    world.cooperate();
    world.advance(10_000);
    world
}

/// Those that take clients.
pub(super) fn accepting(world: &World) -> usize {
    let told = |spawn: &&u64| world.alive[*spawn].3;
    world
        .workers()
        .iter()
        .filter(|s| world.open.contains(s) && !told(s))
        .count()
}

/// Q1: never fewer than all of them take clients, never more than k are on their way.
#[test]
fn a_successor_comes_before_its_predecessor_goes() {
    for parallel in [1, 3] {
        let mut world = recycling(8, parallel);
        let first = world.workers();
        for _ in 0..200 {
            look(
                &mut world,
                |spawn| if first.contains(&spawn) { 1_000 } else { 0 },
            );
            assert!(accepting(&world) >= 8);
            assert!(world.workers().len() <= 8 + usize::try_from(parallel).unwrap());
            let ready = world.alive.iter().find(|(s, _)| !world.open.contains(s));
            if let Some((&spawn, &(slot, ..))) = ready {
                world.send(Event::Ready { slot, spawn });
                world.send(Event::Updated { slot, spawn });
            } else if let Some((&spawn, _)) = world.alive.iter().find(|(_, a)| a.3) {
                world.die(spawn, Exit::Code(0));
            }
        }
        assert!(first.is_disjoint(&world.workers()), "all were replaced");
        assert_eq!((accepting(&world), world.workers().len()), (8, 8));
        let recycled: u32 = world.policy.slots().iter().map(|s| s.tally.recycled).sum();
        assert_eq!(recycled, 8);
        assert_eq!(world.policy.counts.get(Count::Deaths), 0);
    }
}

/// A successor that cannot start costs nobody: the old one serves on.
#[test]
fn a_successor_that_fails_is_given_up() {
    let mut world = recycling(2, 1);
    look(&mut world, |_| 1_000);
    for _ in 0..3 {
        let starting = world.alive.iter().find(|(s, _)| !world.open.contains(s));
        let (&spawn, _) = starting.expect("it is tried again");
        world.die(spawn, Exit::Code(64));
        let at = world.policy.next_deadline().unwrap_or(world.now);
        if at < world.now + 1_000 {
            world.advance(at - world.now);
        }
    }
    assert_eq!((accepting(&world), world.workers().len()), (2, 2));
    look(&mut world, |_| 1_000);
    let free = world.policy.slots().iter().filter(|s| s.is_free()).count();
    assert_eq!(free, world::SLOTS - 3 - 1, "the other one's turn");
}

/// One that dies while its successor starts has that for its replacement.
#[test]
fn a_worker_that_dies_before_its_successor_is_open() {
    let mut world = recycling(2, 1);
    let first = world.workers();
    look(&mut world, |_| 1_000);
    let old = *first.iter().next().unwrap();
    world.die(old, Exit::Code(1));
    world.cooperate();
    assert_eq!((accepting(&world), world.workers().len()), (2, 2));
}

#[test]
fn an_operator_may_ask_for_it() {
    let mut world = running(2);
    let victim = worker(&world, 0).unwrap();
    world.ask(1, Command::Recycle(victim));
    world.ask(2, Command::Recycle(victim));
    world.ask(3, Command::Recycle(9_999));
    world.cooperate();
    let codes = [1, 2, 3].map(|id| world.answers(id)[0]);
    assert_eq!(codes, [0, -libc::EBUSY, crate::ffi::DTM_EGONE]);
    assert!(!world.workers().contains(&victim));
    assert_eq!((accepting(&world), world.workers().len()), (2, 2));
}

/// Under a load that uses everybody up at once, each gets its turn all the same.
#[test]
fn the_oldest_is_recycled_first() {
    let mut world = recycling(4, 1);
    let mut gone = Vec::new();
    for _ in 0..4 {
        let before = world.workers();
        look(&mut world, |_| 1_000);
        world.cooperate();
        world.advance(10_000);
        gone.extend(before.difference(&world.workers()).copied());
    }
    assert!(gone.is_sorted() && gone.len() == 4, "{gone:?}");
}
