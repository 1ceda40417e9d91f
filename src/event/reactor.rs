//! The loop. One pass: wait, then the runtime's own events, the clients' and watches'
//! in the order of the kernel, due timers, and last what all of these put in the queue.

use super::entry::{Entry, Kind};
use super::foreign::Foreign;
use super::poller::{Batch, Poller, empty_batch, report};
use super::queue::Queue;
use super::slab::Slab;
use super::wheel::Wheel;
use crate::error::{Error, Result};
use crate::ffi::*;
use std::cell::{Cell, RefCell};
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
    wheel: RefCell<Wheel>,
    /// Empty while a pass uses it.
    batch: Cell<Option<Box<Batch>>>,
    in_pass: Cell<bool>,
    now: Cell<u64>,
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
            wheel: RefCell::new(Wheel::new(now)),
            batch: Cell::new(Some(empty_batch())),
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

    fn beat(&self, value: u64) {
        if let Some(beat) = self.beat.get() {
            beat.store(value, Relaxed);
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
    pub(crate) fn pass(
        &self,
        timeout_ms: i32,
        mask: &libc::sigset_t,
        own: &mut dyn FnMut(u32, u32),
    ) -> Result<()> {
        let Some(mut batch) = self.batch.take() else {
            return Err(Error::new(
                DTM_ESTATE,
                "the event loop was entered from one of its own callbacks",
            ));
        };
        self.slab.recycle();
        let wait = self.wait_ms(timeout_ms);
        self.beat(ASLEEP);
        let waited = self.poller.wait(&mut batch, wait, mask);
        let clock = Clock::read();
        self.beat(clock.ns());
        self.now.set(clock.floor_ms());
        self.in_pass.set(true);
        if let Ok(n) = waited {
            self.serve(&batch[..n], own);
        }
        self.in_pass.set(false);
        self.batch.set(Some(batch));
        if self.foreign.is_on() {
            self.beat(ASLEEP); // as far as anybody here can tell
        }
        waited?;
        self.foreign_update()
    }

    fn serve(&self, batch: &[libc::epoll_event], own: &mut dyn FnMut(u32, u32)) {
        for event in batch {
            let (key, bits) = (event.u64, event.events);
            if let (OWN, Ok(token)) = (key & OWN, u32::try_from(key & !OWN))
                && !Foreign::is_token(token)
            {
                own(token, bits);
            }
        }
        if self.boundary.get() {
            own(BOUNDARY, 0);
        }
        for event in batch {
            if let Some(entry) = self.slab.of_key(event.u64) {
                self.ready(entry, &report(event.events, entry.interest.get()));
            }
        }
        while let Some(entry) = self.due() {
            match entry.kind.get() {
                Kind::Own => own(entry.index, 0),
                Kind::Timer { fire, .. } => self.fire(entry, fire),
                Kind::Client { .. } | Kind::Watch { .. } => self.idle(entry),
                Kind::Free => {}
            }
        }
        for _ in 0..QUEUE_BUDGET {
            let Some(entry) = self.queue.pop(&self.slab) else {
                break;
            };
            self.attend(entry);
        }
    }

    /// How long the kernel may let us sleep.
    fn wait_ms(&self, timeout_ms: i32) -> i32 {
        if !self.queue.is_empty() {
            return 0;
        }
        let Some(deadline) = self.next_deadline() else {
            return timeout_ms;
        };
        let left = deadline.saturating_sub(self.now_ms());
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        if timeout_ms < 0 {
            left
        } else {
            left.min(timeout_ms)
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.borrow().next()
    }

    fn due(&self) -> Option<&Entry> {
        let index = self.wheel.borrow_mut().expire(self.now.get(), &self.slab)?;
        self.slab.get(index)
    }

    pub(super) fn arm_timer(&self, entry: &Entry, deadline: u64) {
        self.wheel
            .borrow_mut()
            .insert(entry.index, deadline, &self.slab);
        self.outside_changed();
    }

    pub(super) fn disarm_timer(&self, entry: &Entry) {
        self.wheel.borrow_mut().remove(entry.index, &self.slab);
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

/// CLOCK_MONOTONIC.
pub(super) struct Clock(libc::timespec);

impl Clock {
    pub(super) fn read() -> Self {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: fills now; this clock always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        Self(now)
    }

    fn ms(&self, nanoseconds: libc::c_long) -> u64 {
        let ms = self.0.tv_sec * 1000 + nanoseconds / 1_000_000;
        u64::try_from(ms).unwrap_or(0)
    }

    pub(super) fn ns(&self) -> u64 {
        let ns = self.0.tv_sec * 1_000_000_000 + self.0.tv_nsec;
        u64::try_from(ns).unwrap_or(0)
    }

    /// What has fully passed: to compare with deadlines.
    pub(super) fn floor_ms(&self) -> u64 {
        self.ms(self.0.tv_nsec)
    }

    /// To count a deadline from: no timer comes early.
    pub(super) fn ceil_ms(&self) -> u64 {
        self.ms(self.0.tv_nsec + 999_999)
    }

    /// A number that another process is unlikely to get.
    fn seed(&self) -> u32 {
        u32::try_from(self.0.tv_nsec).unwrap_or(0)
    }
}
