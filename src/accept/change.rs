//! Listeners that a reload adds or removes. Those that it adds are known to the workers
//! that are forked from then on, and to nobody else: an older one is told of none of them,
//! and has left the schedule before they serve.

use super::door::Door;
use super::handover::HandOver;
use super::lane::Lane;
use super::lanes::Stage;
use super::mode::Mode;
use super::schedule::{Schedule, Socket};
use crate::error::Result;
use crate::net::syn;
use std::sync::atomic::Ordering::*;

impl Schedule {
    /// A listener that is to serve later.
    pub(crate) fn expect(&self, listener: usize, socket: Socket) -> Result<()> {
        if socket.inet {
            self.prepare_to_steer(listener)?;
        }
        let words = &self.pool.words;
        words.forget_clients(listener);
        words.closing(listener).store(0, SeqCst);
        words.set_mode(listener, Mode::Pass); // nobody stands in a queue there
        self.pool.add(listener, socket.fd, socket.inet);
        self.begin_drops(listener);
        let lane = Lane::new(socket.fd, socket.inet, socket.backlog);
        self.lanes.add(listener, lane);
        Ok(())
    }

    /// Without a program for it, mode steer is not to be had, or not any more.
    fn prepare_to_steer(&self, listener: usize) -> Result<()> {
        let mut steer = self.steer.borrow_mut();
        let Ok(loaded) = &mut *steer else {
            return Ok(());
        };
        match loaded.prepare(listener) {
            Err(error) if self.current.get() == Mode::Steer => Err(error),
            Err(error) => {
                *steer = Err(error.text.into_owned());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// From now on it serves. Whoever is open knows it.
    pub(crate) fn serve(&self, listener: usize) {
        let Some(lane) = self.lanes.get(listener) else {
            return;
        };
        lane.set_stage(Stage::Serving);
        self.pool.words.tell_serving(listener, true);
        self.pool.words.set_mode(listener, self.mode_at(lane.inet));
        self.open_groups();
        self.enter_mode(listener);
    }

    /// What the mode in force is at a listener of this kind.
    pub(super) fn mode_at(&self, inet: bool) -> Mode {
        match self.current.get() {
            mode if mode.is_own() && !inet => Mode::Token,
            mode => mode,
        }
    }

    /// It serves no more: no connection is made there any more, and who drains from now
    /// on takes what waits.
    pub(crate) fn close(&self, listener: usize) {
        let Some(lane) = self.lanes.get(listener) else {
            return;
        };
        self.finish_drops();
        self.observe(listener, false);
        self.held.forget(listener);
        lane.set_stage(Stage::Closing);
        self.pool.words.tell_serving(listener, false);
        if lane.inet
            && !self.passive.get()
            && let Err(error) = lane.choose_by_hash(&[])
        {
            ::log::warn!("listener {listener}: {error}");
        }
        self.leave_mode(listener, self.pool.mode(listener));
        self.pool.words.set_mode(listener, Mode::Pass);
        self.pool.words.closing(listener).store(1, SeqCst);
        for door in self.doors_at(listener) {
            self.pool.unwatch(door);
            self.watch.forget(door);
        }
        if lane.inet {
            for (_, fd) in lane.opened() {
                syn::refuse(fd);
            }
        }
    }

    /// Where its clients may wait.
    pub(crate) fn doors_at(&self, listener: usize) -> Vec<Door> {
        let doors = self.pool.doors();
        doors.filter(|door| door.listener == listener).collect()
    }

    /// It is gone; the base is the caller's to close.
    pub(crate) fn drop_listener(&self, listener: usize) {
        let Some(lane) = self.lanes.get(listener) else {
            return;
        };
        for door in self.doors_at(listener) {
            for slot in 0..self.pool.slots() {
                self.pool.unregister(slot, door);
            }
            self.pool.unwatch(door);
        }
        for (_, fd) in lane.opened() {
            syn::end(fd); // whoever has it, too
        }
        if let Ok(steer) = &mut *self.steer.borrow_mut() {
            steer.forget(listener);
        }
        self.pool.forget(listener);
        self.pool.words.queues(listener).store(0, Relaxed);
        self.lanes.remove(listener);
    }

    /// In a child that has no business with it.
    pub(crate) fn forget_listener(&self, listener: usize) {
        self.pool.forget(listener);
        self.lanes.remove(listener);
    }

    /// Another length of its queues.
    pub(crate) fn set_backlog(&self, listener: usize, backlog: u32) {
        if let Some(lane) = self.lanes.get(listener) {
            lane.set_backlog(backlog);
        }
    }
}
