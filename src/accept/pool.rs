//! The words that all processes share, and the kernel's registrations.
//!
//! Each slot has an epoll instance that every process inherits, so that anybody
//! can arm a worker: set its bit, then register the listener in its instance. The
//! bits are the tokens; a worker that passes its token on clears its own bit
//! first, so that the tokens are never counted twice, and unregisters last, so
//! that the listener is never without a worker. What a death in between leaves
//! behind is put right by the master. A registration without a bit costs its
//! worker one look at the listener.

use super::LISTENER_TOKEN;
use super::choose::{Candidate, Survey, survey};
use crate::error::{Context, Error, Result};
use crate::event::OWN;
use crate::shm::Region;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Bits of a slot's word above one bit for each listener.
const PAUSED: u64 = 1 << 62;
const LEFT: u64 = 1 << 63;
const AWAY: u64 = PAUSED | LEFT;

/// Words of a row that shares no cache line with another.
const LINE: usize = 16;
const WORD: usize = size_of::<u64>();

pub(super) struct Pool {
    epolls: Vec<Epoll>,
    /// Observes every listener from the end of its queue, for the master.
    pub(super) sentinel: Epoll,
    pub(super) listeners: Vec<RawFd>,
    /// Written by the master: one bit per slot that takes part, one word per
    /// listener with its limit of tokens.
    pub(super) rules: Region,
    /// Written by all: slot words, loads, then one line per listener and per slot.
    words: Region,
}

/// What happened since the start, over all slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stats {
    /// Clients accepted.
    pub(crate) accepted: u64,
    /// Tokens passed to another worker.
    pub(crate) moves: u64,
    /// Wake-ups that found no client.
    pub(crate) empty: u64,
    /// Failed accepts.
    pub(crate) errors: u64,
    /// Tokens added by the master because nobody served a queue.
    pub(crate) rescues: u64,
}

/// A slot's own tally; the order of [`Stats`].
#[derive(Clone, Copy)]
pub(super) enum Tally {
    Accepted,
    Moves,
    Empty,
    Errors,
}

impl Pool {
    pub(super) fn new(slots: usize, listeners: &[RawFd]) -> Result<Self> {
        if listeners.len() > crate::ffi::DTM_LISTENERS_MAX as usize {
            return Err(Error::invalid("too many listeners"));
        }
        let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1");
        let epolls = (0..slots).map(|_| epoll()).collect::<Result<_>>()?;
        let rules = (slots.div_ceil(64) + listeners.len()) * WORD;
        let words = (heads(slots) + (listeners.len() + slots) * LINE) * WORD;
        let pool = Self {
            epolls,
            sentinel: epoll()?,
            listeners: listeners.to_vec(),
            rules: Region::published("dtm-accept-rules", rules.max(WORD))?,
            words: Region::new("dtm-accept", words.max(WORD))?,
        };
        for listener in 0..listeners.len() {
            pool.watch(listener).context("epoll_ctl of a listener")?;
        }
        Ok(pool)
    }

    pub(super) fn slots(&self) -> usize {
        self.epolls.len()
    }

    pub(super) fn epoll(&self, slot: usize) -> &Epoll {
        &self.epolls[slot]
    }

    pub(super) fn listener(&self, listener: usize) -> BorrowedFd<'_> {
        // SAFETY: open as long as the runtime, which outlives the schedule.
        unsafe { BorrowedFd::borrow_raw(self.listeners[listener]) }
    }

    pub(super) fn open_bits(&self) -> &[AtomicU64] {
        self.rules.u64s(0, self.slots().div_ceil(64))
    }

    /// How many tokens the listener has, when enough workers are there.
    pub(super) fn limit(&self, listener: usize) -> &AtomicU64 {
        let start = self.slots().div_ceil(64) * WORD;
        &self.rules.u64s(start, self.listeners.len())[listener]
    }

    fn words(&self) -> &[AtomicU64] {
        self.words.u64s(0, self.slots())
    }

    pub(super) fn load(&self, slot: usize) -> &AtomicU32 {
        &self.words.u32s(self.slots() * WORD, self.slots())[slot]
    }

    /// Counts a listener's clients: shows that its queue is served.
    pub(super) fn served(&self, listener: usize) -> &AtomicU64 {
        self.line(listener, 0)
    }

    /// Only for the slot's own process.
    pub(super) fn tally(&self, slot: usize, what: Tally) {
        let word = self.line(self.listeners.len() + slot, what as usize);
        word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
    }

    fn line(&self, line: usize, word: usize) -> &AtomicU64 {
        let start = (heads(self.slots()) + line * LINE) * WORD;
        &self.words.u64s(start, LINE)[word]
    }

    pub(super) fn stats(&self) -> Stats {
        let sum = |what: Tally| {
            let lines = self.listeners.len()..self.listeners.len() + self.slots();
            let of = |line| self.line(line, what as usize).load(Relaxed);
            lines.map(of).fold(0, u64::wrapping_add)
        };
        Stats {
            accepted: sum(Tally::Accepted),
            moves: sum(Tally::Moves),
            empty: sum(Tally::Empty),
            errors: sum(Tally::Errors),
            rescues: 0,
        }
    }

    // --- Who takes part ---

    pub(super) fn is_open(&self, slot: usize) -> bool {
        self.open_bits()[slot / 64].load(SeqCst) & (1 << (slot % 64)) != 0
    }

    pub(super) fn open_slots(&self) -> impl Iterator<Item = usize> {
        let bits = self.open_bits().iter().map(|word| word.load(SeqCst));
        bits.enumerate().flat_map(|(i, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(i * 64 + bit)
            })
        })
    }

    pub(super) fn survey(&self, listener: usize, me: usize) -> Survey {
        let candidates = self
            .open_slots()
            .filter(|slot| *slot < self.slots())
            .map(|slot| {
                let word = self.words()[slot].load(SeqCst);
                Candidate {
                    slot,
                    load: self.load(slot).load(Relaxed),
                    armed: word & bit(listener) != 0,
                    paused: word & AWAY != 0,
                }
            });
        survey(candidates, me)
    }

    /// Does the worker of this slot take clients now?
    pub(super) fn takes_clients(&self, slot: usize) -> bool {
        self.is_open(slot) && self.words()[slot].load(SeqCst) & AWAY == 0
    }

    pub(super) fn holds(&self, slot: usize, listener: usize) -> bool {
        self.words()[slot].load(SeqCst) & bit(listener) != 0
    }

    /// Forget the slot's last worker: no token, no pause.
    pub(super) fn clear(&self, slot: usize) {
        for listener in 0..self.listeners.len() {
            self.unregister(slot, listener);
        }
        self.words()[slot].store(0, SeqCst);
        self.load(slot).store(0, SeqCst);
    }

    /// False: it was paused already.
    pub(super) fn pause(&self, slot: usize, for_ever: bool) -> bool {
        let flag = if for_ever { LEFT } else { PAUSED };
        self.words()[slot].fetch_or(flag, SeqCst) & flag == 0
    }

    pub(super) fn resume(&self, slot: usize) {
        self.words()[slot].fetch_and(!PAUSED, SeqCst);
    }

    // --- Tokens ---

    /// Set the slot's bit. False: it was set.
    pub(super) fn claim(&self, slot: usize, listener: usize) -> bool {
        self.words()[slot].fetch_or(bit(listener), SeqCst) & bit(listener) == 0
    }

    /// Clear the slot's bit. False: it was clear.
    pub(super) fn release(&self, slot: usize, listener: usize) -> bool {
        self.words()[slot].fetch_and(!bit(listener), SeqCst) & bit(listener) != 0
    }

    /// Give the slot a token. False: it has one, or takes no clients.
    pub(super) fn arm(&self, slot: usize, listener: usize) -> bool {
        if !self.claim(slot, listener) {
            return false;
        }
        // A worker that goes away sets its flag before it unregisters. If it
        // unregistered before we registered, we see the flag here.
        if self.register(slot, listener).is_ok() && self.takes_clients(slot) {
            return true;
        }
        self.disarm(slot, listener);
        false
    }

    /// Take the slot's token away.
    pub(super) fn disarm(&self, slot: usize, listener: usize) {
        self.unregister(slot, listener);
        self.release(slot, listener);
    }

    /// Unregister a slot without a token.
    pub(super) fn withdraw(&self, slot: usize, listener: usize) {
        self.unregister(slot, listener);
        // Armed by another meanwhile, whose registration that may have been.
        if self.holds(slot, listener) && self.register(slot, listener).is_err() {
            self.disarm(slot, listener);
            self.top_up(listener, slot);
        }
    }

    /// Give out tokens, the least loaded first, until there are as many as
    /// there should be; returns how many were given.
    pub(super) fn top_up(&self, listener: usize, me: usize) -> usize {
        let mut given = 0;
        for _ in 0..self.slots() {
            let seen = self.survey(listener, me);
            let limit = usize::try_from(self.limit(listener).load(Relaxed)).unwrap_or(usize::MAX);
            match seen.best {
                Some((slot, _)) if seen.armed < limit => {
                    given += usize::from(self.arm(slot, listener));
                }
                _ => break,
            }
        }
        given
    }

    // --- Registrations ---

    /// Register anew, at the end of the queue. The kernel looks whether a
    /// connection waits: no wake-up that went wrong before can be lost.
    pub(super) fn requeue(&self, slot: usize, listener: usize) {
        self.unregister(slot, listener);
        if self.register(slot, listener).is_err() {
            self.disarm(slot, listener);
            self.top_up(listener, slot);
        }
    }

    pub(super) fn register(&self, slot: usize, listener: usize) -> nix::Result<()> {
        let token = LISTENER_TOKEN + u32::try_from(listener).unwrap_or_default();
        add(
            &self.epolls[slot],
            self.listener(listener),
            OWN | u64::from(token),
        )
    }

    pub(super) fn unregister(&self, slot: usize, listener: usize) -> bool {
        self.epolls[slot].delete(self.listener(listener)).is_ok()
    }

    /// Put the sentinel at the listener.
    pub(super) fn watch(&self, listener: usize) -> nix::Result<()> {
        add(&self.sentinel, self.listener(listener), 0)
    }

    /// Move the sentinel to the end of the listener's queue, behind the workers
    /// that were armed since. If a connection waits it notices.
    pub(super) fn rewatch(&self, listener: usize) {
        // If it is not there, somebody else is just doing the same.
        if self.sentinel.delete(self.listener(listener)).is_ok() {
            // A failure is repaired by the master at its next event.
            let _ = self.watch(listener);
        }
    }
}

fn add(epoll: &Epoll, listener: BorrowedFd<'_>, data: u64) -> nix::Result<()> {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    match epoll.add(listener, EpollEvent::new(flags, data)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn bit(listener: usize) -> u64 {
    1 << (listener % 32)
}

/// Slot words and loads, in words, up to a full line.
fn heads(slots: usize) -> usize {
    (slots + slots.div_ceil(2)).next_multiple_of(LINE)
}
