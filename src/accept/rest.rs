//! A sentinel that rests: where clients come thick and fast, somebody is always at work when
//! one comes, and an alarm says nothing.

use super::choose::MASTER;
use super::door::Door;
use super::handover::HandOver;
use super::mode::Mode;
use super::schedule::Schedule;

/// After a false alarm the sentinel rests, ms. At each alarm the master wakes up
/// twice, so this bounds what false ones cost; it also is by how much the first
/// of several alarms may come late.
const REST: u64 = 20;
/// It rests twice as long where each worker has a queue of its own and none of them needed help
/// for a second, ms: there a blocked worker keeps only those clients waiting that were sent to
/// it before it was known to be late.
const CALM: u64 = 1000;
/// It goes on resting while so many clients are accepted in that time: 1,000 a second.
/// Then an alarm follows on the other, and waking up for each was 1 % of the CPU.
const RUSH: u64 = 20;
/// Meanwhile this often whether anybody accepts at all, ms: if all that stand armed are
/// blocked, that is no time to rest. Twice as long while nobody is late: where workers do
/// not block, one look in the middle is enough; and none after a calm second.
const BREATH: u64 = 5;

#[derive(Clone, Copy)]
pub(super) struct Rest {
    until: u64,
    next: u64,
    /// By all workers, at the last breath.
    accepted: u64,
}

/// Of those that have a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Late {
    Nobody,
    Some,
    /// Nobody would be woken, and somebody could be.
    All,
}

impl Schedule {
    /// It was a false alarm, or it is over. Where clients come thick and fast the next
    /// one is near, for somebody is always at work when one comes: then rather look from
    /// time to time than be woken. None: the sentinel watches again.
    pub(super) fn rest(&self, now: u64) -> Option<u64> {
        let accepted = self.pool.words.accepted_by_open();
        if let Some(rest) = self.watch.rest.get().filter(|rest| now < rest.until) {
            return Some(self.breathe(now, rest.until, accepted, self.lateness()));
        }
        self.watch.rest.set(None);
        let before = self.watch.accepted.replace(Some(accepted));
        if before.is_none_or(|before| accepted.wrapping_sub(before) >= RUSH) {
            return Some(self.breathe(now, now + self.length(), accepted, self.lateness()));
        }
        self.watch.accepted.set(None);
        None
    }

    /// For how long it goes on resting without a look at the doors. None: the time is over,
    /// nobody accepts or could, or the master has a reason to look sooner.
    pub(super) fn rest_on(&self, now: u64) -> Option<u64> {
        let rest = self.watch.rest.get()?;
        let accepted = self.pool.words.accepted_by_open();
        if !(rest.next..rest.until).contains(&now) || accepted == rest.accepted {
            return None;
        }
        let late = self.lateness();
        (late < Late::All).then(|| self.breathe(now, rest.until, accepted, late))
    }

    /// Of a rest that begins.
    fn length(&self) -> u64 {
        match is_calm(self.watch.calm.get(), REST) && self.all_own() {
            true => 2 * REST,
            false => REST,
        }
    }

    /// Does it look from time to time, alarm or not?
    pub(super) fn is_resting(&self) -> bool {
        self.watch.rest.get().is_some()
    }

    fn breathe(&self, now: u64, until: u64, accepted: u64, late: Late) -> u64 {
        let nobody = late == Late::Nobody;
        let calm = if nobody { self.watch.calm.get() } else { 0 };
        self.watch.calm.set(calm.saturating_add(nobody.into()));
        let breath = match calm {
            0 => BREATH,
            calm if is_calm(calm, 2 * BREATH) => REST,
            _ => 2 * BREATH,
        };
        let next = match self.all_own() {
            true => until,
            false => until.min(now + breath),
        };
        self.watch.rest.set(Some(Rest {
            until,
            next,
            accepted,
        }));
        next - now
    }

    /// Each worker has a queue of its own: others accept whoever is blocked.
    fn all_own(&self) -> bool {
        let mut queues = self.pool.shared_doors();
        queues.all(|door| self.pool.mode(door.listener).is_own())
    }

    /// Behind all that were armed since the last alarm.
    pub(super) fn to_the_end(&self) {
        self.queues().for_each(|door| self.move_sentinel(door));
    }

    fn queues(&self) -> impl Iterator<Item = Door> {
        let shared = self.pool.shared_doors();
        shared.filter(|door| self.pool.mode(door.listener).is_queue())
    }

    /// At the queue where it is worst.
    fn lateness(&self) -> Late {
        let late = self.queues().map(|door| self.lateness_at(door));
        late.max().unwrap_or(Late::Nobody)
    }

    fn lateness_at(&self, door: Door) -> Late {
        if self.pool.mode(door.listener) != Mode::Token {
            return Late::Nobody;
        }
        let seen = self.pool.survey(door, MASTER);
        let free = seen.best.is_some() && !seen.best_is_late;
        match (seen.armed, seen.stuck) {
            (_, 0) => Late::Nobody,
            (0, _) if free => Late::All,
            _ => Late::Some,
        }
    }

    pub(super) fn all_late(&self, door: Door) -> bool {
        self.lateness_at(door) == Late::All
    }
}

/// Is it long since a look found something, if so many did not, one each so many ms?
fn is_calm(looks: u32, each: u64) -> bool {
    u64::from(looks) * each >= CALM
}
