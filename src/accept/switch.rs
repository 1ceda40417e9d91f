//! The mode in force, and changing it on the running service. No step has to be
//! undone or waited for: whoever is still registered where he was accepts what
//! comes there, and what nobody is registered for is passed on by the master.

use super::choose::MASTER;
use super::door::Door;
use super::handover::HandOver;
use super::lane::Lane;
use super::mode::Mode;
use super::resolve::{Abilities, resolve};
use super::schedule::Schedule;
use super::words::Told;
use crate::bpf::away;
use crate::config::AcceptMode;
use crate::error::{Error, Result};
use crate::ffi::DTM_EFAILED;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::*;

/// What [`Schedule::set_mode`] has done.
pub(crate) struct Switched {
    /// It is another mode than before.
    pub(crate) changed: bool,
    /// The kernel chooses among the sockets as this mode wants it.
    pub(crate) chosen: Result<()>,
}

impl Schedule {
    fn resolve(&self, wanted: AcceptMode) -> Result<(Mode, String)> {
        let lanes = self.lanes.wanted();
        let can = Abilities {
            inet: lanes.iter().filter(|(_, lane)| lane.inet).count(),
            listeners: lanes.len(),
            no_steer: self.steer.borrow().as_ref().err().cloned(),
        };
        resolve(wanted, &can).map_err(|why| Error::new(DTM_EFAILED, why))
    }

    /// Can this mode be had? The text says which one it is, or why not.
    pub(crate) fn check_mode(&self, wanted: AcceptMode) -> Result<String> {
        self.resolve(wanted).map(|(_, text)| text)
    }

    /// Have this mode from now on, with all that waits and all that is armed. Where the
    /// kernel did not take over the choice before, it is asked again.
    pub(crate) fn set_mode(&self, wanted: AcceptMode) -> Result<Switched> {
        let (mode, _) = self.resolve(wanted)?;
        self.pool
            .words
            .told(Told::Wanted)
            .store(wanted.number().into(), Relaxed);
        let changed = mode != self.current.get();
        if changed {
            self.current.set(mode);
            for (listener, lane) in self.lanes.serving() {
                self.leave_mode(listener, self.pool.mode(listener));
                self.pool.words.set_mode(listener, self.mode_at(lane.inet));
                self.enter_mode(listener);
            }
        }
        let serving = self.lanes.serving();
        let chosen = serving
            .iter()
            .try_for_each(|(listener, _)| self.choose(*listener));
        Ok(Switched { changed, chosen })
    }

    pub(crate) fn mode(&self) -> Mode {
        self.current.get()
    }

    pub(super) fn leave_mode(&self, listener: usize, mode: Mode) {
        for slot in 0..self.pool.slots() {
            for door in self.pool.doors_of(slot, listener) {
                self.pool.unregister(slot, door);
            }
            self.pool.release(slot, listener);
            self.pool.words.row(slot).come_back(away::HUNG);
        }
        if mode == Mode::Lock {
            self.pool.words.lock().store(0, SeqCst);
        }
    }

    pub(super) fn enter_mode(&self, listener: usize) {
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
        if self.lanes.serving_at(listener).is_none() {
            return;
        }
        if !wanted {
            self.pool.unwatch(base);
            self.forget_door(base);
        } else {
            self.observe_door(base);
        }
    }

    /// The worker of this slot takes its place at this listener.
    pub(super) fn join(&self, slot: usize, listener: usize) {
        let mode = self.pool.mode(listener);
        if mode.is_own() {
            self.open_own(slot, listener);
        } else if mode.is_queue() {
            let door = self.pool.shared_door(slot, listener);
            if self.pool.top_up(door, MASTER) > 0 {
                self.pool.rewatch(door);
            }
        } else if mode == Mode::Lock && self.pool.words.lock().load(SeqCst) == 0 {
            self.pass_lock(0);
        }
    }

    fn open_own(&self, slot: usize, listener: usize) {
        let door = Door::own(listener, slot);
        let Some(lane) = self.lanes.serving_at(listener) else {
            return;
        };
        // It gets its place with the program when that chooses: see select().
        if let Err(error) = lane.open(door) {
            // The base door is there, and the master passes on what comes to it.
            ::log::warn!("slot {slot} gets no socket of its own: {error}");
        }
        if let Ok(steer) = &*self.steer.borrow() {
            let rows = self
                .pool
                .words
                .open_slots()
                .max()
                .map_or(0, |last| last + 1);
            steer.set_rows(rows);
        }
        if self.pool.fd(door).is_none() {
            return;
        }
        if let Err(errno) = self.pool.register(slot, door) {
            // Tried again when somebody waits there, see relieve().
            ::log::warn!("epoll_ctl of the socket of slot {slot}: {}", errno.desc());
        }
        // Behind its owner.
        self.pool.unwatch(door);
        self.observe_door(door);
    }

    /// Which socket of the group gets the next connection.
    pub(super) fn select(&self, listener: usize) {
        if let Err(error) = self.choose(listener) {
            ::log::error!("{error}");
        }
    }

    /// The same. Where it fails the kernel goes on as before, and what comes to a socket
    /// that nobody serves is passed on.
    fn choose(&self, listener: usize) -> Result<()> {
        if self.passive.get() {
            return Ok(());
        }
        let Some(lane) = self.lanes.serving_at(listener) else {
            return Ok(());
        };
        let mode = self.pool.mode(listener);
        let door = |slot| match mode {
            Mode::Steer | Mode::Hash => Door::own(listener, slot),
            Mode::Token | Mode::Shared => self.pool.shared_door(slot, listener),
            Mode::Pass | Mode::Lock => Door::shared(listener, 0),
        };
        let doors: Vec<Door> = self.selectable().map(door).collect();
        let chosen = match mode {
            Mode::Steer if self.steer(listener, &lane) => Ok(()),
            Mode::Steer => lane.choose_by_hash(&doors),
            _ => {
                self.held.forget(listener);
                lane.choose_by_hash(&doors)
            }
        };
        let queues = doors.iter().copied().collect::<BTreeSet<_>>().len();
        let queues = u64::try_from(queues).unwrap_or(0);
        self.pool.words.queues(listener).store(queues, Relaxed);
        chosen.map_err(|error| {
            let text = format!("listener {listener}: {error}: connections are spread as before");
            Error::new(error.code, text)
        })
    }

    /// False: not now. What chooses instead replaces the program of whoever is in the way, so
    /// that it can be freed.
    fn steer(&self, listener: usize, lane: &Lane) -> bool {
        let steer = self.steer.borrow();
        let Ok(steer) = &*steer else { return false };
        let chosen = lane.choose_by_load(steer, listener);
        match &chosen {
            Err(error) if error.code == -libc::EBUSY => {
                self.held.note(listener, crate::sys::now_ms());
                return false;
            }
            Err(error) => ::log::error!("listener {listener}: {error}: spread by the hash"),
            Ok(()) => {}
        }
        self.held.forget(listener);
        chosen.is_ok()
    }
}
