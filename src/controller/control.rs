//! The control listener: operators are clients like a worker's, with a state
//! machine of the service's own. flow: C2, C7

use super::{CONTROL, Controller, METRICS, PAUSE};
use crate::event::Origin;
use crate::net::{self, AcceptError};
use std::os::fd::BorrowedFd;

/// Operators accepted in one pass; the rest wait for the next.
const BATCH: usize = 16;
/// How long a controller accepts nobody that lacks descriptors, or the kernel memory.
const PAUSE_MS: u64 = 100;

impl Controller {
    /// Each by itself: what the kernel has no room for now is tried again later.
    pub(super) fn listen_to_operators(&self) {
        let control = self.rt.control_listener().map(|(fd, _)| (fd, CONTROL));
        let metrics = self.rt.metrics_listener().map(|fd| (fd, METRICS));
        for (fd, token) in control.into_iter().chain(metrics) {
            match self
                .reactor()
                .own_add(fd, libc::EPOLLIN.unsigned_abs(), token)
            {
                Ok(()) => {}
                // It was the other one that failed.
                Err(error) if error.code == -libc::EEXIST => {}
                Err(error) => {
                    let name = if token == CONTROL {
                        "control"
                    } else {
                        "metrics"
                    };
                    ::log::warn!("{name} listener: {error}: not for {PAUSE_MS} ms");
                    self.reactor().own_timer(PAUSE, Some(PAUSE_MS));
                }
            }
        }
    }

    /// Nobody is accepted any more, or not for a while.
    pub(super) fn listen_to_nobody(&self) {
        let control = self.rt.control_listener().map(|(fd, _)| fd);
        for fd in control.into_iter().chain(self.rt.metrics_listener()) {
            self.reactor().own_del(fd);
        }
    }

    pub(super) fn accept_scrapers(&self) {
        let (Some(fd), Ok(console)) = (self.rt.metrics_listener(), self.console()) else {
            return;
        };
        if console.accept_scrapers(self, fd) {
            self.listen_to_nobody();
            self.reactor().own_timer(PAUSE, Some(PAUSE_MS));
        }
    }

    /// Descriptors, or room in the kernel, may be there again.
    pub(super) fn listen_again(&self) {
        if self.acting() {
            self.listen_to_operators();
        }
    }

    pub(super) fn accept_operators(&self) {
        let Some((fd, tag)) = self.rt.control_listener() else {
            return;
        };
        for _ in 0..BATCH {
            // SAFETY: the listener stays open as long as the runtime.
            match net::accept(unsafe { BorrowedFd::borrow_raw(fd) }) {
                Ok(Some((client, peer))) => {
                    if let Err(error) = self
                        .reactor()
                        .client_add(client, Origin::sole(-1, tag, peer))
                    {
                        ::log::warn!("an operator was refused: {error}");
                    }
                }
                Ok(None) | Err(AcceptError::Transient(_)) => return,
                Err(AcceptError::Exhausted(errno)) => {
                    ::log::warn!(
                        "accept on the control listener: {}: not for {PAUSE_MS} ms",
                        errno.desc()
                    );
                    self.listen_to_nobody();
                    return self.reactor().own_timer(PAUSE, Some(PAUSE_MS));
                }
                Err(AcceptError::Broken(errno)) => {
                    ::log::error!("accept on the control listener: {}: leaving", errno.desc());
                    crate::process::exit_now(crate::ffi::DTM_EXIT_FDS);
                }
            }
        }
    }
}
