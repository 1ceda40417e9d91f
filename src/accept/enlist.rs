//! Before a fork: the doors that the new worker has to inherit.

use super::door::Door;
use super::handover::HandOver;
use super::lanes::{Entry, Stage};
use super::pool::GROUP;
use super::schedule::Schedule;
use super::spread;
use crate::error::Result;
use std::rc::Rc;

impl Schedule {
    /// A worker is about to be forked: make what it has to inherit.
    pub(crate) fn enlist(&self, slot: usize, spawn: u64) {
        self.pool.words.set_group(slot, self.group_for(slot));
        self.members.borrow_mut()[slot] = Some(spawn);
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

    fn group_for(&self, slot: usize) -> usize {
        let mut counts = vec![0; self.pool.words.groups()];
        for (other, member) in self.members.borrow().iter().enumerate() {
            if other != slot && member.is_some() {
                counts[self.pool.words.group(other)] += 1;
            }
        }
        let group = spread::group(&counts).unwrap_or(0);
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

    pub(super) fn open_group(&self, group: usize) -> Result<()> {
        for (listener, lane) in self.inet_lanes() {
            let door = Door::shared(listener, group);
            self.pool.set_fd(door, lane.make(door)?);
            let serves = lane.stage() == Stage::Serving;
            if serves && !self.passive.get() && lane.open(door)? {
                let _ = self.pool.watch(door);
                self.select(listener);
            }
        }
        Ok(())
    }
}
