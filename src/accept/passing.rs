//! Clients that the master passes on. It keeps each until the worker says that it
//! has taken it: a worker that is killed before loses none. Nothing here waits.

use super::door::Door;
use super::handover::HandOver;
use super::schedule::Schedule;
use super::spread::{Taker, choose};
use super::words::Told;
use crate::bpf::away;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

/// A worker that has been busy for longer is overdue.
const OVERDUE_NS: u64 = 2_000_000;

/// A client between two processes.
pub(crate) struct Passed {
    pub(crate) client: OwnedFd,
    pub(crate) listener: u32,
    /// Who has it in his channel; None: nobody could take it yet.
    slot: Option<usize>,
}

#[derive(Default)]
pub(crate) struct Passing {
    last_id: u64,
    last_slot: usize,
    rotate: bool,
    on_the_way: BTreeMap<u64, Passed>,
    /// Declined or left behind, and nobody else there.
    homeless: VecDeque<u64>,
    unanswered: Vec<u32>,
}

impl Passing {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            unanswered: vec![0; slots],
            ..Self::default()
        }
    }

    pub(crate) fn set_rotate(&mut self, rotate: bool) {
        self.rotate = rotate;
    }

    /// A client that the master has accepted.
    pub(crate) fn add(&mut self, client: OwnedFd, listener: u32) -> u64 {
        self.last_id += 1;
        let slot = None;
        let passed = Passed {
            client,
            listener,
            slot,
        };
        self.on_the_way.insert(self.last_id, passed);
        self.last_id
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Passed> {
        self.on_the_way.get(&id)
    }

    /// The worker for the next client, but for `not`; one that is overdue only if
    /// that is `allowed`.
    pub(crate) fn taker(&self, schedule: &Schedule, not: &[usize], allowed: bool) -> Option<usize> {
        let now = crate::sys::now_ns();
        let taker = |slot: usize| Taker {
            slot,
            load: schedule.load(slot),
            unanswered: self.unanswered[slot],
            overdue: schedule.is_overdue(slot, now),
        };
        let willing = schedule.willing().filter(|slot| !not.contains(slot));
        let able = willing.map(taker).filter(|taker| allowed || !taker.overdue);
        choose(able, self.last_slot, self.rotate)
    }

    /// It is in this worker's channel.
    pub(crate) fn sent(&mut self, id: u64, slot: usize) {
        if let Some(passed) = self.on_the_way.get_mut(&id) {
            passed.slot = Some(slot);
            self.unanswered[slot] += 1;
            self.last_slot = slot;
        }
    }

    /// Nobody could take it: it waits here.
    pub(crate) fn keep(&mut self, id: u64) {
        self.homeless.push_back(id);
    }

    /// The oldest that waits here.
    pub(crate) fn next_homeless(&mut self) -> Option<u64> {
        self.homeless.pop_front()
    }

    /// The oldest that waits here, and its listener: for somebody else.
    pub(crate) fn give_up_next(&mut self) -> Option<(u32, OwnedFd)> {
        let id = self.homeless.pop_front()?;
        let passed = self.on_the_way.remove(&id)?;
        Some((passed.listener, passed.client))
    }

    pub(crate) fn has_homeless(&self) -> bool {
        !self.homeless.is_empty()
    }

    /// The worker of this slot has it. An answer about another's client is none.
    pub(crate) fn taken(&mut self, id: u64, slot: usize) {
        if self.release(id, slot) {
            self.on_the_way.remove(&id);
        }
    }

    /// The worker of this slot does not want it. True: pass it to another.
    pub(crate) fn declined(&mut self, id: u64, slot: usize) -> bool {
        self.release(id, slot)
    }

    fn release(&mut self, id: u64, slot: usize) -> bool {
        let passed = self.on_the_way.get_mut(&id);
        let Some(passed) = passed.filter(|passed| passed.slot == Some(slot)) else {
            return false;
        };
        passed.slot = None;
        self.unanswered[slot] = self.unanswered[slot].saturating_sub(1);
        true
    }

    /// The worker of this slot is dead: what it had not taken.
    pub(crate) fn left_behind(&mut self, slot: usize) -> Vec<u64> {
        self.unanswered[slot] = 0;
        let mut left = Vec::new();
        for (id, passed) in &mut self.on_the_way {
            if passed.slot == Some(slot) {
                passed.slot = None;
                left.push(*id);
            }
        }
        left
    }
}

impl Schedule {
    /// Open workers that take clients.
    pub(crate) fn willing(&self) -> impl Iterator<Item = usize> {
        let open = self.pool.words.open_slots();
        open.filter(|slot| self.pool.takes_clients(*slot))
    }

    /// Open workers that new connections may be sent to until this is asked again: what
    /// keeps them away is nothing that passes by itself, without a word to the master.
    pub(super) fn selectable(&self) -> impl Iterator<Item = usize> {
        let words = &self.pool.words;
        let passing = away::DOUBTED | away::FULL;
        let open = words.open_slots();
        open.filter(move |slot| words.row(*slot).away() & !passing == 0)
    }

    /// Has it been busy for so long that others are better?
    fn is_overdue(&self, slot: usize, now_ns: u64) -> bool {
        let since = self.pool.words.row(slot).beat().load(Relaxed);
        since.saturating_add(OVERDUE_NS) < now_ns
    }

    /// Is this listener served by the master?
    pub(crate) fn passes(&self, listener: usize) -> bool {
        let serves = self.lanes.serving_at(listener).is_some();
        serves && self.pool.mode(listener) == super::mode::Mode::Pass
    }

    /// Is any?
    pub(crate) fn passes_any(&self) -> bool {
        (0..self.pool.listeners()).any(|listener| self.passes(listener))
    }

    /// The master has taken a client from this door.
    pub(crate) fn was_taken(&self, door: Door) {
        self.pool.words.tell_more(Told::Passed);
        self.expect_drops(crate::sys::now_ms());
        if let super::door::Kind::Own { slot } = door.kind {
            self.pool.words.row(slot).took(1);
        }
    }

    pub(crate) fn count_switch(&self) {
        self.pool.words.tell_more(Told::Switches);
    }

    pub(crate) fn was_passed_again(&self) {
        self.pool.words.tell_more(Told::Repassed);
    }

    /// The master could not accept.
    pub(crate) fn failed(&self) {
        self.pool.words.tell_more(Told::Errors);
    }

    pub(crate) fn fd(&self, door: Door) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.pool.fd(door)
    }

    pub(crate) fn base(&self, listener: usize) -> Door {
        Door::shared(listener, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_client_is_kept_until_it_is_taken() {
        let mut passing = Passing::new(3);
        let id = passing.add(client(), 4);
        passing.sent(id, 1);
        passing.taken(id, 2);
        assert!(passing.get(id).is_some(), "another's word counts nothing");
        assert!(!passing.declined(id, 0));
        passing.taken(id, 1);
        assert!(passing.get(id).is_none());
        assert!(!passing.declined(id, 1), "an answer counts once");
    }

    #[test]
    fn what_the_dead_leave_behind_is_passed_again() {
        let mut passing = Passing::new(3);
        let ids: Vec<u64> = (0..3).map(|_| passing.add(client(), 0)).collect();
        passing.sent(ids[0], 1);
        passing.sent(ids[1], 2);
        passing.sent(ids[2], 1);
        passing.taken(ids[0], 1);
        assert_eq!(passing.left_behind(1), [ids[2]]);
        assert_eq!(passing.left_behind(1), Vec::<u64>::new());
        assert_eq!(passing.unanswered, [0, 0, 1]);
        passing.keep(ids[2]);
        assert!(passing.has_homeless());
        assert_eq!(passing.next_homeless(), Some(ids[2]));
        assert_eq!(passing.next_homeless(), None);
    }
}
