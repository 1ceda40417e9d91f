//! What all processes share of the schedule: words in memory, and the kernel's
//! registrations.
//!
//! Each slot has an epoll instance that every process inherits, so that anybody
//! can arm a worker: set its bit, then register the door in its instance. The
//! bits are the tokens; a worker that passes its token on clears its own bit
//! first, so that the tokens are never counted twice, and unregisters last, so
//! that the door is never without a worker. What a death in between leaves
//! behind is put right by the master. A registration without a bit costs its
//! worker one look at the door.

use super::choose::{Candidate, Survey, survey};
use super::door::{Door, Kind};
use super::mode::Mode;
use super::words::Words;
use crate::bpf::away;
use crate::error::{Context, Result};
use crate::event::OWN;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::*};

/// Workers in one queue; beyond that its lock in the kernel becomes the limit.
/// HAProxy measured 85,000 against 172,000 connections a second with 64 and with
/// 16 threads at each listener, on 64 cores.
pub(super) const GROUP: usize = 16;

pub(super) struct Pool {
    epolls: Vec<Epoll>,
    /// Observes every door from the end of its queue, for the master.
    pub(super) sentinel: Epoll,
    /// Of each listener: can it be a group of sockets?
    pub(super) inet: Vec<bool>,
    /// Descriptors of the doors, the same in all processes; -1: there is none.
    shared: Vec<AtomicI32>,
    own: Vec<AtomicI32>,
    pub(super) words: Words,
}

impl Pool {
    pub(super) fn new(words: Words, listeners: &[(RawFd, bool)]) -> Result<Self> {
        let slots = words.slots();
        let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1");
        let none = |n: usize| (0..n).map(|_| AtomicI32::new(-1)).collect::<Vec<_>>();
        let pool = Self {
            epolls: (0..slots).map(|_| epoll()).collect::<Result<_>>()?,
            sentinel: epoll()?,
            inet: listeners.iter().map(|(_, inet)| *inet).collect(),
            shared: none(words.groups() * listeners.len()),
            own: none(slots * listeners.len()),
            words,
        };
        for (listener, (fd, _)) in listeners.iter().enumerate() {
            let base = Door::shared(listener, 0);
            pool.set_fd(base, *fd);
            pool.watch(base).context("epoll_ctl of a listener")?;
        }
        Ok(pool)
    }

    pub(super) fn slots(&self) -> usize {
        self.epolls.len()
    }

    pub(super) fn listeners(&self) -> usize {
        self.inet.len()
    }

    pub(super) fn epoll(&self, slot: usize) -> &Epoll {
        &self.epolls[slot]
    }

    // --- Doors ---

    fn fd_of(&self, door: Door) -> &AtomicI32 {
        let row = match door.kind {
            Kind::Shared { group } => &self.shared[group * self.listeners()..],
            Kind::Own { slot } => &self.own[slot * self.listeners()..],
        };
        &row[door.listener]
    }

    pub(super) fn set_fd(&self, door: Door, fd: RawFd) {
        self.fd_of(door).store(fd, Relaxed);
    }

    pub(super) fn fd(&self, door: Door) -> Option<BorrowedFd<'_>> {
        let fd = self.fd_of(door).load(Relaxed);
        // SAFETY: doors stay open as long as the runtime, which outlives the schedule.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Every door there is.
    pub(super) fn doors(&self) -> impl Iterator<Item = Door> {
        let count = self.listeners().max(1);
        let groups = (0..self.shared.len()).map(move |i| Door::shared(i % count, i / count));
        let owns = (0..self.own.len()).map(move |i| Door::own(i % count, i / count));
        groups
            .chain(owns)
            .filter(|door| self.fd_of(*door).load(Relaxed) >= 0)
    }

    /// Where this slot's worker waits together with others.
    pub(super) fn shared_door(&self, slot: usize, listener: usize) -> Door {
        match self.inet[listener] {
            true => Door::shared(listener, self.words.group(slot)),
            false => Door::shared(listener, 0),
        }
    }

    pub(super) fn mode(&self, listener: usize) -> Mode {
        self.words.mode(listener)
    }

    // --- Who takes part ---

    /// Does this worker take clients, as far as it knows itself? Whether it is
    /// stopped or hangs is for others to say.
    pub(super) fn may_take(&self, slot: usize) -> bool {
        let own = away::CLOSED | away::FULL | away::LEAVING;
        self.words.is_open(slot) && self.words.row(slot).away() & own == 0
    }

    /// Does the worker of this slot take clients now?
    pub(super) fn takes_clients(&self, slot: usize) -> bool {
        self.words.is_open(slot) && self.words.row(slot).away() == 0
    }

    pub(super) fn survey(&self, door: Door, me: usize) -> Survey {
        let words = &self.words;
        let here = |slot: &usize| self.shared_door(*slot, door.listener) == door;
        let candidate = |slot| {
            let row = words.row(slot);
            Candidate {
                slot,
                load: row.load(),
                armed: words.holds(slot, door.listener),
                paused: row.away() != 0,
            }
        };
        survey(words.open_slots().filter(here).map(candidate), me)
    }

    /// The slot's last worker is gone from every door.
    pub(super) fn clear(&self, slot: usize) {
        for listener in 0..self.listeners() {
            for door in self.doors_of(slot, listener) {
                self.unregister(slot, door);
            }
        }
        self.words.forget(slot);
    }

    /// The doors at which this slot's worker may be registered.
    pub(super) fn doors_of(&self, slot: usize, listener: usize) -> [Door; 3] {
        [
            Door::shared(listener, 0),
            self.shared_door(slot, listener),
            Door::own(listener, slot),
        ]
    }

    // --- Tokens ---

    /// Give the slot a token. False: it has one, or takes no clients.
    pub(super) fn arm(&self, slot: usize, door: Door) -> bool {
        if !self.words.claim(slot, door.listener) {
            return false;
        }
        // A worker that goes away sets its flag before it unregisters. If it
        // unregistered before we registered, we see the flag here.
        if self.register(slot, door).is_ok() && self.takes_clients(slot) {
            return true;
        }
        self.disarm(slot, door);
        false
    }

    /// Take the slot's token away.
    pub(super) fn disarm(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        self.words.release(slot, door.listener);
    }

    /// Unregister a slot without a token.
    pub(super) fn withdraw(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        // Armed by another meanwhile, whose registration that may have been.
        if self.words.holds(slot, door.listener) && self.register(slot, door).is_err() {
            self.disarm(slot, door);
            self.top_up(door, slot);
        }
    }

    /// Give out tokens, the least loaded first, until there are as many as
    /// there should be; returns how many were given.
    pub(super) fn top_up(&self, door: Door, me: usize) -> usize {
        let mut given = 0;
        for _ in 0..self.slots() {
            let seen = self.survey(door, me);
            match seen.best {
                Some((slot, _)) if seen.armed < self.words.limit_of(door) => {
                    given += usize::from(self.arm(slot, door));
                }
                _ => break,
            }
        }
        given
    }

    // --- Registrations ---

    /// Register anew, at the end of the queue. The kernel looks whether a
    /// connection waits: no wake-up that went wrong before can be lost.
    pub(super) fn requeue(&self, slot: usize, door: Door) {
        self.unregister(slot, door);
        if self.register(slot, door).is_err() {
            self.disarm(slot, door);
            self.top_up(door, slot);
        }
    }

    pub(super) fn register(&self, slot: usize, door: Door) -> nix::Result<()> {
        let fd = self.fd(door).ok_or(Errno::EBADF)?;
        add(&self.epolls[slot], fd, OWN | u64::from(door.token()))
    }

    /// False: it was not there.
    pub(super) fn unregister(&self, slot: usize, door: Door) -> bool {
        let gone = |fd| self.epolls[slot].delete(fd).is_ok();
        self.fd(door).is_some_and(gone)
    }

    /// Put the sentinel at the door.
    pub(super) fn watch(&self, door: Door) -> nix::Result<()> {
        let fd = self.fd(door).ok_or(Errno::EBADF)?;
        add(&self.sentinel, fd, door.code())
    }

    pub(super) fn unwatch(&self, door: Door) -> bool {
        let gone = |fd| self.sentinel.delete(fd).is_ok();
        self.fd(door).is_some_and(gone)
    }

    /// Move the sentinel to the end of the door's queue, behind the workers
    /// that were armed since. If a connection waits it notices.
    pub(super) fn rewatch(&self, door: Door) {
        // If it is not there, somebody else is just doing the same.
        if self.unwatch(door) {
            // A failure is repaired by the master at its next event.
            let _ = self.watch(door);
        }
    }
}

fn add(epoll: &Epoll, door: BorrowedFd<'_>, data: u64) -> nix::Result<()> {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    match epoll.add(door, EpollEvent::new(flags, data)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
