//! Before a fork: the doors that the new worker has to inherit.

use super::door::Door;
use super::handover::HandOver;
use super::pool::GROUP;
use super::schedule::Schedule;
use super::spread;
use crate::error::Result;

impl Schedule {
    /// A worker is about to be forked: make what it has to inherit.
    pub(crate) fn enlist(&self, slot: usize, spawn: u64) {
        self.pool.words.set_group(slot, self.group_for(slot));
        self.members.borrow_mut()[slot] = Some(spawn);
        for (listener, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.inet) {
            let door = Door::own(listener, slot);
            match lane.make(door) {
                Ok(fd) => self.pool.set_fd(door, fd),
                Err(error) => ::log::warn!("listener {listener}: {error}: no socket of its own"),
            }
        }
    }

    fn group_for(&self, slot: usize) -> usize {
        let mut counts = vec![0; self.pool.words.groups()];
        for (other, member) in self.members.borrow().iter().enumerate() {
            if other != slot && member.is_some() {
                counts[self.pool.words.group(other)] += 1;
            }
        }
        let group = spread::group(&counts).unwrap_or(0);
        if group == 0 || self.lanes.iter().all(|lane| !lane.inet) {
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
        for (listener, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.inet) {
            let door = Door::shared(listener, group);
            self.pool.set_fd(door, lane.make(door)?);
            if !self.passive.get() && lane.open(door)? {
                let _ = self.pool.watch(door);
                self.select(listener);
            }
        }
        Ok(())
    }
}
