//! What the program reads: a row for each worker, in memory that the kernel, the
//! master and all workers share.
//!
//! A worker may write anything here, or die in the middle. The program stays
//! within bounds whatever it reads; the worst result is a bad choice.

use super::row::{LIMIT_NS, Row};
use crate::error::{Context, Result};
use crate::shm::{Owner, Piece};
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The most rows that one program can look at: its longest jump is over all of them.
pub(crate) const ROWS_MAX: usize = 1024;

/// In front of the rows.
#[repr(C, align(64))]
pub(super) struct Header {
    /// How many rows count.
    pub(super) rows: AtomicU32,
    /// The row that wins among equals; moves behind each one that is chosen.
    pub(super) turn: AtomicU32,
    /// [`LIMIT_NS`], or what it was changed to.
    pub(super) limit: AtomicU64,
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
        let memory = MmapOptions::new()
            .len(Self::size(rows))
            .map_raw(array.as_raw_fd())
            .context("mmap of the load table")?;
        let loads = Self { memory, rows };
        loads.header().limit.store(LIMIT_NS, Relaxed);
        loads.rows().iter().for_each(Row::vacate);
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

    /// The rows, looked up once, for those who need them at each client.
    pub(crate) fn piece(self: &Arc<Self>) -> Piece<Row> {
        // SAFETY: mapped as long as the table, which the piece keeps.
        unsafe { Piece::of(self.rows(), Arc::clone(self) as Arc<Owner>) }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        // SAFETY: behind the header there are so many, see size(); else as in header().
        unsafe {
            let first = self.memory.as_mut_ptr().add(size_of::<Header>());
            std::slice::from_raw_parts(first.cast(), self.rows)
        }
    }
}
