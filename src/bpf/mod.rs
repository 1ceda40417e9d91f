//! Kernel programs that choose which listening socket of a SO_REUSEPORT group takes
//! a connection.
//!
//! | file | what it does |
//! |---|---|
//! | `steer` | the least loaded worker, from live figures; needs privileges to load |
//! | `loads`, `row` | the figures, in memory shared with the program; those of one worker |
//! | `select` | the program |
//! | `asm`, `kernel` | eBPF instructions; bpf(2) |
//! | `table` | the flow's hash over a table of sockets; needs none |
//!
//! One kind may replace the other at any time: a connection sees the old program or
//! the new one, and what waits in a socket's queue stays there.

mod asm;
mod kernel;
mod loads;
mod row;
mod select;
mod steer;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use crate::error::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

pub(crate) use loads::Loads;
pub(crate) use row::{Row, away};
pub(crate) use steer::Steer;
pub(crate) use table::attach_table;

const CBPF: libc::c_int = libc::SO_ATTACH_REUSEPORT_CBPF;
const EBPF: libc::c_int = libc::SO_ATTACH_REUSEPORT_EBPF;

/// The kernel chooses again, as if there had never been a program. The socket has a place
/// with the program's other sockets until the kernel has done away with that, which it
/// does a little later.
pub(crate) fn detach(group_member: BorrowedFd<'_>) {
    // An error means that there is none.
    let _ = set_option(
        group_member,
        libc::SO_DETACH_REUSEPORT_BPF,
        &0,
        "SO_DETACH_REUSEPORT_BPF",
    );
}

fn set_option<T>(fd: BorrowedFd<'_>, option: libc::c_int, value: &T, name: &str) -> Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: each caller passes the type that its option reads; borrowed meanwhile.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(Error::last_os(format!("setsockopt({name})")))
}
