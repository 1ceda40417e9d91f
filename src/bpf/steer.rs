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
    /// Of the load table.
    array: OwnedFd,
    listeners: Vec<Option<Way>>,
}

/// The sockets of one program must all be of one group.
struct Way {
    program: OwnedFd,
    /// One for each row, and the base.
    sockets: OwnedFd,
}

impl Steer {
    /// Nothing is steered yet, and all rows are closed.
    pub(crate) fn load(rows: usize) -> Result<Self> {
        if rows == 0 || rows > ROWS_MAX {
            return Err(Error::invalid(format!(
                "steer: {rows} rows, not 1..{ROWS_MAX}"
            )));
        }
        let array = kernel::shared_value(Loads::size(rows))?;
        let loads = Arc::new(Loads::map(array.as_fd(), rows)?);
        let listeners = Vec::new();
        Ok(Self {
            loads,
            array,
            listeners,
        })
    }

    /// A program for this listener, whose group may be another than before.
    pub(crate) fn prepare(&mut self, listener: usize) -> Result<()> {
        let rows = self.loads.len();
        let sockets = kernel::sockets(rows + 1)?;
        let program = kernel::load(&select::program(rows, &self.array, &sockets)?)?;
        if self.listeners.len() <= listener {
            self.listeners.resize_with(listener + 1, || None);
        }
        self.listeners[listener] = Some(Way { program, sockets });
        Ok(())
    }

    /// The listener is gone.
    pub(crate) fn forget(&mut self, listener: usize) {
        if let Some(way) = self.listeners.get_mut(listener) {
            *way = None;
        }
    }

    fn way(&self, listener: usize) -> Result<&Way> {
        let way = self.listeners.get(listener).and_then(Option::as_ref);
        way.ok_or_else(|| Error::invalid("steer: there is no program for this listener"))
    }

    /// From now on the program chooses for the whole group of this socket, which
    /// may have another program until then.
    pub(crate) fn attach(&self, listener: usize, member: BorrowedFd<'_>) -> Result<()> {
        let program = self.way(listener)?.program.as_raw_fd();
        set_option(member, EBPF, &program, "SO_ATTACH_REUSEPORT_EBPF")
    }

    /// This socket, which must be listening, is the row's; another one that was
    /// there is not any more. A socket that is closed leaves its row by itself.
    /// EBUSY: it has a place with another program. One that nobody uses any more keeps it for
    /// some ms, see [`super::detach`].
    pub(crate) fn place(&self, listener: usize, row: usize, socket: BorrowedFd<'_>) -> Result<()> {
        assert!(row < self.loads.len(), "outside of the load table");
        kernel::place(&self.way(listener)?.sockets, row, socket)
    }

    /// Where a connection goes that no row can take.
    pub(crate) fn place_base(&self, listener: usize, socket: BorrowedFd<'_>) -> Result<()> {
        kernel::place(&self.way(listener)?.sockets, self.loads.len(), socket)
    }

    /// No socket of this listener has a place any more: another program may have them.
    pub(crate) fn vacate(&self, listener: usize) {
        if let Ok(way) = self.way(listener) {
            for row in 0..=self.loads.len() {
                kernel::vacate(&way.sockets, row);
            }
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
