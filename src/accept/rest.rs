//! A sentinel that rests: where clients come thick and fast, somebody is always at work when
//! one comes, and an alarm says nothing.

use super::choose::MASTER;
use super::door::Door;
use super::handover::HandOver;
use super::mode::Mode;
use super::schedule::Schedule;
use super::words::Tally;

/// After a false alarm the sentinel rests, ms. At each alarm the master wakes up
/// twice, so this bounds what false ones cost; it also is by how much the first
/// of several alarms may come late.
const REST: u64 = 20;
/// It goes on resting while so many clients are accepted in that time: 1,000 a second.
/// Then an alarm follows on the other, and waking up for each was 1 % of the CPU.
const RUSH: u64 = 20;
/// Meanwhile this often whether anybody accepts at all, ms: if all that stand armed are
/// blocked, that is no time to rest.
const BREATH: u64 = 5;

#[derive(Clone, Copy)]
pub(super) struct Rest {
    until: u64,
    next: u64,
    /// By all workers, at the last breath.
    accepted: u64,
}

impl Schedule {
    /// It was a false alarm, or it is over. Where clients come thick and fast the next
    /// one is near, for somebody is always at work when one comes: then rather look from
    /// time to time than be woken. None: the sentinel watches again.
    pub(super) fn rest(&self, now: u64) -> Option<u64> {
        let accepted = self.pool.words.total(Tally::Accepted);
        if let Some(rest) = self.watch.rest.get().filter(|rest| now < rest.until) {
            return Some(self.breathe(now, rest.until, accepted));
        }
        self.watch.rest.set(None);
        let before = self.watch.accepted.replace(Some(accepted));
        if before.is_none_or(|before| accepted.wrapping_sub(before) >= RUSH) {
            return Some(self.breathe(now, now + REST, accepted));
        }
        self.watch.accepted.set(None);
        self.to_the_end();
        None
    }

    fn breathe(&self, now: u64, until: u64, accepted: u64) -> u64 {
        // Where each worker has a queue of its own, others accept whoever is blocked.
        let mut doors = self.pool.doors();
        let next = match doors.all(|door| self.pool.mode(door.listener).is_own()) {
            true => until,
            false => until.min(now + BREATH),
        };
        self.watch.rest.set(Some(Rest {
            until,
            next,
            accepted,
        }));
        next - now
    }

    /// For how long it goes on resting without a look at the doors. None: the time is over,
    /// nobody accepts or could, or the master has a reason to look sooner.
    pub(super) fn rest_on(&self, now: u64) -> Option<u64> {
        let rest = self.watch.rest.get()?;
        let accepted = self.pool.words.total(Tally::Accepted);
        let goes_on = (rest.next..rest.until).contains(&now)
            && accepted != rest.accepted
            && !self.queues().any(|door| self.all_late(door));
        goes_on.then(|| self.breathe(now, rest.until, accepted))
    }

    /// Behind all that were armed since the last alarm.
    fn to_the_end(&self) {
        self.queues().for_each(|door| self.move_sentinel(door));
    }

    fn queues(&self) -> impl Iterator<Item = Door> {
        let shared = self.pool.doors().filter(|door| !door.is_own());
        shared.filter(|door| self.pool.mode(door.listener).is_queue())
    }

    /// All that have a token are late: nobody would be woken, and somebody could be.
    pub(super) fn all_late(&self, door: Door) -> bool {
        let seen = self.pool.survey(door, MASTER);
        let free = seen.best.is_some() && !seen.best_is_late;
        self.pool.mode(door.listener) == Mode::Token && seen.armed == 0 && seen.stuck > 0 && free
    }
}
