//! Accepting, when the schedule gives this worker the turn. flow: W6, L5, L12

use super::{PAUSE, Worker};
use crate::net::{self, AcceptError};
use crate::shm::Gauge;
use std::os::fd::BorrowedFd;

/// How long a worker without free descriptors takes no turn.
const EXHAUSTED_MS: u64 = 100;

impl Worker {
    /// One client per turn: a second one waiting is the next worker's.
    pub(super) fn accept(&self, index: u32) {
        // Armed by the master an instant before its message was read.
        if self.seat.may_accept(index) && self.is_open() {
            self.take_one(index);
        }
    }

    /// Accept one client of this listener. False: there was none.
    pub(super) fn take_one(&self, index: u32) -> bool {
        let Some((fd, tag)) = self.rt.listener(index) else {
            return false;
        };
        #[cfg(feature = "fault")]
        if crate::fault::fallible("accept").is_err() {
            self.exhausted();
            return false;
        }
        // SAFETY: the listener stays open as long as the runtime.
        match net::accept(unsafe { BorrowedFd::borrow_raw(fd) }) {
            Ok(Some((client, peer))) => {
                // The next turn is arranged before any work is done for this client.
                self.seat.accepted(index);
                #[cfg(feature = "fault")]
                crate::fault::hit("token.armed");
                self.child
                    .shared
                    .board
                    .add(self.child.birth.slot, Gauge::Accepted, 1);
                let listener = i32::try_from(index).unwrap_or(-1);
                if let Err(error) = self.reactor().client_add(client, listener, tag, peer) {
                    ::log::warn!("a client was refused: {error}");
                }
                if self.reactor().full() {
                    self.pause();
                }
                true
            }
            Ok(None) => {
                self.seat.empty(index);
                false
            }
            Err(error) => {
                self.accept_failed(index, error);
                false
            }
        }
    }

    fn accept_failed(&self, index: u32, error: AcceptError) {
        self.seat.failed(index);
        match error {
            AcceptError::Transient(_) => {}
            AcceptError::Exhausted(errno) => {
                ::log::warn!(
                    "accept: {}: no new clients for {EXHAUSTED_MS} ms",
                    errno.desc()
                );
                self.exhausted();
            }
            AcceptError::Broken(errno) => {
                ::log::error!("accept on listener {index}: {}: leaving", errno.desc());
                crate::process::exit_now(crate::ffi::DTM_EXIT_FDS);
            }
        }
    }

    fn exhausted(&self) {
        self.pause();
        self.reactor().own_timer(PAUSE, Some(EXHAUSTED_MS));
    }

    fn pause(&self) {
        if !self.paused.replace(true) {
            self.seat.pause();
        }
    }

    pub(super) fn resume(&self) {
        if !self.reactor().full() && self.paused.replace(false) {
            self.seat.resume();
        }
    }
}
