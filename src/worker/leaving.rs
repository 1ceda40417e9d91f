//! Leaving: no new client, idle ones closed, busy ones finish up to a deadline.
//! flow: W4, W9, W10, L15

use super::Worker;
use super::gate::Gate;
use crate::accept::Door;
use crate::child::{Cause, DEADLINE};
use crate::ffi::*;
use crate::master::policy::Order;
use crate::net;
use crate::process::lifeline;
use crate::shm::Doing;

/// At the very end of a service, clients that are queued already are still
/// served, but not for ever.
const LAST_TURNS: u32 = 1024;

impl Worker {
    /// After every pass: begin to leave, or end it.
    pub(super) fn carry_on_leaving(&self) {
        let Some((order, cause)) = self.child.leaving() else {
            return;
        };
        if order == Order::Stop {
            self.gate.set(Gate::Closed);
            self.reactor().close_clients(DTM_CLOSE_SHUTDOWN);
            return self.done.set(Some(status(cause)));
        }
        if !self.drain_began.replace(true) {
            self.begin_drain(cause);
        }
        if self.reactor().clients() == 0 {
            self.done.set(Some(status(cause)));
        }
    }

    fn begin_drain(&self, cause: Cause) {
        ::log::debug!("draining {} clients", self.reactor().clients());
        let was_open = self.is_open();
        let has_successor = self.seat.leave();
        if was_open && !has_successor && cause != Cause::Orphaned {
            self.take_the_rest();
        }
        self.gate.set(Gate::Closed);
        if cause == Cause::Orphaned {
            self.rt.close_listeners();
            self.child.shared.schedule.keep_doors_of(None);
        }
        let limit = match cause {
            Cause::Orphaned => Some(u64::from(lifeline::DRAIN_SECONDS) * 1000),
            _ => self.rt.config().drain_timeout,
        };
        self.reactor().own_timer(DEADLINE, limit);
        self.reactor().start_drain();
        if let Some(drain) = self.rt.callbacks.worker_drain {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Drain, || unsafe {
                drain(self.rt.handle(), self.rt.user_data)
            });
        }
    }

    /// Nobody else will serve them: take what is queued.
    fn take_the_rest(&self) {
        let listens = |door: &Door| self.seat.fd(*door).is_some_and(net::listens);
        for door in self.seat.doors().filter(listens) {
            for _ in 0..LAST_TURNS {
                if self.reactor().full() || !self.take_one(door) {
                    break;
                }
            }
        }
    }

    pub(super) fn deadline(&self) {
        let clients = self.reactor().clients();
        ::log::warn!("drain deadline: closing {clients} clients that are still busy");
        self.reactor().close_clients(DTM_CLOSE_DEADLINE);
    }
}

fn status(cause: Cause) -> i32 {
    if cause == Cause::Orphaned {
        DTM_EXIT_ORPHAN
    } else {
        0
    }
}
