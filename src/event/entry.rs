//! One entry of the loop: a client, a watch, a timer, or one of the runtime's own
//! timers. A handle of the C API is the address of its entry, and says which life of that
//! entry it means.

use super::wheel::{NIL, Node};
use crate::ffi::*;
use crate::net::Peer;
use std::cell::Cell;
use std::ffi::c_void;

/// Its callback is running: whatever must end it waits until that has returned.
pub(super) const IN_CALL: u8 = 1;
/// It stands in the queue.
pub(super) const QUEUED: u8 = 2;
/// A request is in flight.
pub(super) const BUSY: u8 = 4;
/// The service polls the fd by itself.
pub(super) const TAKEN: u8 = 8;
/// The peer's shutdown was reported; the fact stays true, so it is said once.
pub(super) const HUNG_UP: u8 = 16;
/// The close callback is running.
pub(super) const ENDING: u8 = 32;

/// The last report was a failure.
pub(super) const FAILED: u8 = 64;

/// Another process may have the fd, too.
pub(super) const SHARED: u8 = 128;

/// `armed` of an fd that is not in epoll.
pub(super) const NOT_ARMED: u8 = u8::MAX;

/// No result of a step that exists.
pub(super) const UNSTEADY: u8 = u8::MAX;

/// The DTM_* bits and reasons that an entry keeps fit in a byte.
pub(super) const fn small(bits: u32) -> u8 {
    bits.to_le_bytes()[0]
}

/// What an entry is, with what only that kind needs. Laid out as written, so that the
/// part which tells them apart lies with what serves an event.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Free,
    Own,
    Client {
        /// See [`super::Copies::Stray`].
        stray: bool,
        /// Listeners are few, see DTM_LISTENERS_MAX.
        listener: i16,
        peer: Peer,
        tag: u64,
    },
    Watch {
        step: dtm_watch_step_cb,
        close: dtm_watch_close_cb,
    },
    Timer {
        fire: dtm_timer_cb,
        period_ms: u32,
    },
}

/// What serves an event comes first, up to the first byte of `kind`.
#[repr(C)]
pub(crate) struct Entry {
    /// Its own address, and above that which life it lives: what C has for a handle. What
    /// does not lead to such a word is no handle of ours, and a copy of an entry is not one.
    word: Cell<u64>,
    pub(super) index: u32,
    pub(super) fd: Cell<i32>,
    /// DTM_OFF: no idle timeout.
    pub(super) idle_ms: Cell<u32>,
    /// Next in the queue or among the free ones.
    pub(super) link: Cell<u32>,
    flags: Cell<u8>,
    /// DTM_READ, DTM_WRITE, DTM_HUP: what the service waits for.
    pub(super) interest: Cell<u8>,
    /// The part of it that epoll knows.
    pub(super) armed: Cell<u8>,
    /// DTM_WAKE, DTM_DRAIN: to be told with the next step.
    pub(super) pending: Cell<u8>,
    /// Why it has to end; 0: it lives.
    pub(super) reason: Cell<u8>,
    /// Failures reported in a row without anything left to read.
    pub(super) failures: Cell<u8>,
    /// The result of a step that changes nothing: the interest, if that is what epoll
    /// knows and there is nothing else to see to. Else UNSTEADY. [`super::Reactor::arm`]
    /// sets it; whoever changes one of those unsets it.
    pub(super) steady: Cell<u8>,
    /// The state that the service has given it, see `report::label`; 0: none.
    label: Cell<u8>,
    /// Last activity, in ns.
    pub(super) stamp: Cell<u64>,
    pub(super) data: Cell<*mut c_void>,
    pub(super) kind: Cell<Kind>,
    pub(super) node: Node,
    /// See [`super::census`].
    pub(super) id: Cell<u64>,
}

// With what allocating costs an idle client has to stay below 128 bytes.
const _: () = assert!(size_of::<Entry>() <= 120);
const _: () = assert!(std::mem::offset_of!(Entry, kind) < 64);

impl Entry {
    pub(super) fn new(index: u32, seed: u32) -> Self {
        Self {
            word: Cell::new((1 + u64::from(seed) % LIVES) * FIRST_LIFE),
            index,
            fd: Cell::new(-1),
            idle_ms: Cell::new(DTM_OFF),
            link: Cell::new(NIL),
            flags: Cell::new(0),
            interest: Cell::new(0),
            armed: Cell::new(NOT_ARMED),
            pending: Cell::new(0),
            reason: Cell::new(0),
            failures: Cell::new(0),
            steady: Cell::new(UNSTEADY),
            label: Cell::new(0),
            stamp: Cell::new(0),
            data: Cell::new(std::ptr::null_mut()),
            kind: Cell::new(Kind::Free),
            node: Node::new(),
            id: Cell::new(0),
        }
    }

    /// It stays where it is now.
    pub(super) fn settle_down(&self) {
        self.word.set(self.word.get() | address_of(self));
    }

    /// The entry behind a handle from C, whichever life it lives.
    #[inline(always)]
    pub(super) fn behind<'a, T>(handle: *const T) -> Option<&'a Self> {
        let place = |handle: usize| handle & usize::try_from(ADDRESS).unwrap_or(usize::MAX);
        let entry: *const Self = handle.map_addr(place).cast();
        if entry.is_null() || !entry.is_aligned() {
            return None;
        }
        // SAFETY: the API takes handles that libdtm gave out, whose memory is never
        // given back. For anything else this is the best that can be done: read
        // one word, and believe it only if it names this very address, and a life.
        unsafe {
            let word = (*entry).word.get();
            (word & ADDRESS == address_of(entry) && word > ADDRESS).then(|| &*entry)
        }
    }

    /// Begin a life. Links and the life's number are the slab's.
    pub(super) fn begin(&self, kind: Kind, fd: i32, data: *mut c_void) {
        self.fd.set(fd);
        self.flags.set(0);
        self.interest.set(0);
        self.armed.set(NOT_ARMED);
        self.pending.set(0);
        self.reason.set(0);
        self.failures.set(0);
        self.steady.set(UNSTEADY);
        self.label.set(0);
        self.idle_ms.set(DTM_OFF);
        self.data.set(data);
        self.id.set(0);
        self.kind.set(kind);
    }

    #[inline(always)]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    pub(super) fn raise(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(super) fn lower(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// There is something to see to at the end of the next step.
    pub(super) fn unsettle(&self) {
        self.steady.set(UNSTEADY);
    }

    pub(super) fn is_free(&self) -> bool {
        matches!(self.kind.get(), Kind::Free)
    }

    #[inline(always)]
    pub(super) fn is_stray(&self) -> bool {
        matches!(self.kind.get(), Kind::Client { stray: true, .. })
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.kind.get(), Kind::Client { .. })
    }

    pub(super) fn is_watch(&self) -> bool {
        matches!(self.kind.get(), Kind::Watch { .. })
    }

    pub(super) fn is_timer(&self) -> bool {
        matches!(self.kind.get(), Kind::Timer { .. })
    }

    /// The epoll data by which events find the entry of this life only. Its top bit is for
    /// others, see [`super::OWN`].
    pub(super) fn key(&self) -> u64 {
        self.word.get() >> 32 << 32 | u64::from(self.index)
    }

    /// Is this the key of the life that it lives now?
    #[inline(always)]
    pub(super) fn has_key(&self, key: u64) -> bool {
        self.word.get() >> 32 == key >> 32
    }

    /// What was said about this life is stale now.
    #[inline(always)]
    pub(super) fn next_life(&self) {
        let word = self.word.get();
        let next = word + FIRST_LIFE;
        self.word.set(match next >> 63 {
            0 => next,
            _ => FIRST_LIFE | word & ADDRESS,
        });
    }

    #[inline(always)]
    pub(crate) fn fd(&self) -> i32 {
        self.fd.get()
    }

    pub(crate) fn id(&self) -> u64 {
        super::census::number_of(self.id.get())
    }

    #[inline(always)]
    pub(crate) fn data(&self) -> *mut c_void {
        self.data.get()
    }

    pub(crate) fn label(&self) -> u8 {
        self.label.get()
    }

    pub(crate) fn set_label(&self, label: u8) {
        self.label.set(label);
    }

    /// The client whose callback is running. In a signal handler, too.
    pub(crate) fn in_callback() -> Option<&'static Self> {
        let client = crate::role::border().name();
        // Other objects are told apart by bits that no address of an entry has.
        Self::behind(std::ptr::with_exposed_provenance::<Self>(client)).filter(|e| e.is_client())
    }

    pub(crate) fn set_data(&self, data: *mut c_void) {
        self.data.set(data);
    }

    /// Listener, tag and peer of a client.
    pub(crate) fn origin(&self) -> (i32, u64, Peer) {
        match self.kind.get() {
            Kind::Client {
                listener,
                peer,
                tag,
                ..
            } => (i32::from(listener), tag, peer),
            _ => (-1, 0, Peer::Unix),
        }
    }

    /// The handle that C holds.
    #[inline(always)]
    pub(super) fn handle<T>(&self) -> *mut T {
        let entry = std::ptr::from_ref(self).cast_mut();
        entry.with_addr(self.name()).cast()
    }

    /// Does the handle mean the life that it lives now?
    #[inline(always)]
    pub(super) fn is_meant_by<T>(&self, handle: *const T) -> bool {
        handle.addr() == self.name()
    }

    /// As much of the word as a pointer holds: where that is 32 bits, nothing of the life.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    fn name(&self) -> usize {
        self.word.get() as usize
    }
}

/// What addresses have, unless a process asks mmap(2) for higher ones: 48 bits.
const ADDRESS: u64 = FIRST_LIFE - 1;
/// Lives have numbers from 1 on, above the address: a word in other memory has 0 there.
const FIRST_LIFE: u64 = 1 << 48;
/// So many: the top bit of a key is for others.
const LIVES: u64 = (1 << 15) - 1;

#[inline(always)]
fn address_of(entry: *const Entry) -> u64 {
    entry.addr() as u64
}
