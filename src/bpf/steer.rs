//! Steering: the program, its sockets and its load table.

use super::kernel;
use super::loads::{Header, Loads, ROWS_MAX};
use super::{EBPF, select, set_option};
use crate::error::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Sends each new connection of some listeners to the least loaded worker, as the
/// SYN arrives. Loaded by the master, before any fork; every child inherits the
/// load table. The kernel keeps a program as long as a group uses it.
pub(crate) struct Steer {
    loads: Arc<Loads>,
    listeners: Vec<Way>,
}

/// The sockets of one program must all be of one group.
struct Way {
    program: OwnedFd,
    /// One for each row, and the base.
    sockets: OwnedFd,
}

impl Steer {
    /// Nothing is steered yet, and all rows are closed.
    pub(crate) fn load(rows: usize, listeners: usize) -> Result<Self> {
        if rows == 0 || rows > ROWS_MAX {
            return Err(Error::invalid(format!(
                "steer: {rows} rows, not 1..{ROWS_MAX}"
            )));
        }
        let array = kernel::shared_value(Loads::size(rows))?;
        let way = |_| {
            let sockets = kernel::sockets(rows + 1)?;
            let program = kernel::load(&select::program(rows, &array, &sockets)?)?;
            Ok(Way { program, sockets })
        };
        let listeners = (0..listeners).map(way).collect::<Result<_>>()?;
        let loads = Arc::new(Loads::map(array.as_fd(), rows)?);
        Ok(Self { loads, listeners })
    }

    /// From now on the program chooses for the whole group of this socket, which
    /// may have another program until then.
    pub(crate) fn attach(&self, listener: usize, member: BorrowedFd<'_>) -> Result<()> {
        let program = self.listeners[listener].program.as_raw_fd();
        set_option(member, EBPF, &program, "SO_ATTACH_REUSEPORT_EBPF")
    }

    /// This socket, which must be listening, is the row's; another one that was
    /// there is not any more. A socket that is closed leaves its row by itself.
    pub(crate) fn place(&self, listener: usize, row: usize, socket: BorrowedFd<'_>) -> Result<()> {
        assert!(row < self.loads.len(), "outside of the load table");
        kernel::place(&self.listeners[listener].sockets, row, socket)
    }

    /// Where a connection goes that no row can take.
    pub(crate) fn place_base(&self, listener: usize, socket: BorrowedFd<'_>) -> Result<()> {
        kernel::place(&self.listeners[listener].sockets, self.loads.len(), socket)
    }

    /// No socket of this listener has a place any more: another program may have them.
    pub(crate) fn vacate(&self, listener: usize) {
        for row in 0..=self.loads.len() {
            kernel::vacate(&self.listeners[listener].sockets, row);
        }
    }

    /// Only the first n rows are looked at; 0 at first.
    pub(crate) fn set_rows(&self, n: usize) {
        let n = u32::try_from(n.min(self.loads.len())).unwrap_or_default();
        self.header().rows.store(n, Relaxed);
    }

    /// The load table alone: all that a worker needs.
    pub(crate) fn loads(&self) -> Arc<Loads> {
        Arc::clone(&self.loads)
    }

    pub(super) fn header(&self) -> &Header {
        self.loads.header()
    }
}
