//! The master's part: who takes part and how, repair after a death.

use super::choose::MASTER;
use super::door::Door;
use super::lane::Lane;
use super::mode::{Abilities, Mode, resolve};
use super::pool::{GROUP, Pool};
use super::seat::Seat;
use super::sentinel::Watch;
use super::words::{Told, Words};
use super::{lock, probe, spread};
use crate::bpf::{Steer, away};
use crate::config::AcceptMode;
use crate::error::{Error, Result};
use crate::ffi::DTM_EFAILED;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, RawFd};
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

pub(crate) struct Schedule {
    pub(super) pool: Arc<Pool>,
    pub(super) watch: Watch,
    pub(super) lanes: Vec<Lane>,
    /// The program that steers, or why there is none. Gone in a child.
    steer: RefCell<std::result::Result<Steer, String>>,
    mode: Cell<Mode>,
    tokens: Cell<u32>,
    /// Per slot: the spawn of the worker that counts as a member of its group.
    members: RefCell<Vec<Option<u64>>>,
}

impl Schedule {
    /// Made before the first fork. The listeners stay open as long as the runtime.
    pub(crate) fn new(slots: usize, sockets: &[Socket]) -> Result<Self> {
        let inet = sockets.iter().filter(|socket| socket.inet).count();
        let steer = match inet {
            0 => Err("there is no TCP listener".to_owned()),
            _ => Steer::load(slots, sockets.len()).map_err(|error| error.text.into_owned()),
        };
        let loads = steer.as_ref().ok().map(Steer::loads);
        let words = Words::new(slots, sockets.len(), loads)?;
        let fds: Vec<_> = sockets.iter().map(|s| (s.fd, s.inet)).collect();
        let lane = |s: &Socket| Lane::new(s.fd, s.inet, s.backlog);
        let schedule = Self {
            pool: Arc::new(Pool::new(words, &fds)?),
            watch: Watch::default(),
            lanes: sockets.iter().map(lane).collect(),
            steer: RefCell::new(steer),
            mode: Cell::new(Mode::Token),
            tokens: Cell::new(1),
            members: RefCell::new(vec![None; slots]),
        };
        for slot in 0..slots {
            schedule.pool.words.forget(slot);
        }
        for listener in 0..schedule.lanes.len() {
            schedule.pool.words.set_mode(listener, Mode::Token);
        }
        schedule.set_limits();
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
        for (listener, lane) in self.lanes.iter().enumerate() {
            let own: Vec<Door> = slot.map_or_else(Vec::new, |slot| {
                self.pool.doors_of(slot, listener).to_vec()
            });
            lane.keep_only(&|door| own.contains(&door), &|door| {
                self.pool.set_fd(door, -1);
            });
        }
    }

    // --- The mode ---

    fn resolve(&self, wanted: AcceptMode) -> Result<(Mode, String)> {
        let can = Abilities {
            inet: self.lanes.iter().filter(|lane| lane.inet).count(),
            listeners: self.lanes.len(),
            no_steer: self.steer.borrow().as_ref().err().cloned(),
        };
        resolve(wanted, &can).map_err(|why| Error::new(DTM_EFAILED, why))
    }

    /// Can this mode be had? The text says which one it is, or why not.
    pub(crate) fn check_mode(&self, wanted: AcceptMode) -> Result<String> {
        self.resolve(wanted).map(|(_, text)| text)
    }

    /// Have this mode from now on, with all that waits and all that is armed.
    /// True: it is another than before.
    pub(crate) fn set_mode(&self, wanted: AcceptMode) -> Result<bool> {
        let (mode, _) = self.resolve(wanted)?;
        self.pool.words.told(Told::Wanted).store(wanted.number().into(), Relaxed);
        if mode == self.mode.get() {
            return Ok(false);
        }
        self.mode.set(mode);
        for (listener, lane) in self.lanes.iter().enumerate() {
            let mode = if mode.is_own() && !lane.inet { Mode::Token } else { mode };
            self.leave_mode(listener, self.pool.mode(listener));
            self.pool.words.set_mode(listener, mode);
            self.enter_mode(listener);
        }
        Ok(true)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode.get()
    }

    fn leave_mode(&self, listener: usize, mode: Mode) {
        for slot in 0..self.pool.slots() {
            for door in self.pool.doors_of(slot, listener) {
                self.pool.unregister(slot, door);
            }
            self.pool.words.release(slot, listener);
            self.pool.words.row(slot).come_back(away::HUNG);
        }
        if mode == Mode::Lock {
            self.pool.words.lock().store(0, SeqCst);
        }
    }

    fn enter_mode(&self, listener: usize) {
        self.observe(listener, true);
        self.set_limits();
        for slot in self.pool.words.open_slots() {
            self.join(slot, listener);
        }
        self.select(listener);
        for door in self.pool.doors().filter(|door| door.listener == listener) {
            self.pool.rewatch(door);
        }
    }

    /// The sentinel looks at the listener's base, or need not: the master itself
    /// waits there.
    pub(crate) fn observe(&self, listener: usize, wanted: bool) {
        let base = Door::shared(listener, 0);
        if !wanted {
            self.pool.unwatch(base);
        } else if let Err(errno) = self.pool.watch(base) {
            ::log::error!("epoll_ctl of listener {listener}: {}", errno.desc());
        }
    }

    /// The worker of this slot takes its place at this listener.
    fn join(&self, slot: usize, listener: usize) {
        let mode = self.pool.mode(listener);
        if mode.is_own() {
            self.open_own(slot, listener);
        } else if mode.is_queue() {
            let door = self.pool.shared_door(slot, listener);
            if self.pool.top_up(door, MASTER) > 0 {
                self.pool.rewatch(door);
            }
        } else if mode == Mode::Lock && listener == 0 && self.pool.words.lock().load(SeqCst) == 0 {
            self.pass_lock(0);
        }
    }

    fn open_own(&self, slot: usize, listener: usize) {
        let (door, lane) = (Door::own(listener, slot), &self.lanes[listener]);
        let opened = lane.open(door).and_then(|fresh| {
            if let (true, Ok(steer)) = (fresh, &*self.steer.borrow()) {
                lane.place(steer, door, slot)?;
            }
            Ok(())
        });
        if let Err(error) = opened {
            // The base door is there, and the master passes on what comes to it.
            ::log::warn!("slot {slot} gets no socket of its own: {error}");
        }
        if let Ok(steer) = &*self.steer.borrow() {
            let rows = self.pool.words.open_slots().max().map_or(0, |last| last + 1);
            steer.set_rows(rows);
        }
        if self.pool.register(slot, door).is_ok() {
            // Behind its owner.
            if self.pool.watch(door).is_ok() {
                self.pool.rewatch(door);
            }
        }
    }

    /// Which socket of the group gets the next connection.
    pub(super) fn select(&self, listener: usize) {
        let (lane, mode) = (&self.lanes[listener], self.pool.mode(listener));
        let door = |slot| match mode {
            Mode::Steer | Mode::Hash => Door::own(listener, slot),
            Mode::Token | Mode::Shared => self.pool.shared_door(slot, listener),
            Mode::Pass | Mode::Lock => Door::shared(listener, 0),
        };
        let doors: Vec<Door> = self.willing().map(door).collect();
        let chosen = match (mode, &*self.steer.borrow()) {
            (Mode::Steer, Ok(steer)) => lane.choose_by_load(steer, listener),
            _ => lane.choose_by_hash(&doors),
        };
        let queues = doors.iter().copied().collect::<BTreeSet<_>>().len();
        let queues = u64::try_from(queues).unwrap_or(0);
        self.pool.words.queues(listener).store(queues, Relaxed);
        if let Err(error) = chosen {
            ::log::error!("listener {listener}: {error}: connections are spread by the kernel");
        }
    }

    // --- Who takes part ---

    /// A worker is about to be forked: make what it has to inherit.
    pub(crate) fn enlist(&self, slot: usize, spawn: u64) {
        self.pool.words.set_group(slot, self.group_for(slot));
        self.members.borrow_mut()[slot] = Some(spawn);
        for (listener, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.inet) {
            let door = Door::own(listener, slot);
            match lane.make(door) {
                Ok(fd) => self.pool.set_fd(door, fd),
                Err(error) => ::log::warn!("listener {listener}: {error}: no socket of its own"),
            }
        }
    }

    fn group_for(&self, slot: usize) -> usize {
        let mut counts = vec![0; self.pool.words.groups()];
        for (other, member) in self.members.borrow().iter().enumerate() {
            if other != slot && member.is_some() {
                counts[self.pool.words.group(other)] += 1;
            }
        }
        let group = spread::group(&counts).unwrap_or(0);
        if group == 0 || self.lanes.iter().all(|lane| !lane.inet) {
            return 0;
        }
        match self.open_group(group) {
            Ok(()) => group,
            Err(error) => {
                ::log::warn!("more than {GROUP} workers wait at one socket: {error}");
                0
            }
        }
    }

    fn open_group(&self, group: usize) -> Result<()> {
        for (listener, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.inet) {
            let door = Door::shared(listener, group);
            self.pool.set_fd(door, lane.make(door)?);
            if lane.open(door)? {
                let _ = self.pool.watch(door);
                self.select(listener);
            }
        }
        Ok(())
    }

    /// The worker of this slot is open for business.
    pub(crate) fn admit(&self, slot: usize) {
        self.pool.clear(slot);
        self.pool.words.set_open(slot, true);
        self.pool.words.row(slot).come_back(u32::MAX);
        for listener in 0..self.lanes.len() {
            self.join(slot, listener);
            self.select(listener);
        }
    }

    /// The worker of this slot drains or is dead. Its tokens go to others, and
    /// whatever it left half done is put right. Harmless when done twice.
    pub(crate) fn retire(&self, slot: usize) {
        self.pool.words.set_open(slot, false);
        self.pool.clear(slot);
        for listener in 0..self.lanes.len() {
            self.select(listener);
            // What waits at its own door is passed on.
            self.pool.rewatch(Door::own(listener, slot));
        }
        let spawn = self.members.borrow_mut()[slot].take();
        if spawn.is_some_and(|spawn| self.pool.words.lock().load(SeqCst) == spawn) {
            self.pass_lock(spawn.unwrap_or(0));
        }
        self.repair();
    }

    /// Someone may have died between any two of its steps.
    fn repair(&self) {
        let queues = self.pool.doors().filter(|door| !door.is_own());
        for door in queues.filter(|door| self.pool.mode(door.listener).is_queue()) {
            for slot in self.holders(door) {
                if self.pool.register(slot, door).is_err() {
                    self.pool.disarm(slot, door);
                }
            }
            self.pool.top_up(door, MASTER);
            // If the sentinel was just being moved it may be missing.
            let _ = self.pool.watch(door);
            // The dead worker may have been woken and not have accepted.
            if self.pool.fd(door).is_some_and(probe::readable) {
                self.kick(door);
            }
        }
    }

    fn holders(&self, door: Door) -> Vec<usize> {
        let open = self.pool.words.open_slots();
        let here = open.filter(|slot| self.pool.shared_door(*slot, door.listener) == door);
        here.filter(|slot| self.pool.words.holds(*slot, door.listener)).collect()
    }

    /// Have the kernel look again on behalf of every armed worker.
    pub(super) fn kick(&self, door: Door) {
        for slot in self.holders(door) {
            self.pool.requeue(slot, door);
        }
        self.pool.rewatch(door);
    }

    /// The kernel says that this worker was stopped, or goes on.
    pub(crate) fn stopped(&self, slot: usize, stopped: bool) {
        if !self.pool.words.is_open(slot) {
            return;
        }
        let row = self.pool.words.row(slot);
        if stopped {
            row.go_away(away::STOPPED);
        } else {
            row.come_back(away::STOPPED);
        }
        (0..self.lanes.len()).for_each(|listener| self.select(listener));
        for listener in 0..self.lanes.len() {
            self.pool.rewatch(Door::own(listener, slot));
        }
        self.repair();
    }

    /// The accept lock goes from `owner` to the least loaded worker.
    pub(super) fn pass_lock(&self, owner: u64) {
        let members = self.members.borrow();
        let open = self.pool.words.open_slots();
        let others = open.filter(|slot| members[*slot] != Some(owner));
        let willing = others.filter(|slot| self.pool.takes_clients(*slot));
        let next = willing.min_by_key(|slot| self.pool.words.row(*slot).load());
        let Some((next, Some(spawn))) = next.map(|slot| (slot, members[slot])) else {
            let _ = self.pool.words.lock().compare_exchange(owner, 0, SeqCst, SeqCst);
            return;
        };
        if lock::grant(&self.pool, owner, next, spawn) && owner != 0 {
            self.count_rescue();
            ::log::warn!("the accept lock was taken from spawn {owner} and given to slot {next}");
            if let Some(old) = members.iter().position(|m| *m == Some(owner)) {
                for listener in 0..self.lanes.len() {
                    self.pool.unregister(old, Door::shared(listener, 0));
                }
            }
        }
    }

    // --- Tokens ---

    /// How many workers are armed at each listener.
    pub(crate) fn set_tokens(&self, tokens: u32) {
        self.tokens.set(tokens.max(1));
        self.set_limits();
        for door in self.pool.doors().filter(|door| !door.is_own()) {
            if self.pool.mode(door.listener).is_queue() && self.pool.top_up(door, MASTER) > 0 {
                self.pool.rewatch(door);
            }
        }
    }

    pub(super) fn set_limits(&self) {
        for door in self.pool.doors().filter(|door| !door.is_own()) {
            let limit = match self.pool.mode(door.listener) {
                Mode::Token => u64::from(self.tokens.get() + self.watch.extra(door)),
                Mode::Shared => u64::MAX,
                _ => 0,
            };
            self.pool.words.limit(door).store(limit, Relaxed);
        }
    }

    /// To be polled (level-triggered, read) by the master's own epoll, and by
    /// nothing else: see [`Schedule::on_sentinel`].
    pub(crate) fn sentinel_fd(&self) -> RawFd {
        self.pool.sentinel.0.as_raw_fd()
    }
}
