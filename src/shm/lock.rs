//! The service's own locks: one word each, and nothing beside it.
//!
//! The word names the owner by its spawn id: a pid may be another's by now
//! (faults F01, F02). One compare-and-swap takes the lock, another gives it back, a
//! third one clears it when the owner is dead; whoever is killed in between leaves
//! a word that is right. Those who wait sleep on the word, as on any futex; it says
//! whether somebody does, so that nobody else needs a system call.
//!
//! A dying process may scribble on it. Then it names nobody who lives, which is a
//! dead owner like any other.

use super::Region;
use crate::error;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Somebody may sleep: who gives it back wakes one.
const SLEEPERS: u64 = 1;
/// Of a free lock: the last owner died with it.
const RECOVERED: u64 = 2;
/// The owner is above these bits; 0: free.
const OWNER: u32 = 2;

/// A word that changes more often than that while the master frees it is scribbled upon. Who
/// waits for the lock takes it over by itself, later.
const RELEASE_TRIES: u32 = 8;

/// A cache line, and the one that is fetched with it, for each.
const LINE: usize = 128;

/// The owner that a word names; 0: nobody.
pub(crate) fn owner(word: u64) -> u64 {
    word >> OWNER
}

pub(crate) struct Locks {
    names: Vec<String>,
    region: Region,
}

impl Locks {
    pub(crate) fn new(names: Vec<String>) -> error::Result<Self> {
        let region = Region::new("dtm-locks", names.len().max(1) * LINE)?;
        Ok(Self { names, region })
    }

    pub(crate) fn name(&self, lock: usize) -> &str {
        &self.names[lock]
    }

    /// Take a free lock; Ok(true): its last owner died with it. Err: the word of
    /// the one who has it. `slept`: others may still sleep.
    pub(crate) fn take(&self, lock: usize, me: u64, slept: bool) -> Result<bool, u64> {
        let mine = me << OWNER | u64::from(slept);
        let mut seen = 0;
        loop {
            match self
                .word(lock)
                .compare_exchange(seen, mine, AcqRel, Acquire)
            {
                Ok(_) => return Ok(seen & RECOVERED != 0),
                Err(now) if owner(now) == 0 => seen = now,
                Err(now) => return Err(now),
            }
        }
    }

    /// Take it from an owner that is dead. False: the word is not `seen` any more.
    pub(crate) fn seize(&self, lock: usize, seen: u64, me: u64) -> bool {
        let mine = me << OWNER | SLEEPERS;
        let word = self.word(lock);
        word.compare_exchange(seen, mine, AcqRel, Relaxed).is_ok()
    }

    /// Give it back. False: it is not ours, and nothing was done.
    pub(crate) fn give(&self, lock: usize, me: u64) -> bool {
        let released = self.release(lock, me << OWNER, 0, |owner| owner == me);
        if released.is_some_and(|word| word & SLEEPERS != 0) {
            self.wake(lock);
        }
        released.is_some()
    }

    /// Free each lock whose owner is `gone`, and tell which. One sleeper of each is
    /// woken in any case: the one who was woken last may have died of it.
    pub(crate) fn recover(&self, gone: impl Fn(u64) -> bool, mut tell: impl FnMut(usize, u64)) {
        for lock in 0..self.names.len() {
            let seen = self.word(lock).load(Acquire);
            let dead = |owner| owner != 0 && gone(owner);
            if dead(owner(seen))
                && let Some(word) = self.release(lock, seen, RECOVERED, dead)
            {
                tell(lock, owner(word));
            }
            self.wake(lock);
        }
    }

    /// From `seen` to free, if the owner is the right one. The word that it was.
    fn release(
        &self,
        lock: usize,
        mut seen: u64,
        free: u64,
        right: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        // Only SLEEPERS comes in between, once; but whoever scribbles may write all the time.
        for _ in 0..RELEASE_TRIES {
            match self
                .word(lock)
                .compare_exchange(seen, free, AcqRel, Acquire)
            {
                Ok(_) => return Some(seen),
                Err(now) if right(owner(now)) => seen = now,
                Err(_) => return None,
            }
        }
        None
    }

    /// Say that somebody will sleep. The word to sleep on; `None`: it is not `seen`
    /// any more.
    pub(crate) fn announce(&self, lock: usize, seen: u64) -> Option<u64> {
        let word = seen | SLEEPERS;
        let changed = self
            .word(lock)
            .compare_exchange(seen, word, AcqRel, Relaxed);
        changed.is_ok().then_some(word)
    }

    /// Until the lock is given back, at most `ms`, or without any reason. False: the
    /// time is over.
    pub(crate) fn sleep(&self, lock: usize, word: u64, ms: u64) -> bool {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(ms / 1000).unwrap_or(libc::time_t::MAX),
            tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
        };
        // SAFETY: our own word and time, which live during the call.
        let slept = unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.futex(lock),
                libc::FUTEX_WAIT,
                lower(word),
                &raw const time,
            )
        };
        slept == 0 || nix::errno::Errno::last() != nix::errno::Errno::ETIMEDOUT
    }

    fn wake(&self, lock: usize) {
        // SAFETY: our own word.
        unsafe { libc::syscall(libc::SYS_futex, self.futex(lock), libc::FUTEX_WAKE, 1) };
    }

    fn word(&self, lock: usize) -> &AtomicU64 {
        &self.region.u64s(lock * LINE, 1)[0]
    }

    /// A futex has 32 bits: the lower half of the word.
    fn futex(&self, lock: usize) -> *mut u32 {
        let half = usize::from(cfg!(target_endian = "big"));
        self.region.u32s(lock * LINE, 2)[half].as_ptr()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the half that counts")]
fn lower(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests;
