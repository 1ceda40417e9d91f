//! The life of a client or watch: what is reported leads to steps, their results to
//! a new interest or to the end.
//!
//! A failed connection (EPOLLHUP, EPOLLERR) is told to the step as DTM_HUP. If it
//! answers DTM_WAIT it is left alone: the fd is taken out of epoll until its interest
//! changes. If it wants to go on it may, to read what came before the end;
//! but when PATIENCE reports in a row find nothing to read, it is closed with
//! DTM_CLOSE_PEER. The peer's mere shutdown is told once, when DTM_HUP is wanted.

use super::entry::{BUSY, ENDING, Entry, FAILED, HUNG_UP, IN_CALL, Kind, NOT_ARMED, TAKEN, small};
use super::poller::{INTEREST, Report, unread};
use super::reactor::Reactor;
use crate::ffi::*;
use crate::guard::callback;

const PATIENCE: u8 = 8;

/// What a result of step or open asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait(u8),
    Keep,
    Taken,
    /// With this DTM_CLOSE_*.
    End(i32),
    /// No result that exists.
    Wrong,
}

impl Verdict {
    pub(super) fn of(result: i32) -> Self {
        const KEEP: u32 = DTM_KEEP.cast_unsigned();
        const DONE: u32 = DTM_DONE.cast_unsigned();
        const TAKEN: u32 = DTM_TAKEN.cast_unsigned();
        let Ok(bits) = u32::try_from(result) else {
            return Self::End(DTM_CLOSE_ERROR);
        };
        match bits {
            KEEP => Self::Keep,
            DONE => Self::End(DTM_CLOSE_DONE),
            TAKEN => Self::Taken,
            bits if bits & !INTEREST == 0 => Self::Wait(small(bits)),
            _ => Self::Wrong,
        }
    }
}

impl Reactor {
    /// The kernel reported something.
    pub(super) fn ready(&self, entry: &Entry, report: &Report) {
        if entry.reason.get() != 0 {
            return; // it ends before this pass does
        }
        if report.hung_up {
            entry.raise(HUNG_UP);
        }
        if report.failed {
            entry.raise(FAILED);
            if unread(entry.fd.get()) == 0 {
                entry.failures.set(entry.failures.get() + 1);
            }
            if entry.failures.get() > PATIENCE {
                return self.end(entry, DTM_CLOSE_PEER);
            }
        } else {
            entry.lower(FAILED);
            entry.failures.set(0);
        }
        if report.events != 0 {
            self.step(entry, report.events);
        }
    }

    /// Its turn in the queue.
    pub(super) fn attend(&self, entry: &Entry) {
        match entry.reason.get() {
            0 if entry.pending.get() != 0 => self.step(entry, 0),
            0 if self.is_drained(entry) => self.end(entry, DTM_CLOSE_DRAIN),
            0 => {}
            reason => self.end(entry, i32::from(reason)),
        }
    }

    /// Its timer is due: activity only left a stamp, so look how old that is.
    pub(super) fn idle(&self, entry: &Entry) {
        if entry.idle_ms.get() == DTM_OFF || entry.reason.get() != 0 {
            return;
        }
        let deadline = entry.stamp.get() + u64::from(entry.idle_ms.get());
        if deadline > self.now_ms() {
            self.arm_timer(entry, deadline);
        } else {
            self.end(entry, DTM_CLOSE_TIMEOUT);
        }
    }

    /// Run a step: what epoll said, and what else there is to tell.
    fn step(&self, entry: &Entry, ready: u32) {
        let events = ready | u32::from(entry.pending.replace(0));
        entry.stamp.set(self.now_ms());
        let life = entry.key();
        entry.raise(IN_CALL);
        let result = self.call_step(entry, events);
        if entry.key() != life {
            return; // released by its own step
        }
        entry.lower(IN_CALL);
        self.settle(entry, result);
    }

    fn call_step(&self, entry: &Entry, events: u32) -> i32 {
        let (rt, user_data) = (self.setup.rt, self.setup.user_data);
        match entry.kind.get() {
            Kind::Client { .. } => match self.setup.step {
                // SAFETY: the service's function, with a living client.
                Some(step) => callback(|| unsafe { step(rt, entry.handle(), events, user_data) }),
                None if entry.has(TAKEN) => DTM_KEEP,
                None => DTM_DONE,
            },
            Kind::Watch {
                step: Some(step), ..
            } => {
                let data = entry.data.get();
                // SAFETY: the service's function, with a living watch.
                callback(|| unsafe { step(rt, entry.handle(), events, data) })
            }
            _ => DTM_DONE,
        }
    }

    /// Carry out what a step or open callback wants.
    pub(super) fn settle(&self, entry: &Entry, result: i32) {
        if entry.reason.get() != 0 {
            return self.end(entry, i32::from(entry.reason.get()));
        }
        match Verdict::of(result) {
            Verdict::Wait(interest) => entry.interest.set(interest),
            Verdict::Keep => {}
            Verdict::Taken if entry.has(TAKEN) => {}
            Verdict::End(reason) => return self.end(entry, reason),
            Verdict::Taken | Verdict::Wrong => {
                ::log::error!("a step returned {result}, which means nothing: closed");
                return self.end(entry, DTM_CLOSE_ERROR);
            }
        }
        if self.is_drained(entry) {
            return self.end(entry, DTM_CLOSE_DRAIN);
        }
        self.arm_or_end(entry);
    }

    /// Tell epoll; an fd that epoll does not take any more is of no use.
    pub(super) fn arm_or_end(&self, entry: &Entry) {
        if entry.has(TAKEN) {
            return;
        }
        if let Err(error) = self.poller.arm(entry) {
            ::log::error!("{error}: closed");
            self.end(entry, DTM_CLOSE_ERROR);
        }
    }

    /// In a drain idle clients go, once they were served what they had sent before.
    fn is_drained(&self, entry: &Entry) -> bool {
        let reads = entry.has(TAKEN) || u32::from(entry.interest.get()) & DTM_READ != 0;
        self.draining.get()
            && entry.is_client()
            && !entry.has(BUSY)
            && !(reads && unread(entry.fd.get()) > 0)
    }

    /// The end, exactly once, for the first reason there was. An entry whose callback
    /// is running ends after it.
    pub(super) fn end(&self, entry: &Entry, reason: i32) {
        if entry.has(ENDING) {
            return;
        }
        if entry.reason.get() == 0 {
            entry.reason.set(small(reason.cast_unsigned()));
        }
        if entry.has(IN_CALL) {
            return;
        }
        entry.raise(ENDING);
        self.disarm_timer(entry);
        // Out of epoll first: what other processes may hold open would go on reporting.
        let ours = entry.armed.get() == NOT_ARMED || self.poller.delete(entry.fd.get());
        self.call_close(entry, i32::from(entry.reason.get()));
        if ours {
            // SAFETY: the entry owns the fd. Not an OwnedFd: should the service have
            // closed it by mistake, EBADF here is its only consequence.
            unsafe { libc::close(entry.fd.get()) };
        } else {
            ::log::error!(
                "fd {} was closed by the service, it is libdtm's to close",
                entry.fd.get()
            );
        }
        if entry.is_client() {
            self.set_busy(entry, false);
            self.clients.set(self.clients.get() - 1);
        }
        self.slab.give(entry);
    }

    fn call_close(&self, entry: &Entry, reason: i32) {
        let rt = self.setup.rt;
        match entry.kind.get() {
            Kind::Client { .. } => {
                if let Some(close) = self.setup.close {
                    // SAFETY: the service's function, with a client that lives until it returns.
                    callback(|| unsafe { close(rt, entry.handle(), reason, self.setup.user_data) });
                }
            }
            Kind::Watch {
                close: Some(close), ..
            } => {
                let data = entry.data.get();
                // SAFETY: the service's function, with a watch that lives until it returns.
                callback(|| unsafe { close(rt, entry.handle(), reason, data) });
            }
            _ => {}
        }
    }
}
