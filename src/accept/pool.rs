//! What all processes share of the schedule: words in memory, and the kernel's
//! registrations.
//!
//! Each slot has an epoll instance that every process inherits, so that anybody
//! can arm a worker: set its bit, then register the door in its instance.

use super::choose::{Candidate, Limit};
use super::door::{Door, Kind};
use super::handover::HandOver;
use super::mode::Mode;
use super::tally::Tally;
use super::words::{LISTENERS, Words};
use crate::bpf::Row;
use crate::error::{Context, Result};
use crate::event::OWN;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::*};

/// Workers in one queue; beyond that its lock in the kernel becomes the limit.
/// HAProxy measured 85,000 against 172,000 connections a second with 64 and with
/// 16 threads at each listener, on 64 cores.
pub(super) const GROUP: usize = 16;

pub(super) struct Pool {
    epolls: Vec<Epoll>,
    /// Observes every door from the end of its queue, for the master.
    pub(super) sentinel: Epoll,
    /// How many listeners this process knows of: those that a reload adds after its fork
    /// are nothing to it.
    known: AtomicUsize,
    /// Of each listener: can it be a group of sockets?
    inet: [AtomicBool; LISTENERS],
    /// Descriptors of the doors, the same in all processes that have it; -1: there is none.
    shared: Vec<AtomicI32>,
    own: Vec<AtomicI32>,
    pub(super) words: Words,
}

impl Pool {
    /// There is no listener yet.
    pub(super) fn new(words: Words) -> Result<Self> {
        let slots = words.slots();
        let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1");
        let none = |n: usize| (0..n).map(|_| AtomicI32::new(-1)).collect::<Vec<_>>();
        Ok(Self {
            epolls: (0..slots).map(|_| epoll()).collect::<Result<_>>()?,
            sentinel: epoll()?,
            known: AtomicUsize::new(0),
            inet: [const { AtomicBool::new(false) }; LISTENERS],
            shared: none(words.groups() * LISTENERS),
            own: none(slots * LISTENERS),
            words,
        })
    }

    /// A listener, by the socket that the host or a reload has bound.
    pub(super) fn add(&self, listener: usize, fd: RawFd, inet: bool) {
        self.inet[listener].store(inet, Relaxed);
        self.set_fd(Door::shared(listener, 0), fd);
        self.known.fetch_max(listener + 1, Relaxed);
    }

    /// No door of it is there any more, for this process.
    pub(super) fn forget(&self, listener: usize) {
        for door in self.doors().filter(|door| door.listener == listener) {
            self.set_fd(door, -1);
        }
    }

    /// Those that are known are numbered below this; some may be gone.
    pub(super) fn listeners(&self) -> usize {
        self.known.load(Relaxed)
    }

    fn is_inet(&self, listener: usize) -> bool {
        self.inet[listener].load(Relaxed)
    }

    pub(super) fn epoll(&self, slot: usize) -> &Epoll {
        &self.epolls[slot]
    }

    // --- Doors ---

    fn fd_of(&self, door: Door) -> &AtomicI32 {
        let row = match door.kind {
            Kind::Shared { group } => &self.shared[group * LISTENERS..],
            Kind::Own { slot } => &self.own[slot * LISTENERS..],
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
        let count = self.listeners();
        let owns =
            (0..self.epolls.len()).flat_map(move |i| (0..count).map(move |l| Door::own(l, i)));
        self.shared_doors()
            .chain(owns.filter(|door| self.is_there(*door)))
    }

    /// Those of several workers.
    pub(super) fn shared_doors(&self) -> impl Iterator<Item = Door> {
        let count = self.listeners();
        let groups = 0..self.words.groups();
        let doors = groups.flat_map(move |i| (0..count).map(move |l| Door::shared(l, i)));
        doors.filter(|door| self.is_there(*door))
    }

    fn is_there(&self, door: Door) -> bool {
        self.fd_of(door).load(Relaxed) >= 0
    }

    /// Clients of this door that open workers accepted there: shows that it is served.
    pub(super) fn served(&self, door: Door) -> u64 {
        if let Kind::Own { slot } = door.kind {
            return self.words.tally(slot).get(Tally::Accepted);
        }
        let here = |slot: &usize| self.shared_door(*slot, door.listener) == door;
        let taken = |slot| self.words.tally(slot).taken(door.listener);
        let all = self.words.open_slots().filter(here).map(taken);
        all.fold(0, u64::wrapping_add)
    }

    // --- Who takes part ---

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
}

impl HandOver for Pool {
    fn slots(&self) -> usize {
        self.epolls.len()
    }

    fn is_open(&self, slot: usize) -> bool {
        self.words.is_open(slot)
    }

    #[inline(always)]
    fn candidates(&self, door: Door, me: usize) -> impl Iterator<Item = Candidate> {
        let group = match door.kind {
            Kind::Shared { group } if self.is_inet(door.listener) => Some(group),
            _ => None,
        };
        let rows = self.words.rows();
        // Whoever is at work has noted when it began.
        let now = match rows.get(me).map(Row::woke_at) {
            Some(Some(at)) => at,
            _ => crate::sys::now_ns(),
        };
        let candidate = move |slot: usize| Candidate {
            slot,
            load: rows[slot].load(),
            armed: rows[slot].holds(door.listener),
            paused: rows[slot].away() != 0,
            late: rows[slot].is_late(now),
        };
        self.words.open_in(group).map(candidate)
    }

    fn mode(&self, listener: usize) -> Mode {
        self.words.mode(listener)
    }

    fn limit(&self, door: Door) -> Limit {
        self.words.limit(door)
    }

    fn shared_door(&self, slot: usize, listener: usize) -> Door {
        match self.is_inet(listener) {
            true => Door::shared(listener, self.words.group(slot)),
            false => Door::shared(listener, 0),
        }
    }

    fn load(&self, slot: usize) -> u32 {
        self.words.row(slot).load()
    }

    fn away(&self, slot: usize) -> u32 {
        self.words.row(slot).away()
    }

    fn holds(&self, slot: usize, listener: usize) -> bool {
        self.words.row(slot).holds(listener)
    }

    fn claim(&self, slot: usize, listener: usize) -> bool {
        self.words.row(slot).claim(listener)
    }

    fn release(&self, slot: usize, listener: usize) -> bool {
        self.words.row(slot).release(listener)
    }

    #[unsafe(link_section = ".text.hot")]
    fn register(&self, slot: usize, door: Door) -> nix::Result<()> {
        let fd = self.fd(door).ok_or(Errno::EBADF)?;
        add(&self.epolls[slot], fd, OWN | u64::from(door.token()))
    }

    #[unsafe(link_section = ".text.hot")]
    fn unregister(&self, slot: usize, door: Door) -> bool {
        let gone = |fd| self.epolls[slot].delete(fd).is_ok();
        self.fd(door).is_some_and(gone)
    }

    fn watch(&self, door: Door) -> nix::Result<()> {
        let fd = self.fd(door).ok_or(Errno::EBADF)?;
        add(&self.sentinel, fd, door.code())
    }

    fn unwatch(&self, door: Door) -> bool {
        let gone = |fd| self.sentinel.delete(fd).is_ok();
        self.fd(door).is_some_and(gone)
    }

    fn leave_unwatched(&self) {
        self.words.unwatched().store(1, Relaxed);
    }

    fn readable(&self, door: Door) -> bool {
        self.fd(door).is_some_and(crate::sys::readable)
    }
}

fn add(epoll: &Epoll, door: BorrowedFd<'_>, data: u64) -> nix::Result<()> {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    match epoll.add(door, EpollEvent::new(flags, data)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}
