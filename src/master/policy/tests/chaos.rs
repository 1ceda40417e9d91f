//! Any history of moves: whatever children and the controller do, it ends well.

use super::world::{World, settings};
use super::*;
use proptest::prelude::*;

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
