//! The loop. One pass: wait, then the runtime's own events, the clients' and watches'
//! in the order of the kernel, due timers, and last what all of these put in the queue.

use super::entry::{Entry, Kind};
use super::foreign::Foreign;
use super::poller::Poller;
use super::queue::Queue;
use super::slab::Slab;
use super::step::no_step;
use super::wheel::Wheel;
use crate::error::{Error, Result};
use crate::ffi::*;
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
/// What a beat says while the loop sleeps: a time that never comes.
pub(crate) const ASLEEP: u64 = u64::MAX / 2;
/// The beat of a loop that nobody watches.
static UNSEEN: AtomicU64 = AtomicU64::new(ASLEEP);
/// Later than every deadline.
const NEVER: u64 = u64::MAX;
pub(super) const NS_PER_MS: u64 = 1_000_000;
/// Queued entries served in one pass; the others wait for the next, so that steps
/// that keep waking each other do not keep the kernel's events waiting.
const QUEUE_BUDGET: u32 = 1024;

/// `rare`: others should be told, see [`Reactor::stir`].
const NEWS: u8 = 1;
/// The queue is not empty.
const QUEUED_UP: u8 = 2;
/// Entries were freed.
const FREED: u8 = 4;
/// See [`Reactor::boundary`].
const BOUNDARY_WANTED: u8 = 8;
/// The loop is part of a foreign one.
pub(super) const ABROAD: u8 = 16;

/// Whoever has put fds and timers of his own into the loop.
pub(crate) trait Owner {
    /// One of them is ready, with these epoll bits; a timer comes without any.
    fn own(&self, token: u32, events: u32);
}

/// What the loop needs to know about its process.
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

pub(crate) struct Reactor {
    pub(super) setup: Setup,
    pub(super) client_step: ClientStep,
    pub(super) poller: Poller,
    pub(super) slab: Slab,
    pub(super) queue: Queue,
    pub(super) foreign: Foreign,
    wheel: Wheel,
    /// When the wheel has something to do, in ns; NEVER: nothing waits in it.
    due: Cell<u64>,
    /// The time of this pass, in ns; 0 between passes.
    pub(super) now: Cell<u64>,
    beat: Cell<&'static AtomicU64>,
    /// What does not happen in most passes.
    rare: Cell<u8>,
    pub(super) clients: Cell<u32>,
    pub(super) busy: Cell<u32>,
    pub(super) last_id: Cell<u64>,
    pub(super) draining: Cell<bool>,
    /// shutdown() was called: nothing new is taken.
    pub(super) down: Cell<bool>,
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
            due: Cell::new(NEVER),
            now: Cell::new(0),
            beat: Cell::new(&UNSEEN),
            rare: Cell::new(0),
            clients: Cell::new(0),
            busy: Cell::new(0),
            last_id: Cell::new(0),
            draining: Cell::new(false),
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

    /// Keep this word up to date: since when (CLOCK_MONOTONIC in ns) the loop has been
    /// at work; ASLEEP while it waits. Others see by it who is stuck.
    pub(crate) fn set_beat(&self, beat: Option<&'static AtomicU64>) {
        self.beat.set(beat.unwrap_or(&UNSEEN));
    }

    #[inline(always)]
    fn beat(&self, value: u64) {
        self.beat.get().store(value, Relaxed);
    }

    /// From now on each pass calls `own(BOUNDARY, 0)` when its own events are done and
    /// the work for clients is about to begin.
    pub(crate) fn boundary(&self, wanted: bool) {
        self.rare.set(self.rare.get() & !BOUNDARY_WANTED);
        if wanted {
            self.set_rare(BOUNDARY_WANTED);
        }
    }

    /// Wait up to `timeout_ms` (-1: until something happens) with this signal mask,
    /// then serve. True: there is news, see [`Reactor::stir`]. An error says that epoll
    /// is gone: the process cannot go on.
    #[inline(always)]
    pub(crate) fn pass(
        &self,
        timeout_ms: i32,
        mask: &libc::sigset_t,
        owner: &dyn Owner,
    ) -> Result<bool> {
        if self.now.get() != 0 {
            return Err(reentered());
        }
        let wait = self.wait_ms(timeout_ms);
        self.beat(ASLEEP);
        match self.poller.wait(wait, mask) {
            // What a worker that is not overloaded sees most of the time.
            1 if self.rare.get() == 0 => {
                self.wake_up();
                self.serve_one(&self.poller.event(), owner);
            }
            n => self.serve(n, owner)?,
        }
        if self.now.get() >= self.due.get() {
            self.serve_timers(owner);
        }
        if self.rare.get() != 0 {
            return self.finish();
        }
        self.now.set(0);
        Ok(false)
    }

    #[inline(always)]
    fn wake_up(&self) {
        let now = Clock::read().ns();
        self.now.set(now);
        self.beat(now);
    }

    #[inline(always)]
    fn serve_one(&self, event: &libc::epoll_event, owner: &dyn Owner) {
        if let Some(token) = own_token(event.u64) {
            self.call_owner(owner, token, event.events);
        } else if let Some(entry) = self.slab.of_key(event.u64) {
            self.ready(entry, event.events);
        }
    }

    /// What epoll_pwait() returned, and put into the batch.
    #[inline(never)]
    fn serve(&self, n: i32, owner: &dyn Owner) -> Result<()> {
        let batch = self.poller.batch(n)?;
        self.wake_up();
        let own = batch
            .iter()
            .filter_map(|e| own_token(e.get().u64).map(|token| (token, e.get().events)));
        for (token, events) in own {
            self.call_owner(owner, token, events);
        }
        if self.is_rare(BOUNDARY_WANTED) {
            self.call_owner(owner, BOUNDARY, 0);
        }
        for event in batch {
            if let Some(entry) = self.slab.of_key(event.get().u64) {
                self.ready(entry, event.get().events);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn call_owner(&self, owner: &dyn Owner, token: u32, events: u32) {
        self.stir();
        owner.own(token, events);
    }

    #[cold]
    #[inline(never)]
    fn serve_timers(&self, owner: &dyn Owner) {
        let now = self.now_ms();
        while let Some(index) = self.wheel.expire(now, &self.slab) {
            let Some(entry) = self.slab.get(index) else {
                continue;
            };
            match entry.kind.get() {
                Kind::Own => self.call_owner(owner, entry.index, 0),
                Kind::Timer { fire, .. } => self.fire(entry, fire),
                Kind::Client { .. } | Kind::Watch { .. } => self.idle(entry),
                Kind::Free => {}
            }
        }
        self.note_due();
    }

    /// The end of a pass in which not only steps went on.
    #[inline(never)]
    fn finish(&self) -> Result<bool> {
        for _ in 0..QUEUE_BUDGET {
            let Some(entry) = self.queue.pop(&self.slab) else {
                self.rare.set(self.rare.get() & !QUEUED_UP);
                break;
            };
            self.attend(entry);
        }
        // Nothing in flight means them any more.
        self.slab.recycle();
        let rare = self.rare.get();
        self.rare.set(rare & !(FREED | NEWS));
        self.now.set(0);
        if rare & ABROAD != 0 {
            self.beat(ASLEEP); // as far as anybody here can tell
            self.foreign_update()?;
        }
        Ok(rare & NEWS != 0)
    }

    pub(super) fn set_rare(&self, what: u8) {
        self.rare.set(self.rare.get() | what);
    }

    fn is_rare(&self, what: u8) -> bool {
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

    /// How long the kernel may let us sleep.
    #[inline(always)]
    fn wait_ms(&self, timeout_ms: i32) -> i32 {
        if !self.queue.is_empty() {
            return 0;
        }
        match self.due.get() {
            NEVER => timeout_ms,
            due => until(due, timeout_ms),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next()
    }

    fn note_due(&self) {
        let due = self.wheel.next();
        self.due
            .set(due.map_or(NEVER, |ms| ms.saturating_mul(NS_PER_MS)));
    }

    pub(super) fn arm_timer(&self, entry: &Entry, deadline: u64) {
        self.wheel.insert(entry.index, deadline, &self.slab);
        self.note_due();
        self.outside_changed();
    }

    pub(super) fn disarm_timer(&self, entry: &Entry) {
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

/// The token of one of the runtime's own fds.
#[inline(always)]
fn own_token(key: u64) -> Option<u32> {
    if key & OWN == 0 {
        return None;
    }
    u32::try_from(key & !OWN)
        .ok()
        .filter(|token| !Foreign::is_token(*token))
}

/// Milliseconds from now to `due`, but no more than `timeout_ms` (-1: any number).
#[inline(never)]
fn until(due: u64, timeout_ms: i32) -> i32 {
    let left = due.saturating_sub(Clock::read().ns()).div_ceil(NS_PER_MS);
    let left = i32::try_from(left).unwrap_or(i32::MAX);
    match timeout_ms {
        ..0 => left,
        _ => left.min(timeout_ms),
    }
}

#[cold]
fn reentered() -> Error {
    Error::new(
        DTM_ESTATE,
        "the event loop was entered from one of its own callbacks",
    )
}

/// CLOCK_MONOTONIC.
pub(super) struct Clock(libc::timespec);

impl Clock {
    #[inline(always)]
    pub(super) fn read() -> Self {
        let mut now = std::mem::MaybeUninit::uninit();
        // SAFETY: fills now; this clock always exists.
        unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
            Self(now.assume_init())
        }
    }

    #[inline(always)]
    pub(super) fn ns(&self) -> u64 {
        let seconds = self.0.tv_sec.cast_unsigned();
        seconds * 1000 * NS_PER_MS + self.0.tv_nsec.cast_unsigned()
    }

    /// What has fully passed: to compare with deadlines.
    #[inline(always)]
    pub(super) fn floor_ms(&self) -> u64 {
        self.0.tv_sec.cast_unsigned() * 1000 + self.0.tv_nsec.cast_unsigned() / NS_PER_MS
    }

    /// To count a deadline from: no timer comes early.
    pub(super) fn ceil_ms(&self) -> u64 {
        let ms = self.0.tv_nsec.cast_unsigned().div_ceil(NS_PER_MS);
        self.0.tv_sec.cast_unsigned() * 1000 + ms
    }

    /// A number that another process is unlikely to get.
    fn seed(&self) -> u32 {
        u32::try_from(self.0.tv_nsec).unwrap_or(0)
    }
}
