//! Taking one of the service's locks: waiting for it, and noticing that nobody
//! will give it back.

use super::Child;
use crate::error::{Error, Result};
use crate::ffi::{DTM_EGONE, DTM_OFF};
use crate::process::death;
use crate::shm::owner;
use crate::sys::now_ms;

/// The master wakes those who wait for a dead owner. It may be stopped or dead
/// itself, so a waiter looks around this often.
const LOOK_MS: u64 = 1_000;

impl Child {
    /// dtm_lock_take(). True: the last owner died with it.
    pub(crate) fn take_lock(&self, lock: usize, timeout_ms: u32) -> Result<bool> {
        let (locks, me) = (&self.shared.locks, self.birth.spawn);
        let mut until = None;
        // Whom we wait for, and since when: by the clock, as signals end any sleep. C01
        let mut waits = (0, 0);
        loop {
            let word = match locks.take(lock, me, until.is_some()) {
                Ok(recovered) => return Ok(recovered),
                Err(word) => word,
            };
            if owner(word) == me {
                return Err(Error::new(-libc::EDEADLK, "this process has the lock"));
            }
            if waits.0 != owner(word) {
                waits = (owner(word), now_ms());
            }
            let look_at = waits.1 + LOOK_MS;
            if self.is_gone(owner(word), now_ms() >= look_at) {
                if locks.seize(lock, word, me) {
                    let (name, gone) = (locks.name(lock), owner(word));
                    ::log::warn!("lock {name}: its owner, spawn {gone}, is gone: taken over");
                    return Ok(true);
                }
                continue;
            }
            if timeout_ms == 0 {
                return Err(timed_out());
            }
            // Also before giving up: it may have been us who was woken.
            let Some(word) = locks.announce(lock, word) else {
                continue;
            };
            let now = now_ms();
            let until = *until.get_or_insert_with(|| deadline(now, timeout_ms));
            if now >= until {
                return Err(timed_out());
            }
            if nix::unistd::getppid().as_raw() != self.birth.master {
                let text = "the master is gone: nobody sees to it that the lock is given back";
                return Err(Error::new(DTM_EGONE, text));
            }
            if now >= look_at {
                waits.1 = now;
            }
            locks.sleep(lock, word, (waits.1 + LOOK_MS).min(until) - now);
        }
    }

    /// dtm_lock_give()
    pub(crate) fn give_lock(&self, lock: usize) -> Result<()> {
        let locks = &self.shared.locks;
        if locks.give(lock, self.birth.spawn) {
            return Ok(());
        }
        let name = locks.name(lock);
        let text = format!("lock {name}: given back by a process that does not have it");
        ::log::warn!("{text}");
        Err(Error::new(-libc::EPERM, text))
    }

    /// Does this owner live no more? `long`: the master has had the time to say so.
    fn is_gone(&self, owner: u64, long: bool) -> bool {
        let table = &self.shared.table;
        if !table.knows(owner) {
            return true;
        }
        let mut rows = Vec::new();
        long && table.read(&mut rows).is_some()
            && rows
                .iter()
                .any(|row| row.spawn == owner && death::has_ended(row.pid))
    }
}

/// Not before the time is over: the millisecond that has begun does not count.
fn deadline(now: u64, timeout_ms: u32) -> u64 {
    match timeout_ms {
        DTM_OFF => u64::MAX,
        ms => now + u64::from(ms) + 1,
    }
}

fn timed_out() -> Error {
    Error::new(-libc::ETIMEDOUT, "another process has the lock")
}
