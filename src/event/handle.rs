//! What clients and watches have in common behind the API: handles that may be
//! stale, interest, wake-ups, idle timeouts, and being closed by somebody else.

use super::clock::NS_PER_MS;
use super::entry::{Entry, IN_CALL, TAKEN, small};
use super::poller::INTEREST;
use super::reactor::Reactor;
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard;

/// What a handle should lead to.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
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

    fn noun(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Watch => "watch",
            Self::Timer => "timer",
        }
    }

    /// By which name the border knows it: addresses are aligned, so there is room.
    #[inline(always)]
    fn name<T>(self, handle: *const T) -> usize {
        handle.addr() ^ self as usize
    }

    #[cold]
    fn gone(self) -> Error {
        let text = format!("the {} is closed, or about to be", self.noun());
        Error::new(DTM_EGONE, text)
    }

    #[cold]
    fn not_ours(self) -> Error {
        Error::invalid(format!("this is no {} of libdtm", self.noun()))
    }
}

/// The entry behind a handle: alive, be it only for its close callback.
#[inline(always)]
pub(super) fn alive<'a, T>(handle: *const T, what: Object) -> Result<&'a Entry> {
    match Entry::behind(handle) {
        Some(entry) if what.is(entry) && entry.is_meant_by(handle) => Ok(entry),
        Some(_) => Err(what.gone()),
        None => Err(what.not_ours()),
    }
}

/// ... and not about to end.
#[inline(always)]
pub(super) fn open<'a, T>(handle: *const T, what: Object) -> Result<&'a Entry> {
    match alive(handle, what) {
        Ok(entry) if entry.reason.get() != 0 => Err(what.gone()),
        found => found,
    }
}

/// What the running callback is about is known to live, and costs no search. Most calls
/// of a step are of this sort.
#[inline(always)]
pub(super) fn own_or<T, R>(
    handle: *const T,
    what: Object,
    own: impl FnOnce(&Entry) -> R,
    other: impl FnOnce() -> R,
) -> R {
    match guard::object_of(what.name(handle)) {
        // SAFETY: callbacks are about living entries.
        Some(entry) => own(unsafe { &*std::ptr::with_exposed_provenance(entry) }),
        None => other(),
    }
}

/// A callback about this one.
#[inline(always)]
pub(super) fn callback_on<R>(entry: &Entry, what: Object, f: impl FnOnce() -> R) -> R {
    let object = std::ptr::from_ref(entry).expose_provenance();
    guard::callback_on(object, what.name(entry.handle::<Entry>()), f)
}

/// Ask an entry for something, or give it a word to keep.
#[inline(always)]
pub(super) fn ask<H, T: Answer>(
    handle: *const H,
    roles: u32,
    what: Object,
    get: impl Fn(&Entry) -> T,
) -> T::C {
    let other = || ask_another::<H, T, _>(handle, roles, what, &get);
    own_or(handle, what, |entry| get(entry).done(), other)
}

#[inline(never)]
extern "C" fn ask_another<H, T: Answer, F: Fn(&Entry) -> T>(
    handle: *const H,
    roles: u32,
    what: Object,
    get: &F,
) -> T::C {
    guard::look(roles, || alive(handle, what).map(get))
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
    #[unsafe(link_section = ".text.hot")]
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
