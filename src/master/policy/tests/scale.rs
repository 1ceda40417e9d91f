//! The number of workers, as asked for and by demand.

use super::recycle::accepting;
use super::world::{World, running, settings};
use super::*;

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

/// SIGTTIN and SIGTTOU, both there when the master looks.
#[test]
fn one_more_and_one_less_is_as_many() {
    let mut world = running(2);
    world.ask(1, Command::ScaleBy(1));
    world.ask(2, Command::ScaleBy(-1));
    world.cooperate();
    assert_eq!(world.workers().len(), 2);
    world.ask(3, Command::ScaleBy(-2));
    assert_eq!(world.answers(3), [-libc::EINVAL]);
    assert_eq!(world.workers().len(), 2);
}

#[test]
fn scaling_follows_the_demand() {
    let mut settings = settings(2, Vec::new());
    settings.scale = Some(crate::config::Scale {
        min: 2,
        max: 6,
        spare: 1,
    });
    let mut world = World::new(settings);
    world.cooperate();
    for _ in 0..20 {
        world.send(Event::Demand(Demand {
            idle: 0,
            waiting: true,
        }));
        world.cooperate();
    }
    assert_eq!(accepting(&world), 6);
    for _ in 0..100 {
        world.send(Event::Demand(Demand {
            idle: 6,
            waiting: false,
        }));
        world.cooperate();
    }
    assert_eq!((accepting(&world), world.workers().len()), (2, 2));
}
