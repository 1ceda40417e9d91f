//! What the program reads: a row for each worker, in memory that the kernel, the
//! master and all workers share.
//!
//! A worker may write anything here, or die in the middle. The program stays
//! within bounds whatever it reads; the worst result is a bad choice.

use crate::error::{Error, Result};
use crate::event::ASLEEP;
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// The most rows that one program can look at: its longest jump is over all of them.
pub(crate) const ROWS_MAX: usize = 1024;

/// A worker that has been busy for longer is left alone while another one is there.
pub(crate) const LIMIT_NS: u64 = 1_000_000;

/// Why a worker takes no clients. Each writer has bits of its own.
pub(crate) mod away {
    /// Master: no worker, or not open yet. So begins a row.
    pub(crate) const CLOSED: u32 = 1;
    /// Master: it does not take what it was sent.
    pub(crate) const HUNG: u32 = 1 << 1;
    /// Master: the kernel says that it is stopped.
    pub(crate) const STOPPED: u32 = 1 << 2;
    /// Worker: at its limit of clients.
    pub(crate) const FULL: u32 = 1 << 16;
    /// Worker: draining.
    pub(crate) const LEAVING: u32 = 1 << 17;
}

/// In front of the rows.
#[repr(C, align(64))]
pub(super) struct Header {
    /// How many rows count.
    pub(super) rows: AtomicU32,
    /// The row that wins among equals; moves behind each one that is chosen.
    pub(super) turn: AtomicU32,
    pub(super) limit: AtomicU64,
    /// Connections that no row could take.
    pub(super) spilled: AtomicU32,
}

/// A worker, as the program sees it: one cache line.
#[repr(C, align(64))]
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

    /// Where its loop notes when it woke up (CLOCK_MONOTONIC in ns) and that it sleeps.
    pub(crate) fn beat(&self) -> &AtomicU64 {
        &self.busy_since
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.busy_since.load(Relaxed) >= ASLEEP
    }

    /// The worker is about to sleep.
    pub(crate) fn asleep(&self) {
        self.busy_since.store(ASLEEP, Relaxed);
    }

    /// A connection of this row's socket was accepted, by this worker or another.
    pub(crate) fn took(&self, n: u32) {
        self.taken.fetch_add(n, Relaxed);
    }

    /// Connections that were sent here and not accepted yet.
    pub(crate) fn on_the_way(&self) -> u32 {
        let assigned = self.assigned.load(Relaxed);
        let open = assigned.wrapping_sub(self.taken.load(Relaxed));
        open.cast_signed().max(0).cast_unsigned()
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
        let now = self.assigned();
        let mend = |taken| Some(mended(taken, then, now));
        // Never fails, as the closure always has an answer.
        let _ = self.taken.fetch_update(Relaxed, Relaxed, mend);
        now
    }

    /// Before a worker is made for this row. What waits in the socket's queue stays
    /// counted: the new worker will accept it.
    pub(crate) fn vacate(&self) {
        self.away.store(away::CLOSED, SeqCst);
        self.load.store(0, Relaxed);
        self.asleep();
    }
}

/// What can have been accepted, when so many were sent: all of those of then, or
/// lost, and none that was not sent.
fn mended(taken: u32, then: u32, now: u32) -> u32 {
    let open = now.wrapping_sub(taken).cast_signed();
    let most = now.wrapping_sub(then).cast_signed().max(0);
    now.wrapping_sub(open.clamp(0, most).cast_unsigned())
}

/// The load table, as a mapping.
pub(crate) struct Loads {
    memory: MmapRaw,
    rows: usize,
}

impl Loads {
    /// Bytes of a table with this many rows.
    pub(super) fn size(rows: usize) -> usize {
        size_of::<Header>() + rows * size_of::<Row>()
    }

    /// Map the only value of an array map, which starts at a page.
    pub(super) fn map(array: BorrowedFd<'_>, rows: usize) -> Result<Self> {
        use crate::error::Context;
        use std::os::fd::AsRawFd;
        if rows == 0 || rows > ROWS_MAX {
            return Err(Error::invalid(format!(
                "steer: {rows} rows, not 1..{ROWS_MAX}"
            )));
        }
        let memory = MmapOptions::new()
            .len(Self::size(rows))
            .map_raw(array.as_raw_fd())
            .context("mmap of the load table")?;
        let loads = Self { memory, rows };
        loads.header().limit.store(LIMIT_NS, Relaxed);
        (0..rows).for_each(|row| loads.row(row).vacate());
        Ok(loads)
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping is as large as size() says, aligned to a page, lives
        // as long as self, and holds atomics, for which any content is valid.
        unsafe { &*self.memory.as_mut_ptr().cast() }
    }

    pub(crate) fn row(&self, row: usize) -> &Row {
        assert!(row < self.rows, "outside of the load table");
        let offset = Self::size(row);
        // SAFETY: inside of the mapping, as just checked; else as in header().
        unsafe { &*self.memory.as_mut_ptr().add(offset).cast() }
    }
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
            open in -1000..2000i32,
        ) {
            let (then, taken) = (now.wrapping_sub(since), now.wrapping_sub(open.cast_unsigned()));
            let left = now.wrapping_sub(mended(taken, then, now));
            prop_assert_eq!(i64::from(left), i64::from(open).clamp(0, since.into()));
        }

        #[test]
        fn mended_is_mended(taken: u32, then: u32, now: u32) {
            let once = mended(taken, then, now);
            prop_assert_eq!(mended(once, then, now), once);
        }
    }
}
