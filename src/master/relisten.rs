//! Listeners that a reload brings or takes away. A removed one makes no connection any
//! more; what waits there is taken by the old generation as it begins to drain, the rest
//! is passed on, and then it is closed.

use super::Master;
use crate::accept::Door;
use crate::net::{self, AcceptError, Begun};
use crate::sys::now_ms;

/// The old generation has that long to take what waits, ms: it does so before all else,
/// unless it is stopped or in a long step.
const PATIENCE: u64 = 500;
/// A handshake that has begun is over by then, ms.
const HANDSHAKE: u64 = 1_000;
/// How often to look.
const LOOK: u64 = 50;
/// Clients for whom there is nobody are closed with it, ms.
const LIMIT: u64 = 30_000;
/// Clients taken at one look from one socket.
const BATCH: u32 = 256;

pub(super) struct Closing {
    listener: usize,
    since: u64,
    next: u64,
}

impl Master {
    pub(super) fn begin_closing(&mut self) {
        let removed = match self.rt.begin_closing() {
            Ok(removed) => removed,
            Err(error) => return ::log::error!("{error}"),
        };
        for listener in removed {
            if std::mem::take(&mut self.watched[listener])
                && let Some(fd) = self.raw_base(listener)
            {
                self.unwatch(fd);
            }
            let name = self.rt.listener_name(listener).unwrap_or_default();
            ::log::info!("listener {listener} ({name}) closes");
            if let (Some(manager), Some(name)) = (&self.systemd, self.rt.stored_name(listener)) {
                manager.forget(&name);
            }
            let since = now_ms();
            self.closing.push(Closing {
                listener,
                since,
                next: since + PATIENCE,
            });
        }
    }

    /// The new generation is open, and the old one has left the schedule. It is too late to
    /// go back: what failed is told, and tried again at the next reload.
    pub(super) fn show_listeners(&mut self) {
        let Begun { shown, errors, .. } = match self.rt.begin_new() {
            Ok(begun) => begun,
            Err(error) => return ::log::error!("{error}"),
        };
        for error in errors {
            ::log::error!("{error}");
            self.unshown.push(error.text.into_owned());
        }
        for listener in &shown {
            let name = self.rt.listener_name(*listener).unwrap_or_default();
            ::log::info!("listener {listener} ({name}) serves");
        }
        if !shown.is_empty() || !self.closing.is_empty() {
            // Mode auto may be another one now.
            if let Err(error) = self.set_accept_mode(self.overrides.accept_mode()) {
                ::log::error!("{error}");
            }
        }
        if let Some(manager) = self.systemd.as_ref().filter(|_| !shown.is_empty()) {
            self.rt.store_listeners(manager);
        }
    }

    fn raw_base(&self, listener: usize) -> Option<i32> {
        use std::os::fd::AsRawFd;
        let schedule = &self.shared.schedule;
        schedule
            .fd(schedule.base(listener))
            .map(|fd| fd.as_raw_fd())
    }

    pub(super) fn closing_deadline(&self) -> Option<u64> {
        self.closing.iter().map(|c| c.next).min()
    }

    /// Pass on what nobody has taken; close what is empty.
    pub(super) fn tend_closing(&mut self) {
        let now = now_ms();
        for mut closing in std::mem::take(&mut self.closing) {
            if now >= closing.next {
                closing.next = now + LOOK;
                let taken = self.empty_listener(closing.listener);
                let over = taken == 0 && now >= closing.since + HANDSHAKE;
                if over || now >= closing.since + LIMIT {
                    self.rt
                        .end_listener(closing.listener, self.policy.last_spawn());
                    ::log::info!("listener {} is closed", closing.listener);
                    continue;
                }
            }
            self.closing.push(closing);
        }
    }

    /// Another reload comes, and may want the address again.
    pub(super) fn hurry_closing(&mut self) {
        for closing in &mut self.closing {
            closing.next = 0;
            closing.since = closing.since.min(now_ms().saturating_sub(HANDSHAKE));
        }
        self.tend_closing();
    }

    fn empty_listener(&mut self, listener: usize) -> u32 {
        let doors = self.shared.schedule.doors_at(listener);
        doors.into_iter().map(|door| self.empty_door(door)).sum()
    }

    /// Each is kept until a worker takes it.
    fn empty_door(&mut self, door: Door) -> u32 {
        let listener = u32::try_from(door.listener).unwrap_or(0);
        for taken in 0..BATCH {
            let client = match self.shared.schedule.fd(door).map(net::accept) {
                // Broken: it does not listen any more.
                None | Some(Ok(None) | Err(AcceptError::Broken(_))) => return taken,
                Some(Ok(Some((client, _)))) => client,
                Some(Err(AcceptError::Transient(_))) => continue,
                // Nobody knows what waits there.
                Some(Err(AcceptError::Exhausted(_))) => return BATCH,
            };
            self.shared.schedule.was_taken(door);
            let id = self.passing.add(client, listener);
            self.pass(id, None);
        }
        BATCH
    }
}
