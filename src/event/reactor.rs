//! The loop: what it consists of, and what the rest of the process wants from it.

use super::clock::{Clock, Gettime, NS_PER_MS, gettime};
use super::entry::{Entry, Kind};
use super::foreign::Foreign;
use super::poller::Poller;
use super::queue::Queue;
use super::slab::Slab;
use super::step::no_step;
use super::wheel::Wheel;
use crate::error::Result;
use crate::ffi::*;
use crate::shm::{Doing, Note, Progress};
use std::cell::Cell;
use std::ffi::c_void;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// epoll data of the runtime's own fds: `OWN | token`.
pub(crate) const OWN: u64 = 1 << 63;
/// own_timer() takes tokens below this.
pub(crate) const TOKENS: u32 = 16;
/// The token by which a pass says that its own events are done, see [`Reactor::boundary`].
pub(crate) const BOUNDARY: u32 = u32::MAX - 1;
/// What a beat says while the loop sleeps: a time that never comes. With a time that has come
/// added to it, it still differs from any of those by less than 2^63: the program that steers
/// compares them as signed numbers.
pub(crate) const ASLEEP: u64 = u64::MAX / 4;
/// The beat of a loop that nobody watches.
static UNSEEN: Progress = Progress::unseen();
/// Later than every deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// `rare`: others should be told, see [`Reactor::stir`].
pub(super) const NEWS: u8 = 1;
/// The queue is not empty.
pub(super) const QUEUED_UP: u8 = 2;
/// Entries were freed.
pub(super) const FREED: u8 = 4;
/// See [`Reactor::boundary`].
pub(super) const BOUNDARY_WANTED: u8 = 8;
/// The loop is part of a foreign one.
pub(super) const ABROAD: u8 = 16;

/// Whoever has put fds and timers of his own into the loop.
pub(crate) trait Owner {
    /// One of them is ready, with these epoll bits; a timer comes without any.
    fn own(&self, token: u32, events: u32);
}

/// What the loop needs to know about its process. What each step needs comes first.
#[repr(C)]
pub(crate) struct Setup {
    pub(crate) rt: *mut dtm_t,
    pub(crate) user_data: *mut c_void,
    pub(crate) open: dtm_client_open_cb,
    pub(crate) step: dtm_client_step_cb,
    pub(crate) close: dtm_client_close_cb,
    /// Defaults of the idle timeouts; DTM_OFF: none.
    pub(crate) client_timeout_ms: u32,
    pub(crate) watch_timeout_ms: u32,
    pub(crate) max_clients: u32,
    /// A client that becomes busy or idle is news.
    pub(crate) busy_counts: bool,
}

type ClientStep =
    unsafe extern "C-unwind" fn(*mut dtm_t, *mut dtm_client_t, u32, *mut c_void) -> i32;

/// Laid out as written: what each pass looks at comes first, on three cache lines of one
/// page, for a process that was asleep finds every other line and page cold.
#[repr(C, align(256))]
pub(crate) struct Reactor {
    /// The time of this pass, in ns; 0 between passes.
    pub(super) now: Cell<u64>,
    /// When the wheel has something to do, in ns; NEVER: nothing waits in it.
    pub(super) due: Cell<u64>,
    pub(super) beat: Cell<&'static AtomicU64>,
    pub(super) progress: Cell<&'static Progress>,
    pub(super) gettime: Gettime,
    pub(super) client_step: ClientStep,
    pub(super) queue: Queue,
    /// What does not happen in most passes.
    pub(super) rare: Cell<u8>,
    pub(super) draining: Cell<bool>,
    /// shutdown() was called: nothing new is taken.
    pub(super) down: Cell<bool>,
    pub(super) clients: Cell<u32>,
    pub(super) slab: Slab,
    pub(super) setup: Setup,
    pub(super) busy: Cell<u32>,
    /// Its first event is the only one of most passes.
    pub(super) poller: Poller,
    pub(super) last_id: Cell<u64>,
    /// The time of the last pass that had news, in ns.
    pub(super) last: Cell<u64>,
    /// The drain spares idle clients that nothing came from since then, in ns; 0: none.
    pub(super) spares: Cell<u64>,
    pub(super) foreign: Foreign,
    pub(super) wheel: Wheel,
}

impl Reactor {
    /// `epoll` may be shared with other processes: every fd of ours leaves it before
    /// it is closed, for its entries would outlive the fd.
    pub(crate) fn new(epoll: OwnedFd, setup: Setup) -> Result<Reactor> {
        let clock = Clock::read();
        let reactor = Reactor {
            client_step: setup.step.unwrap_or(no_step),
            setup,
            poller: Poller::new(epoll),
            // Entries that a dead process left in a shared epoll mean none of ours.
            slab: Slab::new(clock.seed()),
            queue: Queue::new(),
            foreign: Foreign::default(),
            wheel: Wheel::new(clock.floor_ms()),
            gettime: gettime(),
            due: Cell::new(NEVER),
            now: Cell::new(0),
            last: Cell::new(0),
            beat: Cell::new(UNSEEN.beat()),
            progress: Cell::new(&UNSEEN),
            rare: Cell::new(0),
            clients: Cell::new(0),
            busy: Cell::new(0),
            last_id: Cell::new(0),
            draining: Cell::new(false),
            spares: Cell::new(0),
            down: Cell::new(false),
        };
        // The runtime's own timers: token and index are the same.
        for _ in 0..TOKENS {
            reactor.slab.take(Kind::Own, -1, std::ptr::null_mut())?;
        }
        Ok(reactor)
    }

    pub(crate) fn epoll_fd(&self) -> RawFd {
        self.poller.fd()
    }

    pub(crate) fn own_add(&self, fd: RawFd, events: u32, token: u32) -> Result<()> {
        self.poller.add(fd, events, OWN | u64::from(token))
    }

    pub(crate) fn own_del(&self, fd: RawFd) {
        self.poller.delete(fd);
    }

    /// Set or stop a one-shot timer of the runtime; it comes like an own event of
    /// that token, without event bits.
    pub(crate) fn own_timer(&self, token: u32, after_ms: Option<u64>) {
        debug_assert!(token < TOKENS);
        let Some(entry) = self.slab.get(token).filter(|_| token < TOKENS) else {
            return;
        };
        match after_ms {
            Some(ms) => self.arm_timer(entry, Clock::read().ceil_ms().saturating_add(ms)),
            None => self.disarm_timer(entry),
        }
    }

    /// The time of this pass: CLOCK_MONOTONIC in ms. Between passes, the time.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.now.get() {
            0 => Clock::read().floor_ms(),
            ns => ns / NS_PER_MS,
        }
    }

    /// The time of the last pass that had news; without asking the clock.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last.get() / NS_PER_MS
    }

    /// Keep this word up to date: since when (CLOCK_MONOTONIC in ns) the loop has been
    /// at work; ASLEEP or more while it waits. Others see by it who is stuck.
    pub(crate) fn set_beat(&self, beat: &'static AtomicU64) {
        self.beat.set(beat);
    }

    /// What the beat says now.
    pub(crate) fn last_beat(&self) -> u64 {
        self.beat.get().load(Relaxed)
    }

    /// Note in this row what is being done.
    pub(crate) fn set_progress(&self, progress: &'static Progress) {
        self.progress.set(progress);
    }

    /// A callback begins that is about this entry, see [`Progress`].
    pub(super) fn begin(&self, doing: Doing, entry: &Entry) {
        let note = Note::of(doing, entry.id(), entry.fd());
        self.progress.get().begin(note);
    }

    /// From now on each pass calls `own(BOUNDARY, 0)` when its own events are done and
    /// the work for clients is about to begin.
    pub(crate) fn boundary(&self, wanted: bool) {
        self.rare.set(self.rare.get() & !BOUNDARY_WANTED);
        if wanted {
            self.set_rare(BOUNDARY_WANTED);
        }
    }

    pub(super) fn set_rare(&self, what: u8) {
        self.rare.set(self.rare.get() | what);
    }

    pub(super) fn is_rare(&self, what: u8) -> bool {
        self.rare.get() & what != 0
    }

    /// What others are told of this process may have changed: the pass says so.
    pub(crate) fn stir(&self) {
        self.set_rare(NEWS);
    }

    /// A loop of the service's own has the floor.
    pub(crate) fn is_between_passes(&self) -> bool {
        self.now.get() == 0
    }

    /// End an entry's life.
    pub(super) fn give(&self, entry: &Entry) {
        self.set_rare(FREED);
        self.slab.give(entry);
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next()
    }

    pub(super) fn note_due(&self) {
        let due = self.wheel.next();
        self.due
            .set(due.map_or(NEVER, |ms| ms.saturating_mul(NS_PER_MS)));
    }

    pub(super) fn arm_timer(&self, entry: &Entry, deadline: u64) {
        self.wheel.insert(entry.index, deadline, &self.slab);
        self.note_due();
        self.outside_changed();
    }

    #[inline(always)]
    pub(super) fn disarm_timer(&self, entry: &Entry) {
        if entry.node.is_armed() {
            self.disarm_armed(entry);
        }
    }

    #[inline(never)]
    fn disarm_armed(&self, entry: &Entry) {
        self.wheel.remove(entry.index, &self.slab);
        self.note_due();
    }

    /// Have this entry attended to before the pass ends.
    pub(super) fn enqueue(&self, entry: &Entry) {
        self.queue.push(entry, &self.slab);
        self.set_rare(QUEUED_UP);
        self.outside_changed();
    }

    /// Something came up that a foreign loop, which sleeps meanwhile, must know of.
    fn outside_changed(&self) {
        if self.now.get() == 0
            && let Err(error) = self.foreign_update()
        {
            ::log::error!("{error}");
        }
    }
}
