//! The policy against a simulated world: children that start, fail, hang, die
//! and leave in any order, and a controller that asks for anything.

use super::*;
use proptest::prelude::*;

mod reload;
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

#[test]
fn a_wrong_config_forks_nothing() {
    let mut world = running(2);
    let forks = world.forks.len();
    world.next_load = Err((crate::ffi::DTM_ECONFIG, "line 3".into()));
    world.ask(1, Command::Reload);
    assert_eq!(world.answers(1), [crate::ffi::DTM_ECONFIG]);
    assert_eq!(world.forks.len(), forks);
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

#[test]
fn scale_adds_and_drains() {
    let mut world = running(2);
    world.ask(1, Command::Scale(5));
    world.cooperate();
    assert_eq!(world.workers().len(), 5);
    world.ask(2, Command::Scale(1));
    world.cooperate();
    assert_eq!(world.workers().len(), 1);
    world.ask(3, Command::Scale(100));
    assert_eq!(world.answers(3), [-libc::ENOSPC]);
    assert_eq!(world.workers().len(), 1);
}

#[derive(Debug, Clone)]
enum Move {
    Progress(usize),
    Die(usize, i32),
    Ask(u8),
    Ban(bool),
    Time(Ms),
    ForkFails(bool),
    Lag(Ms),
    BadConfig(bool),
    Used(u64),
    Demand(u32, bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..64usize).prop_map(Move::Progress),
        3 => (0..64usize, 0..3i32).prop_map(|(n, c)| Move::Die(n, c)),
        3 => (0..9u8).prop_map(Move::Ask),
        1 => any::<bool>().prop_map(Move::Ban),
        2 => (0..70_000u64).prop_map(Move::Time),
        1 => any::<bool>().prop_map(Move::ForkFails),
        1 => any::<bool>().prop_map(Move::BadConfig),
        1 => (0..40_000u64).prop_map(Move::Lag),
        2 => (0..300u64).prop_map(Move::Used),
        1 => (0..4u32, any::<bool>()).prop_map(|(n, w)| Move::Demand(n, w)),
    ];
    prop::collection::vec(one, 0..120)
}

fn make(world: &mut World, step: Move, id: u64) -> bool {
    let nth = |w: &World, n: usize| w.alive.keys().nth(n % w.alive.len().max(1)).copied();
    match step {
        Move::Progress(n) => {
            let Some(spawn) = nth(world, n) else {
                return false;
            };
            let (slot, _, _, told) = world.alive[&spawn];
            match world.policy.slots()[slot].child.as_ref().map(|c| c.phase) {
                _ if told => world.die(spawn, Exit::Code(0)),
                Some(Phase::Starting) => world.send(Event::Ready { slot, spawn }),
                _ => world.send(Event::Updated { slot, spawn }),
            }
        }
        Move::Die(n, code) => {
            if let Some(spawn) = nth(world, n) {
                world.die(spawn, Exit::Code(code));
            }
        }
        Move::Ask(n) => {
            let commands = [
                Command::Recycle(u64::from(n)),
                Command::Reset,
                Command::LoadConfig,
                Command::Reload,
                Command::Reload,
                Command::Start,
                Command::Stop,
                Command::Scale(2),
                Command::Scale(4),
            ];
            world.ask(id, commands[usize::from(n) % commands.len()]);
            return true;
        }
        Move::Ban(on) => world.send(Event::Ban(on)),
        Move::Time(ms) => world.advance(ms),
        Move::ForkFails(on) => world.fork_fails = on,
        Move::Lag(ms) => world.lag = ms,
        Move::Used(clients) => {
            let slots = world.alive.iter().map(|(&spawn, &(slot, ..))| Usage {
                slot,
                spawn,
                clients,
                ..Usage::default()
            });
            let usages = slots.collect();
            world.send(Event::Looked(usages));
        }
        Move::Demand(idle, waiting) => world.send(Event::Demand(Demand { idle, waiting })),
        Move::BadConfig(on) => {
            let good = settings(world.policy.settings.workers, Vec::new());
            world.next_load = if on {
                Err((crate::ffi::DTM_ECONFIG, String::new()))
            } else {
                Ok(good)
            };
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens, the rules inside World hold (no fork under a ban, one
    /// controller, no slot used twice), and once all goes well again the wanted
    /// processes run, every question has exactly one answer, and the end is complete.
    #[test]
    fn any_history_ends_well(history in moves()) {
        let mut settings_of_all = settings(3, Vec::new());
        settings_of_all.recycle.clients = Some(100);
        settings_of_all.scale = Some(crate::config::Scale { min: 2, max: 5, spare: 1 });
        let mut world = World::new(settings_of_all);
        world.cooperate();
        let mut asked = Vec::new();
        for (id, step) in (100u64..).zip(history) {
            if make(&mut world, step, id) {
                asked.push(id);
            }
            let open: Vec<u64> = world.open.iter().copied().collect();
            prop_assert!(open.iter().all(|s| world.alive.contains_key(s)));
        }
        world.fork_fails = false;
        world.lag = 0;
        let workers = world.policy.settings.workers;
        world.next_load = Ok(settings(workers, Vec::new()));
        world.send(Event::Ban(false));
        world.cooperate();
        world.ask(1, Command::Start);
        world.cooperate();
        prop_assert_eq!(world.workers().len(), usize::try_from(world.policy.settings.workers).unwrap());
        prop_assert!(world.workers().iter().all(|s| world.open.contains(s)));
        for id in asked {
            prop_assert_eq!(world.answers(id).len(), 1, "question {}", id);
        }
        world.ask(2, Command::Shutdown);
        world.cooperate();
        prop_assert_eq!(world.finished, Some(false));
    }
}
