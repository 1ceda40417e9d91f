//! Clients that the master passes on. It keeps each until the worker says that it
//! has taken it: a worker that is killed before loses none, and from one that is stopped or
//! blocked the master takes it back. Nothing here waits.

use super::schedule::Schedule;
use super::spread::{Taker, choose};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

/// A worker that has not taken a client for so long loses it to another one that is free, ms;
/// twice as long each time that happens to a client: all may be slow.
const PATIENCE: u64 = 10;

/// A client between two processes.
pub(crate) struct Passed {
    pub(crate) client: OwnedFd,
    pub(crate) listener: u32,
    /// How often it was taken back.
    recalled: u32,
}

impl Passed {
    /// A worker from which it was taken back may still have its socket.
    pub(crate) fn is_stray(&self) -> bool {
        self.recalled > 0
    }
}

/// What a worker has in its channel.
struct Owed {
    /// Of this passing on: no two have the same, and later ones have higher numbers.
    number: u64,
    /// None: taken back, but the worker has not seen it yet.
    client: Option<u64>,
    /// From when on it may be taken back, in ms. None: it was, or the worker has just taken it.
    until: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Passing {
    last_id: u64,
    last_number: u64,
    last_slot: usize,
    rotate: bool,
    on_the_way: BTreeMap<u64, Passed>,
    /// Declined or left behind, and nobody else there.
    homeless: VecDeque<u64>,
    /// By slot: at most one each. More would have to wait for a worker that is busy or
    /// hangs. Node's cluster has the same rule.
    owed: Vec<Option<Owed>>,
}

impl Passing {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            owed: std::iter::repeat_with(|| None).take(slots).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn set_rotate(&mut self, rotate: bool) {
        self.rotate = rotate;
    }

    /// A client that the master has accepted.
    pub(crate) fn add(&mut self, client: OwnedFd, listener: u32) -> u64 {
        self.last_id += 1;
        let passed = Passed {
            client,
            listener,
            recalled: 0,
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
            owes: self.owed[slot].is_some(),
            overdue: schedule.is_overdue(slot, now),
        };
        let willing = schedule.willing().filter(|slot| !not.contains(slot));
        let able = willing.map(taker).filter(|taker| allowed || !taker.overdue);
        choose(able, self.last_slot, self.rotate)
    }

    /// The number of the next passing on.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// It is in this worker's channel, with that number.
    pub(crate) fn sent(&mut self, id: u64, slot: usize, now: u64) {
        self.last_number += 1;
        self.last_slot = slot;
        let recalled = self.on_the_way.get(&id).map_or(0, |passed| passed.recalled);
        self.owed[slot] = Some(Owed {
            number: self.last_number,
            client: Some(id),
            until: Some(now + (PATIENCE << recalled.min(10))),
        });
    }

    /// Nobody could take it: it waits here.
    pub(crate) fn keep(&mut self, id: u64) {
        self.homeless.push_back(id);
    }

    /// The oldest that waits here.
    pub(crate) fn next_homeless(&mut self) -> Option<u64> {
        self.homeless.pop_front()
    }

    /// The oldest that waits here, and goes on to.
    pub(crate) fn first_homeless(&self) -> Option<(u64, &Passed)> {
        let id = *self.homeless.front()?;
        Some((id, self.on_the_way.get(&id)?))
    }

    /// It waits here no more: somebody else has it.
    pub(crate) fn give_up(&mut self, id: u64) {
        self.homeless.retain(|waiting| *waiting != id);
        self.on_the_way.remove(&id);
    }

    pub(crate) fn has_homeless(&self) -> bool {
        !self.homeless.is_empty()
    }

    /// The worker of this slot has it.
    pub(crate) fn taken(&mut self, number: u64, slot: usize) {
        if let Some(id) = self.answered(number, slot) {
            self.on_the_way.remove(&id);
        }
    }

    /// The worker of this slot does not want it, or has seen that it was taken back.
    /// The client to be passed to another, if any.
    pub(crate) fn declined(&mut self, number: u64, slot: usize) -> Option<u64> {
        self.answered(number, slot)
    }

    /// An answer to what it does not owe is none.
    fn answered(&mut self, number: u64, slot: usize) -> Option<u64> {
        let owed = self.owed[slot].take_if(|owed| owed.number == number)?;
        owed.client
    }

    /// The worker of this slot is dead: what it had not taken.
    pub(crate) fn left_behind(&mut self, slot: usize) -> Option<u64> {
        self.owed[slot].take()?.client
    }

    /// The worker of this slot is stopped: it will not take what it was sent.
    pub(crate) fn hurry(&mut self, slot: usize) {
        if let Some(owed) = &mut self.owed[slot] {
            owed.until = owed.until.map(|_| 0);
        }
    }

    /// From when on each worker's client may be taken back.
    fn recallable(&self) -> impl Iterator<Item = (usize, u64)> {
        let none = self.on_the_way.is_empty(); // mostly it is so
        let owed = if none { &[] } else { &self.owed[..] };
        let until = |owed: &Option<Owed>| owed.as_ref().and_then(|owed| owed.until);
        let slots = owed.iter().enumerate();
        slots.filter_map(move |(slot, owed)| Some((slot, until(owed)?)))
    }

    /// Who has had his for too long.
    pub(crate) fn next_late(&self, now: u64) -> Option<usize> {
        let mut late = self.recallable().filter(|(_, until)| *until <= now);
        late.next().map(|(slot, _)| slot)
    }

    /// When somebody has, in ms.
    pub(crate) fn late_from(&self) -> Option<u64> {
        self.recallable().map(|(_, until)| until).min()
    }

    /// Take back what the worker of this slot was sent. None: it has just taken it, and its
    /// answer is on the way. `settle` asks for that, see [`Schedule::settle`].
    pub(crate) fn recall(&mut self, slot: usize, settle: impl FnOnce(u64) -> bool) -> Option<u64> {
        let owed = self.owed[slot].as_mut()?;
        owed.until = None;
        if !settle(owed.number) {
            return None;
        }
        let id = owed.client.take()?;
        self.on_the_way.get_mut(&id)?.recalled += 1;
        Some(id)
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
        let number = passing.next_number();
        passing.sent(id, 1, 0);
        passing.taken(number, 2);
        assert!(passing.get(id).is_some(), "another's word counts nothing");
        assert_eq!(passing.declined(number, 0), None);
        passing.taken(number + 1, 1);
        assert!(
            passing.get(id).is_some(),
            "nor does one about something else"
        );
        passing.taken(number, 1);
        assert!(passing.get(id).is_none());
        assert_eq!(passing.declined(number, 1), None, "an answer counts once");
    }

    #[test]
    fn what_the_dead_leave_behind_is_passed_again() {
        let mut passing = Passing::new(3);
        let ids: Vec<u64> = (0..3).map(|_| passing.add(client(), 0)).collect();
        passing.sent(ids[0], 1, 0);
        passing.sent(ids[1], 2, 0);
        passing.taken(1, 1);
        passing.sent(ids[2], 1, 0);
        assert_eq!(passing.left_behind(1), Some(ids[2]));
        assert_eq!(passing.left_behind(1), None);
        assert_eq!(passing.left_behind(2), Some(ids[1]));
        passing.keep(ids[2]);
        passing.keep(ids[1]);
        let first = |passing: &Passing| passing.first_homeless().map(|(id, _)| id);
        assert_eq!(first(&passing), Some(ids[2]));
        assert_eq!(
            first(&passing),
            Some(ids[2]),
            "it stays until it is given up"
        );
        passing.give_up(ids[2]);
        assert!(passing.get(ids[2]).is_none() && passing.has_homeless());
        assert_eq!(passing.next_homeless(), Some(ids[1]));
        assert_eq!(passing.next_homeless(), None);
    }

    /// Whoever settles it first has it; a worker that lost is sent nothing before it says that
    /// it knows.
    #[test]
    fn a_client_that_is_not_taken_is_taken_back() {
        let mut passing = Passing::new(3);
        let id = passing.add(client(), 0);
        passing.sent(id, 1, 100);
        assert_eq!(passing.next_late(100 + PATIENCE - 1), None);
        assert_eq!(passing.late_from(), Some(100 + PATIENCE));
        assert_eq!(passing.next_late(100 + PATIENCE), Some(1));
        assert!(!passing.get(id).unwrap().is_stray());
        let settle = |number| {
            assert_eq!(number, 1);
            true
        };
        assert_eq!(passing.recall(1, settle), Some(id));
        assert!(passing.get(id).unwrap().is_stray());
        assert_eq!(passing.late_from(), None);
        assert!(passing.owed[1].is_some());
        // Whoever gets it next has twice as long.
        passing.sent(id, 2, 200);
        assert_eq!(passing.late_from(), Some(200 + 2 * PATIENCE));
        assert_eq!(passing.declined(1, 1), None, "it is another's by now");
        assert!(passing.owed[1].is_none());
        passing.hurry(2);
        assert_eq!(passing.next_late(200), Some(2));
        assert_eq!(passing.recall(2, |_| false), None, "it had just taken it");
        assert_eq!(passing.next_late(u64::MAX), None);
        passing.taken(2, 2);
        assert!(passing.get(id).is_none());
    }
}
