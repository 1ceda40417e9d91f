//! Callbacks that do anything to anybody, stale handles included. Whatever they do:
//! each client and watch that began ends exactly once, and so do its fds.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// A source of decisions: the test case's bytes, then zeros.
struct Dice(RefCell<std::vec::IntoIter<u8>>);

impl Dice {
    fn roll(&self) -> u8 {
        self.0.borrow_mut().next().unwrap_or(0)
    }

    fn pick<T: Copy>(&self, from: &[T]) -> Option<T> {
        let at = usize::from(self.roll());
        (!from.is_empty()).then(|| from[at % from.len()])
    }
}

#[derive(Default)]
struct Handles {
    clients: RefCell<Vec<Client>>,
    watches: RefCell<Vec<Watch>>,
    timers: RefCell<Vec<Timer>>,
    /// Peers' ends.
    ours: RefCell<Vec<UnixStream>>,
    released: RefCell<Vec<usize>>,
    /// The same of clients, by id.
    given_away: RefCell<Vec<u64>>,
}

/// One random act, as a service might commit it anywhere.
fn act(world: &World, dice: &Dice, all: &Handles) {
    let client = dice.pick(&all.clients.borrow());
    let watch = dice.pick(&all.watches.borrow());
    let timer = dice.pick(&all.timers.borrow());
    let small = u32::from(dice.roll() & 7);
    // Most of these fail, on stale handles. None may do harm.
    match (dice.roll() % 21, client, watch, timer) {
        (0, Some(c), ..) => drop(world.client_close(c)),
        (1 | 2, Some(c), ..) => drop(world.client_wake(c)),
        (3, Some(c), ..) => drop(world.client_set_interest(c, small)),
        (4 | 5, Some(c), ..) => drop(world.client_set_busy(c, small & 1 == 1)),
        (6, Some(c), ..) => drop(world.client_set_timeout(c, small)),
        (7, _, Some(w), _) => drop(world.watch_close(w)),
        (8, _, Some(w), _) => drop(world.watch_wake(w)),
        (9, _, Some(w), _) => drop(world.watch_set_interest(w, small)),
        (10, _, Some(w), _) => {
            let name = world.watch_data(w).map(|data| data.addr());
            if let Ok(fd) = world.watch_release(w) {
                all.released.borrow_mut().push(name.unwrap());
                // SAFETY: released to us.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        (20, Some(c), ..) => {
            let id = world.client_id(c);
            if let Ok(fd) = world.client_release(c) {
                all.given_away.borrow_mut().push(id.unwrap());
                // SAFETY: released to us.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        (11, _, _, Some(t)) => drop(world.timer_free(t)),
        (12, _, _, Some(t)) => drop(world.timer_set(t, small, small)),
        // Nothing new begins in a shutdown.
        (13..=15, ..) if world.down.get() => {}
        (13, ..) => all.timers.borrow_mut().push(world.timer(small, small, 0)),
        (14, ..) => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut watches = all.watches.borrow_mut();
            let name = 1000 + all.ours.borrow().len();
            watches.push(world.watch(theirs, small, name));
            all.ours.borrow_mut().push(ours);
        }
        (15, ..) => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            world
                .client_add(theirs.into(), Origin::sole(0, 0, Peer::Unix))
                .unwrap();
            all.ours.borrow_mut().push(ours);
        }
        (16, ..) => {
            if let Some(mut ours) = all.ours.borrow().last() {
                let _ = ours.write(b"x");
            }
        }
        (17, ..) => {
            if let Some(ours) = all.ours.borrow().get(usize::from(dice.roll())) {
                let _ = ours.shutdown(std::net::Shutdown::Both);
            }
        }
        (18, ..) if small == 0 => world.start_drain(),
        (19, ..) if small == 0 => world.close_clients(DTM_CLOSE_DEADLINE),
        _ => {}
    }
}

/// An entry that says so needs nothing to be done for it.
fn check_steady(world: &World, entry: &Entry) {
    let steady = entry.steady.get();
    if steady == entry::UNSTEADY {
        return;
    }
    assert_eq!((entry.interest.get(), entry.armed.get()), (steady, steady));
    assert_eq!((entry.pending.get(), entry.reason.get()), (0, 0));
    assert!(!entry.has(entry::FAILED) && !entry.has(entry::TAKEN));
    assert!(!entry.is_client() || !world.draining());
}

fn answer(dice: &Dice) -> i32 {
    match dice.roll() % 12 {
        0 => DTM_DONE,
        1 => -5,
        2 => DTM_TAKEN,
        n => i32::from(n & 7),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_beginning_has_one_end(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let world = world();
        let dice = Rc::new(Dice(RefCell::new(bytes.into_iter())));
        let all = Rc::new(Handles::default());

        let (d, a) = (dice.clone(), all.clone());
        world.on_open(move |world, client| {
            a.clients.borrow_mut().push(client);
            if d.roll() & 1 == 0 {
                act(world, &d, &a);
            }
            answer(&d)
        });
        let (d, a) = (dice.clone(), all.clone());
        world.on_step(move |world, client, _| {
            read(world.client_fd(client).unwrap(), 1);
            act(world, &d, &a);
            act(world, &d, &a);
            answer(&d)
        });
        let (d, a) = (dice.clone(), all.clone());
        world.on_watch(move |world, _, _| {
            act(world, &d, &a);
            answer(&d)
        });
        let (d, a) = (dice.clone(), all.clone());
        world.on_close(move |world, _, _| {
            if d.roll() & 3 == 0 {
                act(world, &d, &a);
            }
        });
        let (d, a) = (dice.clone(), all.clone());
        world.on_timer(move |world, _| act(world, &d, &a));

        let mut told = Vec::new();
        for _ in 0..60 {
            for _ in 0..4 {
                act(&world, &dice, &all);
            }
            told.extend(world.turn());
            (0..).map_while(|index| world.slab.get(index)).for_each(|e| check_steady(&world, e));
        }
        world.shutdown(DTM_CLOSE_SHUTDOWN);
        told.extend(world.turn());

        let mut clients: HashMap<u64, bool> = HashMap::new();
        let mut watches: HashMap<usize, bool> = HashMap::new();
        for event in told {
            match event {
                Open(id) => prop_assert_eq!(clients.insert(id, true), None),
                Step(id, events) => {
                    prop_assert_eq!(clients.get(&id), Some(&true));
                    prop_assert_ne!(events, 0);
                }
                Close(id, reason) => {
                    prop_assert_eq!(clients.insert(id, false), Some(true));
                    prop_assert!((1..=8).contains(&reason));
                }
                WatchStep(name, events) => {
                    prop_assert_ne!(watches.get(&name), Some(&false));
                    prop_assert_ne!(events, 0);
                }
                WatchClose(name, _) => prop_assert_ne!(watches.insert(name, false), Some(false)),
                Fired(_) | Own(..) => {}
            }
        }
        for (id, open) in clients {
            prop_assert!(!open || all.given_away.borrow().contains(&id));
        }
        prop_assert_eq!(world.clients(), 0);
        prop_assert_eq!(world.busy(), 0);
        prop_assert_eq!(world.next_deadline(), None);
        for name in all.released.borrow().iter() {
            prop_assert_eq!(watches.get(name), None);
        }
        for ours in all.ours.borrow().iter() {
            prop_assert!(sees_end(ours));
        }
    }
}
