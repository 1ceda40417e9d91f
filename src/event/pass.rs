//! One pass of the loop: wait, then the runtime's own events, the clients' and watches'
//! in the order of the kernel, due timers, and last what all of these put in the queue.
//!
//! Nearly every pass does nothing but let a client's step go on. What else there may be
//! to do is noted in `rare`, so that such a pass has one word to look at.

use super::clock::{Clock, NS_PER_MS};
use super::entry::Kind;
use super::foreign::Foreign;
use super::reactor::*;
use crate::error::{Error, Result};
use crate::ffi::DTM_ESTATE;
use std::sync::atomic::Ordering::Relaxed;

/// Queued entries served in one pass; the others wait for the next, so that steps
/// that keep waking each other do not keep the kernel's events waiting.
const QUEUE_BUDGET: u32 = 1024;

impl Reactor {
    /// Wait up to `timeout_ms` (-1: until something happens), then serve. True: there is news, see [`Reactor::stir`]. An error says that epoll
    /// is gone: the process cannot go on.
    #[inline(always)]
    pub(crate) fn pass(&self, timeout_ms: i32, owner: &dyn Owner) -> Result<bool> {
        if self.now.get() != 0 {
            return Err(reentered());
        }
        let wait = self.wait_ms(timeout_ms);
        self.beat(ASLEEP);
        match self.poller.wait(wait) {
            // What a worker that is not overloaded sees most of the time.
            1 if self.rare.get() == 0 => {
                let now = self.wake_up();
                self.serve_one(&self.poller.event(), now, owner);
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
    fn wake_up(&self) -> u64 {
        let now = Clock::by(self.gettime).ns();
        self.now.set(now);
        self.beat(now);
        now
    }

    #[inline(always)]
    fn serve_one(&self, event: &libc::epoll_event, now: u64, owner: &dyn Owner) {
        if let Some(token) = own_token(event.u64) {
            self.call_owner(owner, token, event.events);
        } else if let Some(entry) = self.slab.of_key(event.u64) {
            self.ready(entry, event.events, now);
        }
    }

    /// What epoll_wait() returned, and put into the batch.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn serve(&self, n: i32, owner: &dyn Owner) -> Result<()> {
        let batch = self.poller.batch(n)?;
        let now = self.wake_up();
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
                self.ready(entry, event.get().events, now);
            }
        }
        Ok(())
    }

    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
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
    #[unsafe(link_section = ".text.hot")]
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
        let now = self.now.replace(0);
        self.last.set(now);
        if rare & ABROAD != 0 {
            // As far as anybody here can tell; but each time in a new place, so that who
            // dispatches is seen to get on.
            self.beat(ASLEEP + now);
            self.foreign_update()?;
        }
        Ok(rare & NEWS != 0)
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

    #[inline(always)]
    fn beat(&self, value: u64) {
        self.beat.get().store(value, Relaxed);
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
