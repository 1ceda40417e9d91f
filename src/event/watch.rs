//! Watches: any other fd, with a step of its own.

use super::entry::{Entry, Kind};
use super::handle::{Object, ask, interest_bits, open};
use super::reactor::Reactor;
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard::{CHILD, forget_object};
use std::ffi::c_void;

fn open_watch<'a>(watch: *const dtm_watch_t) -> Result<&'a Entry> {
    open(watch, Object::Watch)
}

/// Ask a watch for something, or give it a word to keep.
#[inline(always)]
pub(crate) fn ask_watch<T: Answer>(watch: *const dtm_watch_t, get: impl Fn(&Entry) -> T) -> T::C {
    ask(watch, CHILD, Object::Watch, get)
}

impl Reactor {
    /// Takes the fd, unless it fails.
    pub(crate) fn watch_add(
        &self,
        fd: i32,
        interest: u32,
        step: dtm_watch_step_cb,
        close: dtm_watch_close_cb,
        data: *mut c_void,
    ) -> Result<*mut dtm_watch_t> {
        let interest = interest_bits(interest)?;
        if step.is_none() {
            return Err(Error::invalid("a watch needs a step"));
        }
        self.check_up()?;
        let entry = self.slab.take(Kind::Watch { step, close }, fd, data)?;
        entry.interest.set(interest);
        if let Err(error) = self.arm(entry) {
            self.give(entry);
            return Err(error);
        }
        self.rearm_idle(entry, self.setup.watch_timeout_ms);
        Ok(entry.handle())
    }

    /// Something new is taken on only as long as the process is not leaving.
    pub(super) fn check_up(&self) -> Result<()> {
        match self.down.get() {
            false => Ok(()),
            true => Err(Error::new(DTM_ESTATE, "this process is shutting down")),
        }
    }

    pub(crate) fn watch_set_interest(
        &self,
        watch: *const dtm_watch_t,
        interest: u32,
    ) -> Result<()> {
        self.set_interest(open_watch(watch)?, interest)
    }

    pub(crate) fn watch_wake(&self, watch: *const dtm_watch_t) -> Result<()> {
        self.wake(open_watch(watch)?);
        Ok(())
    }

    pub(crate) fn watch_set_timeout(&self, watch: *const dtm_watch_t, ms: u32) -> Result<()> {
        let watch = open_watch(watch)?;
        let default = self.setup.watch_timeout_ms;
        self.rearm_idle(watch, if ms == 0 { default } else { ms });
        Ok(())
    }

    pub(crate) fn watch_close(&self, watch: *const dtm_watch_t) -> Result<()> {
        self.ask_to_end(open_watch(watch)?, DTM_CLOSE_ASKED);
        Ok(())
    }

    /// Give the fd back. In the watch's own step too: its result means nothing then.
    pub(crate) fn watch_release(&self, watch: *const dtm_watch_t) -> Result<i32> {
        let entry = open_watch(watch)?;
        self.disarm_timer(entry);
        self.poller.delete(entry.fd.get());
        self.give(entry);
        forget_object(); // it may be this one
        Ok(entry.fd.get())
    }
}
