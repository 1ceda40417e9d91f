//! Leaving: no new client, idle ones closed, busy ones finish up to a deadline.
//! flow: W4, W9, W10, L15

use super::Worker;
use super::gate::Gate;
use crate::accept::Door;
use crate::child::{Cause, DEADLINE};
use crate::config::DrainIdle;
use crate::ffi::*;
use crate::master::policy::Order;
use crate::net;
use crate::process::lifeline;
use crate::shm::Doing;
use crate::shm::Gauge;

/// At the very end of a service, clients that are queued already are still
/// served, but not for ever.
const LAST_TURNS: u32 = 1024;
/// So many stragglers are named in the log; a line each.
const NAMED: usize = 8;
const ORPHAN_MS: u64 = lifeline::DRAIN_SECONDS as u64 * 1000;

impl Worker {
    /// After every pass: begin to leave, or end it.
    #[inline(always)]
    pub(super) fn carry_on_leaving(&self) {
        if let Some((order, cause)) = self.child.leaving() {
            self.leave_on(order, cause);
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_on(&self, order: Order, cause: Cause) {
        if order == Order::Stop {
            self.gate.set(Gate::Closed);
            self.reactor().close_clients(DTM_CLOSE_SHUTDOWN);
            return self.done.set(Some(status(cause)));
        }
        if !self.drain_began.replace(true) {
            self.begin_drain(cause);
        }
        if cause == Cause::Orphaned && !self.orphan.replace(true) {
            self.drain_as_orphan();
        }
        if order == Order::Expire && !self.expired.get() {
            self.expire();
        }
        if self.reactor().clients() == 0 {
            self.done.set(Some(status(cause)));
        }
    }

    fn begin_drain(&self, cause: Cause) {
        ::log::debug!("draining {} clients", self.reactor().clients());
        let was_open = self.is_open();
        let has_successor = self.seat.leave();
        if was_open {
            self.take_closing();
        }
        let last_look = !has_successor || self.seat.is_handed();
        if was_open && last_look && cause != Cause::Orphaned {
            self.take_the_rest();
        }
        self.gate.set(Gate::Closed);
        let limit = match cause {
            Cause::Orphaned => Some(ORPHAN_MS),
            _ => self.rt.config().drain_timeout,
        };
        // Half of it, to say then who is still busy.
        self.reactor().own_timer(DEADLINE, limit.map(|ms| ms / 2));
        self.drain_limit.set(limit.unwrap_or(0));
        self.drain_until
            .set(limit.map(|ms| crate::sys::now_ms() + ms));
        match self.rt.config().drain_idle {
            DrainIdle::Close => self.reactor().start_drain(),
            DrainIdle::Keep => self.reactor().start_patient_drain(),
        }
        if let Some(drain) = self.rt.callbacks.worker_drain {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Drain, || unsafe {
                drain(self.rt.handle(), self.rt.user_data)
            });
        }
    }

    /// Whoever starts the service anew needs the addresses, and nobody sees this one off. Also
    /// when it was draining already.
    fn drain_as_orphan(&self) {
        self.rt.close_listeners();
        self.child.shared.schedule.keep_doors_of(None);
        let has_longer = self.drain_left_ms().is_none_or(|left| left > ORPHAN_MS);
        if has_longer && !self.expired.get() {
            self.drain_limit.set(0);
            self.drain_until.set(Some(crate::sys::now_ms() + ORPHAN_MS));
            self.reactor().own_timer(DEADLINE, Some(ORPHAN_MS));
        }
    }

    /// How long the drain may take yet; None: there is none, or it has no limit.
    pub(super) fn drain_left_ms(&self) -> Option<u64> {
        let until = self.drain_until.get()?;
        Some(until.saturating_sub(crate::sys::now_ms()))
    }

    /// Nobody else will serve them: take what is queued.
    fn take_the_rest(&self) {
        let listens = |door: &Door| self.seat.fd(*door).is_some_and(net::listens);
        self.seat
            .doors()
            .filter(listens)
            .for_each(|door| self.empty(door));
    }

    /// Nor, where the new generation does not listen any more.
    fn take_closing(&self) {
        let closing: Vec<Door> = self
            .seat
            .doors()
            .filter(|door| self.seat.closes(*door))
            .collect();
        for door in &closing {
            self.empty(*door);
        }
        for door in closing {
            self.rt.forget_listener(door.listener);
        }
    }

    fn empty(&self, door: Door) {
        for _ in 0..LAST_TURNS {
            if self.reactor().full() || !self.take_one(door) {
                return;
            }
        }
    }

    /// The drain's timer: half of its time is over, then all of it, then what comes
    /// after it.
    pub(super) fn deadline(&self) {
        let limit = self.drain_limit.replace(0);
        if limit > 0 && !self.expired.get() {
            self.name_the_busy("is still busy", limit - limit / 2);
            return self.reactor().own_timer(DEADLINE, Some(limit - limit / 2));
        }
        self.expire();
    }

    /// The time is over. Those whose last request is being read are served it yet.
    fn expire(&self) {
        let reactor = self.reactor();
        let late = if self.expired.replace(true) {
            let left = reactor.clients();
            reactor.close_clients(DTM_CLOSE_DEADLINE);
            left
        } else {
            self.name_the_busy("is closed at the drain's deadline", 0);
            reactor.own_timer(DEADLINE, Some(self.rt.config().kill_grace / 2));
            reactor.expire_drain()
        };
        if late > 0 {
            ::log::warn!("drain deadline: {late} clients were still busy and are closed");
        }
        self.child.gauges.add(Gauge::Late, u64::from(late));
    }

    fn name_the_busy(&self, what: &str, left_ms: u64) {
        let busy = self.reactor().busy();
        for client in self.reactor().busy_clients(NAMED) {
            ::log::warn!("drain: {client}, {what}");
        }
        let more = busy.saturating_sub(u32::try_from(NAMED).unwrap_or(0));
        if more > 0 {
            ::log::warn!("drain: {more} more clients, too");
        }
        if busy > 0 && left_ms > 0 {
            ::log::warn!("drain: {busy} busy clients have {left_ms} ms left");
        }
    }
}

fn status(cause: Cause) -> i32 {
    if cause == Cause::Orphaned {
        DTM_EXIT_ORPHAN
    } else {
        0
    }
}
