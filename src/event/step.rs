//! The life of a client or watch: what is reported leads to steps, their results to
//! a new interest or to the end.
//!
//! A failed connection (EPOLLHUP, EPOLLERR) is told to the step as DTM_HUP. If it
//! answers DTM_WAIT it is left alone: the fd is taken out of epoll until its interest
//! changes. If it wants to go on it may, to read what came before the end;
//! but when PATIENCE reports in a row find nothing to read, it is closed with
//! DTM_CLOSE_PEER. The peer's mere shutdown is told once, when DTM_HUP is wanted.

use super::clock::NS_PER_MS;
use super::entry::{
    BUSY, ENDING, Entry, FAILED, HUNG_UP, IN_CALL, Kind, NOT_ARMED, SHARED, TAKEN, UNSTEADY, small,
};
use super::handle::{Object, callback_on};
use super::poller::{EPOLLIN, INTEREST, is_trouble, report, unread, wanted};
use super::reactor::Reactor;
use crate::error::Result;
use crate::ffi::*;
use crate::shm::{Doing, Note};

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

/// The step of clients where the service has none: it takes them, or has no use for them.
pub(super) unsafe extern "C-unwind" fn no_step(
    _: *mut dtm_t,
    client: *mut dtm_client_t,
    _: u32,
    _: *mut std::ffi::c_void,
) -> i32 {
    match Entry::behind(client).is_some_and(|client| client.has(TAKEN)) {
        true => DTM_KEEP,
        false => DTM_DONE,
    }
}

impl Reactor {
    /// The kernel reported something, in the pass that began at `now`: nearly always bytes,
    /// to an entry that waits for those and nothing else.
    #[inline(always)]
    pub(super) fn ready(&self, entry: &Entry, bits: u32, now: u64) {
        if bits == EPOLLIN && entry.steady.get() == small(DTM_READ) {
            self.run_step(entry, DTM_READ, now);
        } else {
            self.ready_else(entry, bits, now);
        }
    }

    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn ready_else(&self, entry: &Entry, bits: u32, now: u64) {
        let steady = u32::from(entry.steady.get());
        if steady == u32::from(UNSTEADY) || is_trouble(bits) {
            return self.look_closer(entry, bits);
        }
        let events = wanted(bits) & steady;
        if events != 0 {
            self.run_step(entry, events, now);
        }
    }

    /// Not the usual report of an entry in the usual state.
    #[cold]
    #[inline(never)]
    fn look_closer(&self, entry: &Entry, bits: u32) {
        if entry.reason.get() != 0 {
            return; // it ends before this pass does
        }
        let report = report(bits, entry.interest.get());
        if report.hung_up {
            entry.unsettle();
            entry.raise(HUNG_UP);
        }
        if report.failed {
            entry.unsettle();
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
        let deadline = entry.stamp.get() / NS_PER_MS + u64::from(entry.idle_ms.get());
        let now = self.now_ms();
        if deadline > now {
            self.arm_timer(entry, deadline);
        } else if entry.pending.get() != 0 || self.poller.reports(entry) {
            // It was in time, and we were late: its step comes next.
            self.arm_timer(entry, now + 1);
        } else {
            self.end(entry, DTM_CLOSE_TIMEOUT);
        }
    }

    /// Run a step: what epoll said, and what else there is to tell.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn step(&self, entry: &Entry, ready: u32) {
        // It may have another one in this pass.
        self.progress.get().begin(Note::step(entry.id.get()));
        let events = ready | u32::from(entry.pending.replace(0));
        // To be told of the drain is nothing that the client did: one that has just come is
        // spared until its first request.
        let active = match events {
            DTM_DRAIN => entry.stamp.get(),
            _ => self.now.get(),
        };
        self.run_step(entry, events, active);
    }

    #[inline(always)]
    fn run_step(&self, entry: &Entry, events: u32, now: u64) {
        entry.stamp.set(now);
        entry.raise(IN_CALL);
        let result = if entry.is_client() {
            self.progress.get().step(Note::step(entry.id.get()));
            let (rt, user_data) = (self.setup.rt, self.setup.user_data);
            let (client, step) = (entry.handle(), self.client_step);
            // SAFETY: the service's function, with a living client.
            let call = || unsafe { step(rt, client, events, user_data) };
            callback_on(entry, Object::Client, call)
        } else {
            match self.step_watch(entry, events) {
                Some(result) => result,
                None => return,
            }
        };
        entry.lower(IN_CALL);
        let steady = entry.steady.get();
        if steady == UNSTEADY || i32::from(steady) != result {
            self.settle(entry, result);
        }
    }

    /// None: it was released by its own step.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn step_watch(&self, entry: &Entry, events: u32) -> Option<i32> {
        let Kind::Watch {
            step: Some(step), ..
        } = entry.kind.get()
        else {
            return Some(DTM_DONE);
        };
        self.begin(Doing::WatchStep, entry);
        let (rt, watch, data) = (self.setup.rt, entry.handle(), entry.data.get());
        let life = entry.key();
        // SAFETY: the service's function, with a living watch.
        let call = || unsafe { step(rt, watch, events, data) };
        let result = callback_on(entry, Object::Watch, call);
        entry.has_key(life).then_some(result)
    }

    /// Carry out what a step or open callback wants.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn settle(&self, entry: &Entry, result: i32) {
        if result == DTM_KEEP && entry.steady.get() != UNSTEADY {
            return;
        }
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
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn arm_or_end(&self, entry: &Entry) {
        if entry.has(TAKEN) {
            return;
        }
        if let Err(error) = self.arm(entry) {
            ::log::error!("{error}: closed");
            self.end(entry, DTM_CLOSE_ERROR);
        }
    }

    /// Bring epoll up to date, and note what the next step may leave as it is. In a
    /// drain there is always something to see to.
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn arm(&self, entry: &Entry) -> Result<()> {
        let done = self.poller.arm(entry);
        let (interest, armed) = (entry.interest.get(), entry.armed.get());
        let drains = self.draining.get() && entry.is_client();
        let steady = interest == armed
            && entry.pending.get() == 0
            && entry.reason.get() == 0
            && !entry.has(FAILED)
            && !drains;
        entry.steady.set(match steady {
            true => interest,
            false => UNSTEADY,
        });
        done
    }

    /// In a drain idle clients go, once they were served what they had sent before.
    fn is_drained(&self, entry: &Entry) -> bool {
        let reads = entry.has(TAKEN) || u32::from(entry.interest.get()) & DTM_READ != 0;
        self.draining.get()
            && entry.is_client()
            && !entry.has(BUSY)
            && !self.is_spared(entry)
            && !(reads && unread(entry.fd.get()) > 0)
    }

    /// Nothing came from it since the drain began, and such clients may stay.
    fn is_spared(&self, entry: &Entry) -> bool {
        let since = self.spares.get();
        since != 0 && entry.stamp.get() <= since
    }

    /// The end, exactly once, for the first reason there was. An entry whose callback
    /// is running ends after it.
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn end(&self, entry: &Entry, reason: i32) {
        if entry.has(ENDING) {
            return;
        }
        if entry.reason.get() == 0 {
            entry.reason.set(small(reason.cast_unsigned()));
            entry.unsettle();
        }
        if entry.has(IN_CALL) {
            return;
        }
        entry.raise(ENDING);
        self.disarm_timer(entry);
        let ours = self.leave_epoll(entry);
        if entry.fd.get() >= 0 {
            self.call_close(entry, i32::from(entry.reason.get()));
        }
        if entry.fd.get() < 0 {
            // Released, before or by that callback: whoever has it closes it.
        } else if ours {
            if entry.is_stray() && !crate::process::fork::has_forked() {
                // Else the peer would not see the end before that worker goes on.
                // SAFETY: as below.
                unsafe { libc::shutdown(entry.fd.get(), libc::SHUT_RDWR) };
            }
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
            self.stir();
            self.leave_busy(entry, reason == DTM_CLOSE_DONE);
            self.clients.set(self.clients.get() - 1);
        }
        self.give(entry);
    }

    /// Before its fd is closed. The kernel takes it out of epoll by itself when the
    /// last descriptor of it goes; one that somebody else has would keep it there,
    /// reporting for ever. False: it is not the fd that was put there.
    fn leave_epoll(&self, entry: &Entry) -> bool {
        let sole = entry.is_client() && !entry.has(SHARED) && !crate::process::fork::has_forked();
        sole || entry.armed.get() == NOT_ARMED || self.poller.delete(entry.fd.get())
    }

    fn call_close(&self, entry: &Entry, reason: i32) {
        let rt = self.setup.rt;
        match entry.kind.get() {
            Kind::Client { .. } => {
                if let Some(close) = self.setup.close {
                    self.begin(Doing::Close, entry);
                    let client = entry.handle();
                    // SAFETY: the service's function, with a client that lives until it returns.
                    let call = || unsafe { close(rt, client, reason, self.setup.user_data) };
                    callback_on(entry, Object::Client, call);
                }
            }
            Kind::Watch {
                close: Some(close), ..
            } => {
                self.begin(Doing::WatchClose, entry);
                let (watch, data) = (entry.handle(), entry.data.get());
                // SAFETY: the service's function, with a watch that lives until it returns.
                let call = || unsafe { close(rt, watch, reason, data) };
                callback_on(entry, Object::Watch, call);
            }
            _ => {}
        }
    }
}
