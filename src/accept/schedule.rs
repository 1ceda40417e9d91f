//! The master's part: who takes part and how, repair after a death.

use super::choose::{Limit, MASTER};
use super::door::Door;
use super::drops::Drops;
use super::handover::HandOver;
use super::held::Held;
use super::lanes::Lanes;
use super::mode::Mode;
use super::pool::Pool;
use super::seat::Seat;
use super::sentinel::Watch;
use super::words::{Told, Words};
use crate::bpf::{Steer, away};
use crate::error::Result;
use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// A listener, as the host bound it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Socket {
    pub(crate) fd: RawFd,
    /// TCP: it can become a group of sockets.
    pub(crate) inet: bool,
    pub(crate) backlog: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) spawn: u64,
    pub(super) generation: u32,
}

pub(crate) struct Schedule {
    pub(super) pool: Arc<Pool>,
    pub(super) watch: Watch,
    pub(super) drops: Drops,
    pub(super) lanes: Lanes,
    pub(super) held: Held,
    /// The program that steers, or why there is none. Gone in a child.
    pub(super) steer: RefCell<std::result::Result<Steer, String>>,
    pub(super) current: Cell<Mode>,
    tokens: Cell<u32>,
    /// Workers sleep in loops of the service's own.
    pub(super) own_loops: bool,
    /// Per slot: the worker that counts as a member of its group.
    pub(super) members: RefCell<Vec<Option<Member>>>,
    /// Another binary chooses in the groups: ours must not.
    pub(super) passive: Cell<bool>,
}

impl Schedule {
    /// Made before the first fork, with the listeners that there are by then. Each stays
    /// open until [`Schedule::drop_listener`].
    pub(crate) fn new(slots: usize, sockets: &[(usize, Socket)], own_loops: bool) -> Result<Self> {
        let steer = Steer::load(slots).map_err(|error| error.text.into_owned());
        let loads = steer.as_ref().ok().map(Steer::loads);
        let words = Words::new(slots, loads)?;
        let schedule = Self {
            pool: Arc::new(Pool::new(words)?),
            watch: Watch::default(),
            drops: Drops::new(),
            lanes: Lanes::default(),
            held: Held::default(),
            steer: RefCell::new(steer),
            current: Cell::new(Mode::Token),
            tokens: Cell::new(1),
            own_loops,
            members: RefCell::new(vec![None; slots]),
            passive: Cell::new(false),
        };
        for slot in 0..slots {
            schedule.pool.words.forget(slot);
        }
        for (listener, socket) in sockets {
            schedule.expect(*listener, *socket)?;
            schedule.serve(*listener);
        }
        Ok(schedule)
    }

    /// A worker's part.
    pub(crate) fn seat(&self, slot: usize, spawn: u64) -> Seat {
        Seat::new(Arc::clone(&self.pool), slot, spawn)
    }

    /// Called in each child: the master alone says who takes part.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        self.pool.words.make_read_only()
    }

    /// Called in each child: close the doors that are not its own.
    pub(crate) fn keep_doors_of(&self, slot: Option<usize>) {
        let _ = self.steer.replace(Err("this is a child".to_owned()));
        for (listener, lane) in self.lanes.all() {
            let own: Vec<Door> =
                slot.map_or_else(Vec::new, |slot| self.pool.doors_of(slot, listener).to_vec());
            lane.keep_only(&|door| own.contains(&door), &|door| {
                self.pool.set_fd(door, -1);
            });
        }
    }

    /// The worker of this slot is open for business.
    pub(crate) fn admit(&self, slot: usize) {
        self.pool.clear(slot);
        self.pool.words.set_open(slot, true);
        self.pool.words.row(slot).come_back(u32::MAX);
        for (listener, _) in self.lanes.serving() {
            self.join(slot, listener);
            self.select(listener);
        }
    }

    /// The worker of this slot drains or is dead. Its tokens go to others, and
    /// whatever it left half done is put right. Harmless when done twice.
    pub(crate) fn retire(&self, slot: usize) {
        self.pool.words.set_open(slot, false);
        self.pool.clear(slot);
        for (listener, _) in self.lanes.serving() {
            self.select(listener);
            // What waits at its own door is passed on.
            self.move_sentinel(Door::own(listener, slot));
        }
        let member = self.members.borrow_mut()[slot].take();
        if let Some(Member { spawn, .. }) = member
            && self.pool.words.lock().load(SeqCst) == spawn
        {
            self.pass_lock(spawn);
        }
        self.repair();
    }

    fn repair(&self) {
        let queues = self.pool.shared_doors();
        for door in queues.filter(|door| self.pool.mode(door.listener).is_queue()) {
            self.pool.repair(door);
        }
    }

    /// The kernel says that this worker was stopped, or goes on.
    pub(crate) fn stopped(&self, slot: usize, stopped: bool) {
        if !self.pool.words.is_open(slot) {
            return;
        }
        let row = self.pool.words.row(slot);
        let spawn = self.members.borrow()[slot].map(|member| member.spawn);
        if stopped {
            row.go_away(away::STOPPED);
            if spawn == Some(self.pool.words.lock().load(SeqCst)) {
                self.pass_lock(spawn.unwrap_or(0));
            }
        } else {
            row.come_back(away::STOPPED);
        }
        for (listener, _) in self.lanes.serving() {
            self.select(listener);
            self.pool.rewatch(Door::own(listener, slot));
        }
        self.repair();
    }

    /// When this worker's loop woke up, or `ASLEEP`, as it says itself.
    pub(crate) fn beat(&self, slot: usize) -> u64 {
        self.pool.words.row(slot).beat().load(Relaxed)
    }

    /// The epoll instance of this slot's worker. To be polled only.
    pub(crate) fn loop_fd(&self, slot: usize) -> BorrowedFd<'_> {
        self.pool.epoll(slot).0.as_fd()
    }

    // --- Tokens ---

    /// How many workers are armed at each listener.
    pub(crate) fn set_tokens(&self, tokens: u32) {
        self.tokens.set(tokens.max(1));
        let told = self.pool.words.told(Told::Tokens);
        told.store(tokens.max(1).into(), Relaxed);
        self.set_limits();
        for door in self.pool.shared_doors() {
            if self.pool.mode(door.listener).is_queue() && self.pool.top_up(door, MASTER) > 0 {
                self.pool.rewatch(door);
            }
        }
    }

    pub(super) fn set_limits(&self) {
        for door in self.pool.shared_doors() {
            let added = self.watch.added(door);
            let limit = match self.pool.mode(door.listener) {
                Mode::Token => Limit::of(self.tokens.get(), added.even, added.any),
                Mode::Shared => Limit::ALL,
                _ => Limit::NONE,
            };
            self.pool.words.set_limit(door, limit);
        }
    }

    /// To be polled (level-triggered, read) by the master's own epoll, and by
    /// nothing else: see [`Schedule::on_sentinel`].
    pub(crate) fn sentinel_fd(&self) -> RawFd {
        self.pool.sentinel.0.as_raw_fd()
    }
}
