//! Before a fork: the doors that the new worker has to inherit.

use super::door::Door;
use super::lanes::{Entry, Stage};
use super::pool::GROUP;
use super::schedule::{Member, Schedule};
use super::spread;
use crate::error::Result;
use std::rc::Rc;

impl Schedule {
    /// A worker is about to be forked: make what it has to inherit. Its generation is to have
    /// so many `workers`.
    pub(crate) fn enlist(&self, slot: usize, spawn: u64, generation: u32, workers: u32) {
        self.members.borrow_mut()[slot] = None;
        let group = self.group_for(generation, usize::try_from(workers).unwrap_or(1));
        self.pool.words.set_group(slot, group);
        self.pool.words.row(slot).unsettle();
        self.members.borrow_mut()[slot] = Some(Member { spawn, generation });
        for (listener, lane) in self.inet_lanes() {
            let door = Door::own(listener, slot);
            match lane.make(door) {
                Ok(fd) => self.pool.set_fd(door, fd),
                Err(error) => ::log::warn!("listener {listener}: {error}: no socket of its own"),
            }
        }
    }

    /// Those that can be a group of sockets.
    fn inet_lanes(&self) -> Vec<(usize, Rc<Entry>)> {
        let mut lanes = self.lanes.wanted();
        lanes.retain(|(_, lane)| lane.inet);
        lanes
    }

    /// Only its own generation counts: an older one has left the queues when this one comes,
    /// and what waits in them stays where somebody serves it.
    fn group_for(&self, generation: u32, workers: usize) -> usize {
        let mut counts = vec![0; self.pool.words.groups()];
        for (slot, member) in self.members.borrow().iter().enumerate() {
            if member.is_some_and(|member| member.generation == generation) {
                counts[self.pool.words.group(slot)] += 1;
            }
        }
        let group = spread::group(&counts, workers);
        if group == 0 || self.inet_lanes().is_empty() {
            return 0;
        }
        match self.open_group(group) {
            Ok(()) => group,
            Err(error) => {
                ::log::warn!("more than {GROUP} workers wait at one socket: {error}");
                0
            }
        }
    }

    /// Those that have workers.
    pub(super) fn open_groups(&self) {
        let used = |group| {
            let members = self.members.borrow();
            let mut slots = (0..members.len()).filter(|slot| members[*slot].is_some());
            slots.any(|slot| self.pool.words.group(slot) == group)
        };
        for group in (1..self.pool.words.groups()).filter(|group| used(*group)) {
            if let Err(error) = self.open_group(group) {
                ::log::warn!("{error}");
            }
        }
    }

    fn open_group(&self, group: usize) -> Result<()> {
        for (listener, lane) in self.inet_lanes() {
            let door = Door::shared(listener, group);
            self.pool.set_fd(door, lane.make(door)?);
            let serves = lane.stage() == Stage::Serving;
            if serves && !self.passive.get() && lane.open(door)? {
                self.observe_door(door);
                self.select(listener);
            }
        }
        self.set_limits(); // the tokens of those who come
        Ok(())
    }
}
