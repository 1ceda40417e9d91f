//! The loop. One pass: wait, then the runtime's own events, the clients' and watches'
//! in the order of the kernel, due timers, and last what all of these put in the queue.

use super::entry::{Entry, Kind};
use super::foreign::Foreign;
use super::poller::Poller;
use super::queue::Queue;
use super::slab::Slab;
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
/// Queued entries served in one pass; the others wait for the next, so that steps
/// that keep waking each other do not keep the kernel's events waiting.
const QUEUE_BUDGET: u32 = 1024;

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
}

pub(crate) struct Reactor {
    pub(super) setup: Setup,
    pub(super) poller: Poller,
    pub(super) slab: Slab,
    pub(super) queue: Queue,
    pub(super) foreign: Foreign,
    wheel: Wheel,
    in_pass: Cell<bool>,
    pub(super) now: Cell<u64>,
    beat: Cell<Option<&'static AtomicU64>>,
    boundary: Cell<bool>,
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
        let now = clock.floor_ms();
        let reactor = Reactor {
            setup,
            poller: Poller::new(epoll),
            // Entries that a dead process left in a shared epoll mean none of ours.
            slab: Slab::new(clock.seed()),
            queue: Queue::new(),
            foreign: Foreign::default(),
            wheel: Wheel::new(now),
            in_pass: Cell::new(false),
            now: Cell::new(now),
            beat: Cell::new(None),
            boundary: Cell::new(false),
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
        if !self.in_pass.get() {
            self.now.set(Clock::read().floor_ms());
        }
        self.now.get()
    }

    /// Keep this word up to date: since when (CLOCK_MONOTONIC in ns) the loop has been
    /// at work; ASLEEP while it waits. Others see by it who is stuck.
    #[allow(dead_code)]
    pub(crate) fn set_beat(&self, beat: Option<&'static AtomicU64>) {
        self.beat.set(beat);
    }

    #[inline(always)]
    fn beat(&self, value: impl FnOnce() -> u64) {
        if let Some(beat) = self.beat.get() {
            beat.store(value(), Relaxed);
        }
    }

    /// From now on each pass calls `own(BOUNDARY, 0)` when its own events are done and
    /// the work for clients is about to begin.
    #[allow(dead_code)]
    pub(crate) fn boundary(&self, wanted: bool) {
        self.boundary.set(wanted);
    }

    /// Wait up to `timeout_ms` (-1: until something happens) with this signal mask,
    /// then serve. An error says that epoll is gone: the process cannot go on.
    #[inline(always)]
    pub(crate) fn pass(
        &self,
        timeout_ms: i32,
        mask: &libc::sigset_t,
        own: &mut impl FnMut(u32, u32),
    ) -> Result<()> {
        if self.in_pass.get() {
            return Err(reentered());
        }
        self.slab.recycle();
        let wait = self.wait_ms(timeout_ms);
        self.beat(|| ASLEEP);
        let Some(batch) = self.poller.wait(wait, mask) else {
            return Err(Error::last_os("epoll_pwait (were libdtm's fds closed?)"));
        };
        let clock = Clock::read();
        self.beat(|| clock.ns());
        self.now.set(clock.floor_ms());
        self.in_pass.set(true);
        for event in batch {
            if let Some(token) = own_token(event.get().u64) {
                own(token, event.get().events);
            }
        }
        if self.boundary.get() {
            own(BOUNDARY, 0);
        }
        for event in batch {
            if let Some(entry) = self.slab.of_key(event.get().u64) {
                self.ready(entry, event.get().events);
            }
        }
        while let Some(entry) = self.due() {
            self.time_out(entry, own);
        }
        if !self.queue.is_empty() {
            self.serve_queue();
        }
        self.in_pass.set(false);
        match self.foreign.is_on() {
            true => self.leave_to_foreign(),
            false => Ok(()),
        }
    }

    #[inline(never)]
    fn time_out(&self, entry: &Entry, own: &mut impl FnMut(u32, u32)) {
        match entry.kind.get() {
            Kind::Own => own(entry.index, 0),
            Kind::Timer { fire, .. } => self.fire(entry, fire),
            Kind::Client { .. } | Kind::Watch { .. } => self.idle(entry),
            Kind::Free => {}
        }
    }

    #[inline(never)]
    fn serve_queue(&self) {
        for _ in 0..QUEUE_BUDGET {
            let Some(entry) = self.queue.pop(&self.slab) else {
                break;
            };
            self.attend(entry);
        }
    }

    /// Somebody else's loop waits now.
    #[cold]
    fn leave_to_foreign(&self) -> Result<()> {
        self.beat(|| ASLEEP); // as far as anybody here can tell
        self.foreign_update()
    }

    /// How long the kernel may let us sleep.
    #[inline(always)]
    fn wait_ms(&self, timeout_ms: i32) -> i32 {
        if !self.queue.is_empty() {
            return 0;
        }
        match self.next_deadline() {
            Some(deadline) => until(deadline, timeout_ms),
            None => timeout_ms,
        }
    }

    #[inline(always)]
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next()
    }

    #[inline(always)]
    fn due(&self) -> Option<&Entry> {
        let index = self.wheel.expire(self.now.get(), &self.slab)?;
        self.slab.get(index)
    }

    pub(super) fn arm_timer(&self, entry: &Entry, deadline: u64) {
        self.wheel.insert(entry.index, deadline, &self.slab);
        self.outside_changed();
    }

    pub(super) fn disarm_timer(&self, entry: &Entry) {
        self.wheel.remove(entry.index, &self.slab);
    }

    /// Have this entry attended to before the pass ends.
    pub(super) fn enqueue(&self, entry: &Entry) {
        self.queue.push(entry, &self.slab);
        self.outside_changed();
    }

    /// Something came up that a foreign loop, which sleeps meanwhile, must know of.
    fn outside_changed(&self) {
        if !self.in_pass.get()
            && let Err(error) = self.foreign_update()
        {
            ::log::error!("{error}");
        }
    }
}

/// The token of one of the runtime's own fds.
#[inline(always)]
fn own_token(key: u64) -> Option<u32> {
    let token = u32::try_from(key & !OWN).ok()?;
    (key & OWN != 0 && !Foreign::is_token(token)).then_some(token)
}

/// Milliseconds from now to the deadline, but no more than `timeout_ms` (-1: any number).
fn until(deadline: u64, timeout_ms: i32) -> i32 {
    let left = deadline.saturating_sub(Clock::read().floor_ms());
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
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: fills now; this clock always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        Self(now)
    }

    #[inline(always)]
    pub(super) fn ns(&self) -> u64 {
        let seconds = self.0.tv_sec.cast_unsigned();
        seconds * 1_000_000_000 + self.0.tv_nsec.cast_unsigned()
    }

    /// What has fully passed: to compare with deadlines.
    #[inline(always)]
    pub(super) fn floor_ms(&self) -> u64 {
        self.0.tv_sec.cast_unsigned() * 1000 + self.0.tv_nsec.cast_unsigned() / 1_000_000
    }

    /// To count a deadline from: no timer comes early.
    pub(super) fn ceil_ms(&self) -> u64 {
        let ms = self.0.tv_nsec.cast_unsigned().div_ceil(1_000_000);
        self.0.tv_sec.cast_unsigned() * 1000 + ms
    }

    /// A number that another process is unlikely to get.
    fn seed(&self) -> u32 {
        u32::try_from(self.0.tv_nsec).unwrap_or(0)
    }
}
