//! What the program reads: a row for each worker, in memory that the kernel, the
//! master and all workers share.
//!
//! A worker may write anything here, or die in the middle. The program stays
//! within bounds whatever it reads; the worst result is a bad choice.

use crate::error::{Error, Result};
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::{Relaxed, SeqCst}};

/// The most rows that one program can look at: its longest jump is over all of them.
pub(crate) const ROWS_MAX: usize = 1024;

/// A worker that has been busy for longer is left alone while another one is there.
pub(crate) const LIMIT_NS: u64 = 1_000_000;

/// Later than now, however long the machine runs.
use crate::event::ASLEEP;

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

    /// The socket's queue is empty: what was sent here and never arrived, because
    /// a client gave up, is not waited for. One that arrives nevertheless is
    /// forgiven: fewer than none on the way are none.
    pub(crate) fn settle(&self) {
        let assigned = self.assigned.load(Relaxed);
        self.taken.store(assigned, Relaxed);
    }

    /// Before a worker is made for this row. What waits in the socket's queue stays
    /// counted: the new worker will accept it.
    pub(crate) fn vacate(&self) {
        self.away.store(away::CLOSED, SeqCst);
        self.load.store(0, Relaxed);
        self.asleep();
    }
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
