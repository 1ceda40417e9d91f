//! Sockets and their groups over an upgrade: two binaries have the same sockets, and one
//! of them at a time chooses in the groups. L2

use super::door::Door;
use super::handover::HandOver;
use super::schedule::Schedule;
use super::tally::Tally;
use super::words::{CARRIED, Told};
use crate::bpf::away;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::*;

impl Schedule {
    /// The binary before this one chooses; until [`Schedule::take_over`].
    pub(crate) fn stand_by(&self) {
        self.passive.set(true);
    }

    /// Another binary has the groups.
    pub(crate) fn stands_by(&self) -> bool {
        self.passive.get()
    }

    /// The sockets of a listener's group that this binary has inherited, by code, in the
    /// order in which they began to listen.
    pub(crate) fn adopt(&self, listener: usize, doors: Vec<(u64, OwnedFd)>) {
        for (code, fd) in doors {
            let named = Door::of_code(code);
            let door = Door { listener, ..named };
            if let Some(lane) = self.lanes.get(listener).filter(|_| self.knows(door)) {
                let raw = lane.adopt(door, fd);
                self.pool.set_fd(door, raw);
            } else {
                ::log::warn!(
                    "listener {listener}: fewer slots than before: one of its sockets is closed, \
                     with what waits there"
                );
            }
        }
    }

    fn knows(&self, door: Door) -> bool {
        match door.kind {
            super::door::Kind::Shared { group } => (1..self.pool.words.groups()).contains(&group),
            super::door::Kind::Own { slot } => slot < self.pool.slots(),
        }
    }

    /// From now on this binary chooses, and sees to whatever waits anywhere.
    pub(crate) fn take_over(&self) {
        self.passive.set(false);
        self.skip_drops();
        self.open_groups();
        self.observe_opened();
    }

    /// The other binary chooses from now on. Our workers still accept what comes to them.
    pub(crate) fn let_go(&self) {
        self.count_drops(crate::sys::now_ms());
        self.passive.set(true);
        self.pool.words.told(Told::Handed).store(1, Relaxed);
        if let Ok(steer) = &*self.steer.borrow() {
            self.lanes
                .all()
                .iter()
                .for_each(|(listener, lane)| lane.vacate(steer, *listener));
        }
        self.held.forget_all();
    }

    /// It failed: all is as it was. Once more when the other binary is gone, which may have
    /// taken over in between, and whose program may have the sockets until then.
    pub(crate) fn take_back(&self) {
        self.passive.set(false);
        self.pool.words.told(Told::Handed).store(0, Relaxed);
        for (listener, lane) in self.lanes.serving() {
            lane.forget_program();
            for slot in self.pool.words.open_slots() {
                self.pool.words.row(slot).come_back(away::HUNG);
            }
            self.select(listener);
        }
    }

    /// What the other binary has to inherit of a listener's group.
    pub(crate) fn opened(&self, listener: usize) -> Vec<(u64, RawFd)> {
        let lane = self.lanes.get(listener);
        let doors = lane.map(|lane| lane.opened()).unwrap_or_default();
        doors
            .into_iter()
            .map(|(door, fd)| (door.code(), fd))
            .collect()
    }

    /// What was counted, in earlier binaries too: in the order of [`CARRIED`].
    pub(crate) fn carried(&self) -> [u64; CARRIED.len()] {
        let words = &self.pool.words;
        let told = |what: Told| words.told(what).load(Relaxed);
        let own = [
            words.total(Tally::Accepted),
            words.total(Tally::Moves),
            told(Told::Passed),
            told(Told::Repassed),
            told(Told::Rescues),
            words.total(Tally::Empty),
            words.total(Tally::Errors) + told(Told::Errors),
            told(Told::Switches),
            words.total(Tally::Late),
            told(Told::Drops),
        ];
        let inherited = words.inherited();
        std::array::from_fn(|at| own[at].wrapping_add(inherited[at].load(Relaxed)))
    }

    /// The binary before this one has counted so much.
    pub(crate) fn inherit(&self, counted: [u64; CARRIED.len()]) {
        for (word, value) in self.pool.words.inherited().iter().zip(counted) {
            word.store(value, Relaxed);
        }
    }

    /// The base of a listener, as a descriptor to hand over.
    pub(crate) fn base_fd(&self, listener: usize) -> Option<RawFd> {
        self.pool
            .fd(Door::shared(listener, 0))
            .map(|fd| fd.as_raw_fd())
    }
}
