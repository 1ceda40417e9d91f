//! A row of the load table: what the program that steers, the master and all workers
//! know of one worker. tests/loom runs this in every order of its steps.

use crate::event::ASLEEP;
use crate::sync::{AtomicU32, AtomicU64};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

/// Why a worker takes no clients. Each writer has bits of its own.
pub(crate) mod away {
    /// Master: no worker, or not open yet. So begins a row.
    pub(crate) const CLOSED: u32 = 1;
    /// Master: it does not take what it was sent.
    pub(crate) const HUNG: u32 = 1 << 1;
    /// Master: the kernel says that it is stopped.
    pub(crate) const STOPPED: u32 = 1 << 2;
    /// Master: it had the token and did not serve the queue. Its next pass ends it.
    pub(crate) const DOUBTED: u32 = 1 << 3;
    /// Worker: at its limit of clients.
    pub(crate) const FULL: u32 = 1 << 16;
    /// Worker: draining.
    pub(crate) const LEAVING: u32 = 1 << 17;
}

/// A worker that has been busy for longer is left alone while another one is there.
pub(crate) const LIMIT_NS: u64 = 1_000_000;

/// A worker, as the program sees it: one cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub(crate) struct Row {
    /// Any measure, as long as all rows have the same.
    pub(super) load: AtomicU32,
    /// Bits of [`away`]; with any of them, nothing is sent here.
    pub(super) away: AtomicU32,
    /// CLOCK_MONOTONIC in ns when the worker woke up, or [`ASLEEP`].
    pub(super) busy_since: AtomicU64,
    /// Counted by the program, for each connection that it sends here.
    pub(super) assigned: AtomicU32,
    /// Counted by whoever accepts it.
    pub(super) taken: AtomicU32,
    /// Bit n: it has a token of listener n. Not the program's business; it lies here
    /// because whoever looks for the next owner looks at the load, too.
    tokens: AtomicU64,
    /// The number of the last client passed to it of which it is settled who has it.
    settled: AtomicU64,
}

impl Row {
    pub(crate) fn set_load(&self, load: u32) {
        self.load.store(load, Relaxed);
    }

    pub(crate) fn load(&self) -> u32 {
        self.load.load(Relaxed)
    }

    /// False: it was away for this reason already.
    pub(crate) fn go_away(&self, why: u32) -> bool {
        self.away.fetch_or(why, SeqCst) & why == 0
    }

    pub(crate) fn come_back(&self, why: u32) {
        self.away.fetch_and(!why, SeqCst);
    }

    /// Bits of [`away`].
    pub(crate) fn away(&self) -> u32 {
        self.away.load(SeqCst)
    }

    /// As far as the worker knows itself. Whether it is stopped or hangs is for others to say.
    pub(crate) fn may_take(&self) -> bool {
        self.away() & (away::CLOSED | away::FULL | away::LEAVING) == 0
    }

    pub(crate) fn holds(&self, listener: usize) -> bool {
        self.tokens.load(SeqCst) & bit(listener) != 0
    }

    /// Set the bit of its token. False: it was set.
    pub(crate) fn claim(&self, listener: usize) -> bool {
        self.tokens.fetch_or(bit(listener), SeqCst) & bit(listener) == 0
    }

    /// Clear it. False: it was clear.
    pub(crate) fn release(&self, listener: usize) -> bool {
        self.tokens.fetch_and(!bit(listener), SeqCst) & bit(listener) != 0
    }

    /// A client that the master has passed to this worker: the one takes it, the other takes
    /// it back, and whoever says so first has it. Numbers rise, so that an older message
    /// means nothing any more.
    pub(crate) fn settle(&self, number: u64) -> bool {
        self.settled.fetch_max(number, SeqCst) < number
    }

    /// Where its loop notes when it woke up (CLOCK_MONOTONIC in ns) and that it sleeps.
    pub(crate) fn beat(&self) -> &AtomicU64 {
        &self.busy_since
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.busy_since.load(Relaxed) >= ASLEEP
    }

    /// When it woke up, in ns; None: it sleeps.
    pub(crate) fn woke_at(&self) -> Option<u64> {
        Some(self.busy_since.load(Relaxed)).filter(|at| *at < ASLEEP)
    }

    /// It has been awake for longer than a turn takes. What sleeps says a time to come.
    pub(crate) fn is_late(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.busy_since.load(Relaxed)) > LIMIT_NS
    }

    /// The worker is about to sleep.
    pub(crate) fn asleep(&self) {
        self.busy_since.store(ASLEEP, Relaxed);
    }

    /// Connections of this row's socket were accepted, by this worker or another.
    /// Those that were not sent by the program, or are forgotten, do not count.
    pub(crate) fn took(&self, n: u32) {
        self.update_taken(|taken, assigned| taken_after(taken, n, assigned));
    }

    /// Connections that were sent here and not accepted yet.
    pub(crate) fn on_the_way(&self) -> u32 {
        open(self.assigned(), self.taken.load(Relaxed))
    }

    /// Connections that were ever sent here, wrapping.
    pub(crate) fn assigned(&self) -> u32 {
        self.assigned.load(Relaxed)
    }

    /// Forget what was sent here up to `then`, an earlier [`Row::assigned`], and was
    /// not accepted: its client gave up, or the queue was full. To be called while
    /// the queue is empty, with a `then` older than any handshake that may still
    /// succeed. Returns the `then` of a later call.
    pub(crate) fn reconcile(&self, then: u32) -> u32 {
        let mut now = then;
        self.update_taken(|taken, assigned| {
            now = assigned;
            mended(taken, then, assigned)
        });
        now
    }

    /// From `taken` and `assigned`. The latter is read after the former, and is as new as
    /// it was to whoever wrote that: else a count made by two at once could be lost.
    fn update_taken(&self, mut next: impl FnMut(u32, u32) -> u32) {
        let update = |taken| Some(next(taken, self.assigned()));
        // Never fails, as the closure always has an answer.
        let _ = self.taken.fetch_update(AcqRel, Acquire, update);
    }

    /// Its worker leaves, or another is about to open. What waits in the socket's queue stays
    /// counted: the new worker will accept it.
    pub(crate) fn vacate(&self) {
        self.away.store(away::CLOSED, SeqCst);
        self.load.store(0, Relaxed);
        self.asleep();
        self.tokens.store(0, SeqCst);
    }

    /// Another worker is about to be made for it, whom nobody has passed anything.
    pub(crate) fn unsettle(&self) {
        self.settled.store(0, SeqCst);
    }
}

/// Listeners are no more than 32.
fn bit(listener: usize) -> u64 {
    1 << (listener % 32)
}

/// Sent and not accepted yet. The counters wrap; no more than all can be accepted.
fn open(assigned: u32, taken: u32) -> u32 {
    assigned
        .wrapping_sub(taken)
        .cast_signed()
        .max(0)
        .cast_unsigned()
}

fn taken_after(taken: u32, n: u32, assigned: u32) -> u32 {
    assigned.wrapping_sub(open(assigned, taken).saturating_sub(n))
}

/// What can have been accepted: all that were sent until then, or are lost.
fn mended(taken: u32, then: u32, assigned: u32) -> u32 {
    assigned.wrapping_sub(open(assigned, taken).min(open(assigned, then)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Wherever the counters stand: they wrap.
        #[test]
        fn mended_is_between_then_and_now(
            now: u32,
            since in 0..1000u32,
            waiting in -1000..2000i32,
        ) {
            let (then, taken) = (now.wrapping_sub(since), now.wrapping_sub(waiting.cast_unsigned()));
            let left = now.wrapping_sub(mended(taken, then, now));
            prop_assert_eq!(i64::from(left), i64::from(waiting).clamp(0, since.into()));
        }

        #[test]
        fn no_more_are_taken_than_were_sent(now: u32, waiting in -9..9i32, n in 0..9u32) {
            let taken = now.wrapping_sub(waiting.cast_unsigned());
            let left = open(now, taken_after(taken, n, now));
            prop_assert_eq!(left, waiting.max(0).cast_unsigned().saturating_sub(n));
        }

        #[test]
        fn mended_is_mended(taken: u32, then: u32, now: u32) {
            let once = mended(taken, then, now);
            prop_assert_eq!(mended(once, then, now), once);
        }
    }
}
