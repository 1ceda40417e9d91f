//! The accept lock, as nginx's accept_mutex: a worker that has it when it goes to
//! sleep is registered at the listeners, and gives it back before it works for
//! its clients. The others look for it from time to time while clients come; when none do,
//! nobody polls, and the master gives it to somebody if one waits. The owner is named by its
//! spawn, never by its pid, which another process may get (F01); a late release finds
//! another owner and fails (F02).
//! flow: L5, L12

use super::door::Door;
use super::handover::HandOver;
use super::mode::Mode;
use super::pool::Pool;
use super::schedule::Schedule;
use super::tally::Tally;
use std::sync::atomic::Ordering::*;

/// Workers without the lock look again after this long, ms, as long as clients are accepted
/// meanwhile. nginx waits 500.
pub(super) const DELAY: u64 = 100;
/// The holder has to accept within this time when clients wait, ms.
pub(super) const LEASE: u64 = 250;

/// Where the lock schedules.
fn bases(pool: &Pool) -> impl Iterator<Item = Door> {
    let locked = (0..pool.listeners()).filter(|listener| pool.mode(*listener) == Mode::Lock);
    let bases = locked.map(|listener| Door::shared(listener, 0));
    bases.filter(|door| pool.fd(*door).is_some())
}

/// Before a wait: have it if nobody has it.
pub(super) fn take(pool: &Pool, slot: usize, spawn: u64) -> bool {
    let lock = pool.words.lock();
    let had = lock.compare_exchange(0, spawn, SeqCst, SeqCst);
    let ours = had.is_ok() || had == Err(spawn);
    for door in bases(pool) {
        if !ours {
            pool.unregister(slot, door);
        } else if let Err(errno) = pool.register(slot, door) {
            ::log::warn!("accept lock: epoll_ctl: {}", errno.desc());
        }
    }
    ours
}

/// Give it back, if it is ours; `had`: it was, when this worker went to sleep.
pub(super) fn give(pool: &Pool, slot: usize, spawn: u64, had: bool) {
    let lock = pool.words.lock();
    let ours = lock.load(Relaxed) == spawn;
    let given = ours && lock.compare_exchange(spawn, 0, SeqCst, SeqCst).is_ok();
    if had && !given {
        pool.words.tally(slot).count(Tally::Late);
    }
}

/// The master: take it from `from` (0: nobody), and give it to this worker.
pub(super) fn grant(pool: &Pool, from: u64, slot: usize, spawn: u64) -> bool {
    let lock = pool.words.lock();
    let granted = lock.compare_exchange(from, spawn, SeqCst, SeqCst).is_ok();
    if granted {
        for door in bases(pool) {
            // Anew: the kernel looks at once whether a connection waits.
            pool.unregister(slot, door);
            let _ = pool.register(slot, door);
        }
    }
    granted
}

impl Schedule {
    /// The accept lock goes from `owner` to the least loaded worker, if possible to one that
    /// is idle.
    pub(super) fn pass_lock(&self, owner: u64) {
        let members = self.members.borrow();
        let spawn_of = |slot: usize| members[slot].map(|member| member.spawn);
        let open = self.pool.words.open_slots();
        let others = open.filter(|slot| spawn_of(*slot) != Some(owner));
        let willing = others.filter(|slot| self.pool.takes_clients(*slot));
        let row = |slot: usize| self.pool.words.row(slot);
        let next = willing.min_by_key(|slot| (!row(*slot).is_asleep(), row(*slot).load()));
        let Some((next, Some(spawn))) = next.map(|slot| (slot, spawn_of(slot))) else {
            let _ = self
                .pool
                .words
                .lock()
                .compare_exchange(owner, 0, SeqCst, SeqCst);
            return;
        };
        if grant(&self.pool, owner, next, spawn) && owner != 0 {
            self.count_rescue();
            ::log::warn!("the accept lock was taken from spawn {owner} and given to slot {next}");
            if let Some(old) = (0..members.len()).find(|slot| spawn_of(*slot) == Some(owner)) {
                for door in bases(&self.pool) {
                    self.pool.unregister(old, door);
                }
            }
        }
    }
}
