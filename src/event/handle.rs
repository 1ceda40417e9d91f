//! What clients and watches have in common behind the API: handles that may be
//! stale, interest, wake-ups, idle timeouts, and being closed by somebody else.

use super::entry::{Entry, IN_CALL, TAKEN, small};
use super::poller::INTEREST;
use super::reactor::Reactor;
use crate::error::{Error, Result};
use crate::ffi::*;

impl Reactor {
    /// The entry behind a handle: alive, be it only for its close callback.
    pub(super) fn entry<T>(
        &self,
        handle: *const T,
        of_kind: fn(&Entry) -> bool,
        what: &str,
    ) -> Result<&Entry> {
        match self.slab.of_handle(handle) {
            None => Err(Error::invalid(format!("this is no {what} of libdtm"))),
            Some(entry) if of_kind(entry) => Ok(entry),
            Some(_) => Err(gone(what)),
        }
    }

    /// ... and not about to end.
    pub(super) fn open_entry<T>(
        &self,
        handle: *const T,
        of_kind: fn(&Entry) -> bool,
        what: &str,
    ) -> Result<&Entry> {
        let entry = self.entry(handle, of_kind, what)?;
        match entry.reason.get() {
            0 => Ok(entry),
            _ => Err(gone(what)),
        }
    }

    /// Takes effect at once; in its own step at the end of that, if the result is
    /// DTM_KEEP.
    pub(super) fn set_interest(&self, entry: &Entry, interest: u32) -> Result<()> {
        let interest = interest_bits(interest)?;
        if entry.has(TAKEN) {
            return Err(Error::new(
                DTM_ESTATE,
                "the service polls this fd by itself",
            ));
        }
        entry.interest.set(interest);
        if entry.has(IN_CALL) {
            return Ok(());
        }
        self.poller
            .arm(entry)
            .inspect_err(|_| self.ask_to_end(entry, DTM_CLOSE_ERROR))
    }

    pub(super) fn wake(&self, entry: &Entry) {
        entry.pending.set(entry.pending.get() | small(DTM_WAKE));
        self.enqueue(entry);
    }

    /// Activity, and a new idle timeout (DTM_OFF: none). A timer that is armed for
    /// an earlier time stays: it will find out.
    pub(super) fn rearm_idle(&self, entry: &Entry, ms: u32) {
        let now = self.now_ms();
        entry.stamp.set(now);
        entry.idle_ms.set(ms);
        if ms == DTM_OFF {
            return self.disarm_timer(entry);
        }
        let deadline = now + u64::from(ms);
        if !entry.node.is_armed() || entry.node.deadline() > deadline {
            self.arm_timer(entry, deadline);
        }
    }

    /// It ends when its own callback returns, otherwise by its turn in the queue.
    pub(super) fn ask_to_end(&self, entry: &Entry, reason: i32) {
        entry.reason.set(small(reason.cast_unsigned()));
        if !entry.has(IN_CALL) {
            self.enqueue(entry);
        }
    }
}

pub(super) fn interest_bits(interest: u32) -> Result<u8> {
    match interest & !INTEREST {
        0 => Ok(small(interest)),
        _ => Err(Error::invalid(format!(
            "interest {interest:#x} is not made of DTM_READ, DTM_WRITE and DTM_HUP"
        ))),
    }
}

fn gone(what: &str) -> Error {
    Error::new(DTM_EGONE, format!("the {what} is closed, or about to be"))
}
