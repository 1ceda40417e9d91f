//! What clients and watches have in common behind the API: handles that may be
//! stale, interest, wake-ups, idle timeouts, and being closed by somebody else.

use super::entry::{Entry, IN_CALL, TAKEN, small};
use super::poller::INTEREST;
use super::reactor::{NS_PER_MS, Reactor};
use crate::error::{Error, Result};
use crate::ffi::*;

/// What a handle should lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Object {
    Client,
    Watch,
    Timer,
}

impl Object {
    #[inline(always)]
    fn is(self, entry: &Entry) -> bool {
        match self {
            Self::Client => entry.is_client(),
            Self::Watch => entry.is_watch(),
            Self::Timer => entry.is_timer(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Watch => "watch",
            Self::Timer => "timer",
        }
    }
}

/// Why a call cannot be carried out. Only two bytes, because calls that each step makes
/// carry it about: the words are found when somebody asks for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Useless {
    NotOurs(Object),
    Gone(Object),
    NoLoop,
}

impl From<Useless> for Error {
    #[cold]
    fn from(why: Useless) -> Self {
        match why {
            Useless::NotOurs(what) => {
                Error::invalid(format!("this is no {} of libdtm", what.name()))
            }
            Useless::Gone(what) => {
                let text = format!("the {} is closed, or about to be", what.name());
                Error::new(DTM_EGONE, text)
            }
            Useless::NoLoop => {
                Error::new(DTM_ESTATE, "this process's event loop is not set up yet")
            }
        }
    }
}

pub(super) type Found<'a> = std::result::Result<&'a Entry, Useless>;

/// The entry behind a handle: alive, be it only for its close callback.
#[inline(always)]
pub(super) fn alive<'a, T>(handle: *const T, what: Object) -> Found<'a> {
    match Entry::behind(handle) {
        Some(entry) if what.is(entry) => Ok(entry),
        Some(_) => Err(Useless::Gone(what)),
        None => Err(Useless::NotOurs(what)),
    }
}

/// ... and not about to end.
#[inline(always)]
pub(super) fn open<'a, T>(handle: *const T, what: Object) -> Found<'a> {
    match alive(handle, what) {
        Ok(entry) if entry.reason.get() != 0 => Err(Useless::Gone(what)),
        found => found,
    }
}

impl Reactor {
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
        entry.unsettle();
        if entry.has(IN_CALL) {
            return Ok(());
        }
        self.arm(entry)
            .inspect_err(|_| self.ask_to_end(entry, DTM_CLOSE_ERROR))
    }

    pub(super) fn wake(&self, entry: &Entry) {
        entry.pending.set(entry.pending.get() | small(DTM_WAKE));
        entry.unsettle();
        self.enqueue(entry);
    }

    /// Activity, and a new idle timeout (DTM_OFF: none). A timer that is armed for
    /// an earlier time stays: it will find out.
    pub(super) fn rearm_idle(&self, entry: &Entry, ms: u32) {
        let now = self.now_ms();
        entry.stamp.set(now * NS_PER_MS);
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
        entry.unsettle();
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
