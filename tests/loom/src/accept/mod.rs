//! The hand-over of tokens.

#[path = "../../../../src/accept/choose.rs"]
mod choose;
#[path = "../../../../src/accept/door.rs"]
mod door;
#[path = "../../../../src/accept/handover.rs"]
mod handover;
#[path = "../../../../src/accept/mode.rs"]
mod mode;
mod world;

use crate::explore;
use crate::row::away;
use handover::HandOver;
use loom::thread;
use std::sync::Arc;
use world::{BASE, World, dies_at};

/// Two clients come; workers 0 and 1 do this at the same time. Returns when both are done.
fn at_once(world: World, first: impl FnOnce(&World), second: fn(&World)) -> Arc<World> {
    let world = Arc::new(world);
    world.connect();
    world.connect();
    let other = Arc::clone(&world);
    let other = thread::spawn(move || second(&other));
    first(&world);
    other.join().unwrap();
    world
}

/// Clients are accepted by two workers at once: no token is lost or doubled.
fn two_accept(workers: usize, k: usize) {
    explore(
        &format!("tokens: two accept, {workers} workers, k {k}"),
        move || {
            let world = World::new(workers, k);
            at_once(world, |world| world.serve(0), |world| world.serve(1)).check();
        },
    );
}

/// One accepts while the one that it would arm goes away, for whatever reason, and a client
/// comes: somebody is armed, nobody who is away, and the client is not left alone.
fn goes_away(comes_back: bool) {
    let name = if comes_back { ", and comes back" } else { "" };
    explore(
        &format!("tokens: the next one goes away{name}"),
        move || {
            let world = Arc::new(World::new(3, 1));
            let other = Arc::clone(&world);
            let goer = thread::spawn(move || {
                other.rows[1].go_away(away::FULL);
                other.hand_over(1, BASE);
                if comes_back {
                    other.rows[1].come_back(away::FULL);
                    other.top_up(BASE, 1);
                }
            });
            world.connect();
            world.serve(0);
            world.connect();
            goer.join().unwrap();
            world.check();
        },
    );
}

/// The holder itself goes away while a client comes: the wake-up that it may have
/// swallowed is made good.
fn the_holder_goes_away() {
    explore("tokens: the holder goes away while a client comes", || {
        let world = Arc::new(World::new(3, 1));
        let other = Arc::clone(&world);
        let goer = thread::spawn(move || {
            other.rows[0].go_away(away::LEAVING);
            other.hand_over(0, BASE);
        });
        world.connect();
        goer.join().unwrap();
        world.check();
    });
}

/// A worker that accepted is killed after `step` steps of passing its token on; meanwhile
/// another one passes on its own. Then the master repairs.
fn killed(step: usize) {
    explore(&format!("tokens: killed after {step} steps"), move || {
        let dies = |world: &World| {
            if world.accept(0) {
                dies_at(step, || {
                    world.pass_on(0, BASE, 0);
                });
            }
            world.bury(0);
        };
        let world = at_once(World::new(4, 2), dies, |world| world.serve(1));
        // The master looks at every death once more, when it reaps it.
        world.repair(BASE);
        world.check();
    });
}

/// The same of one that goes away.
fn killed_while_going_away(step: usize) {
    explore(
        &format!("tokens: killed while it goes away, after {step} steps"),
        move || {
            let world = Arc::new(World::new(3, 1));
            let other = Arc::clone(&world);
            let goer = thread::spawn(move || {
                dies_at(step, || {
                    other.rows[0].go_away(away::LEAVING);
                    other.hand_over(0, BASE);
                });
                other.bury(0);
            });
            world.connect();
            goer.join().unwrap();
            world.check();
        },
    );
}

/// The number of tokens falls while two accept.
fn fewer_tokens() {
    explore("tokens: one less while two accept", || {
        let fewer = |world: &World| {
            world.set_limit(1);
            world.serve(0);
        };
        at_once(World::new(4, 2), fewer, |world| world.serve(1)).check();
    });
}

/// One who has a token is blocked, and goes on while another accepts: that one adds a token,
/// or not, and there are as many again soon.
fn the_other_is_late() {
    explore("tokens: the other holder is late", || {
        let world = World::new(4, 2);
        world.set_late(1 << 1);
        let goes_on = |world: &World| {
            world.set_late(0);
            world.serve(1);
        };
        at_once(world, |world| world.serve(0), goes_on).check();
    });
}

/// One keeps its token, and hands it on after all, when its pass was a long one; meanwhile
/// another passes its own on, or is given that one.
fn kept_for_a_while() {
    explore("tokens: one keeps its token for a while", || {
        let keeps = |world: &World| {
            if world.accept(0) {
                world.pass_on(0, BASE, 2);
                if world.holds(0, BASE.listener) {
                    world.pass_on(0, BASE, 0);
                }
            }
        };
        at_once(World::new(3, 2), keeps, |world| world.serve(1)).check();
    });
}

pub(crate) fn models() {
    two_accept(3, 2);
    two_accept(4, 2);
    goes_away(false);
    goes_away(true);
    the_holder_goes_away();
    fewer_tokens();
    the_other_is_late();
    kept_for_a_while();
    (0..=8).for_each(killed);
    (0..=10).for_each(killed_while_going_away);
}
