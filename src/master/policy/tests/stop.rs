//! Stopping the workers, and the end of the whole service.

use super::world::{World, running, settings};
use super::*;

/// flow: M18, M19, L8
#[test]
fn stop_spares_the_controller_and_start_waits_for_the_last_child() {
    let mut world = running(2);
    world.send(Event::Ban(true));
    world.ask(1, Command::Stop);
    world.send(Event::Ban(false));
    assert!(world.answers(1).is_empty());
    world.ask(2, Command::Start);
    assert_eq!(world.workers().len(), 2);
    world.cooperate();
    assert_eq!((world.answers(1), world.answers(2)), (vec![0], vec![0]));
    assert_eq!(world.workers().len(), 2);
    assert_eq!(
        world
            .forks
            .iter()
            .filter(|f| f.1 == Job::Controller)
            .count(),
        1
    );
    world.ask(3, Command::Start);
    assert_eq!((world.answers(3), world.workers().len()), (vec![0], 2));
}

/// flow: M8, M21
#[test]
fn shutdown_waits_for_all_and_kills_at_the_deadline() {
    let mut world = running(3);
    world.ask(1, Command::Shutdown);
    assert!(
        world
            .alive
            .values()
            .filter(|a| a.1 != Job::Controller)
            .all(|a| a.3)
    );
    assert!(world.alive.values().any(|a| a.1 == Job::Controller && !a.3));
    world.advance(31_999);
    assert_eq!(world.alive.len(), 4);
    world.advance(1);
    assert_eq!(world.policy.counts.get(Count::Killed), 3);
    world.cooperate();
    assert_eq!(world.finished, Some(false));
}

#[test]
fn asking_twice_for_the_end_makes_it_fast() {
    let mut world = running(2);
    world.ask(1, Command::Shutdown);
    world.ask(2, Command::Shutdown);
    world.advance(2_000);
    world.cooperate();
    assert_eq!(world.finished, Some(true));
}

#[test]
fn asking_a_third_time_kills_who_is_left() {
    let mut world = running(2);
    world.ask(1, Command::ShutdownNow);
    assert_eq!(world.policy.counts.get(Count::Killed), 0);
    world.ask(2, Command::ShutdownNow);
    assert_eq!(world.policy.counts.get(Count::Killed), 3);
    world.cooperate();
    assert_eq!(world.finished, Some(true));
}

/// With the controller, which shows them; a fast end does not wait with it.
#[test]
fn the_end_waits_for_workers_of_the_old_binary() {
    for command in [Command::Shutdown, Command::ShutdownNow] {
        let mut world = running(2);
        world.send(Event::Adopted(2));
        world.ask(1, command);
        world.cooperate();
        let left = usize::from(command == Command::Shutdown);
        assert_eq!((world.alive.len(), world.finished), (left, None));
        world.send(Event::Adopted(1));
        world.cooperate();
        assert_eq!((world.alive.len(), world.finished), (left, None));
        world.send(Event::Adopted(0));
        world.cooperate();
        assert_eq!(world.finished, Some(command == Command::ShutdownNow));
    }
}

/// A13: what was said in time counts, also when the master hears of it late, and of one child
/// after the other.
#[test]
fn a_deadline_is_judged_when_all_that_was_said_has_been_heard() {
    let mut world = World::new(settings(3, Vec::new()));
    let starting: Vec<(u64, usize)> = world.alive.iter().map(|(&s, a)| (s, a.0)).collect();
    assert_eq!(starting.len(), 4);
    world.now += 60_001; // and its limit is 60,000
    for (place, &(spawn, slot)) in starting.iter().enumerate() {
        world.say(match place % 2 {
            0 => Event::Ready { slot, spawn },
            _ => Event::Extended {
                slot,
                spawn,
                ms: Some(10_000),
            },
        });
    }
    world.advance(0);
    assert_eq!(world.forks.len(), 4, "{:?}", world.log);
    world.advance(10_000);
    assert_eq!(world.policy.counts.get(Count::Killed), 2);
}

#[test]
fn who_died_in_time_was_not_late() {
    let mut world = running(3);
    world.ask(1, Command::Stop);
    let leaving = world.workers();
    world.now = world.policy.next_deadline().unwrap() + 1;
    for spawn in leaving {
        let event = world.death(spawn, Exit::Code(0));
        world.say(event);
    }
    world.advance(0);
    assert_eq!(world.policy.counts.get(Count::Killed), 0, "{:?}", world.log);
}
