//! The accept schedule: which worker takes the next client.
//!
//! Every listener is shared by all workers and owned by the master. In TOKEN
//! mode at most k workers stand armed at a listener: registered in the kernel's
//! exclusive wait queue, from which a connection wakes the first that really
//! sleeps. A worker that accepts passes its token to the least loaded worker
//! that has none. So the schedule needs no lock: a worker that is busy, stopped
//! or dead is passed over by the kernel, and nothing it holds must be freed.
//!
//! | file | what it does |
//! |---|---|
//! | `choose` | who gets the token, purely |
//! | `pool` | the shared words and the kernel's registrations, kept in step |
//! | `seat` | a worker's part |
//! | `schedule` | the master's part: who takes part, repair after a death |
//! | `sentinel` | the master's part: a queue that nobody serves |
//!
//! Another mode is another pair of [`Schedule`] and [`Seat`].

mod choose;
mod pool;
mod probe;
mod schedule;
mod seat;
mod sentinel;
#[cfg(test)]
mod tests;

use crate::config::AcceptMode;
use crate::error::{Error, Result};
use crate::ffi::DTM_ENOTSUP;

pub(crate) use schedule::Schedule;
pub(crate) use seat::Seat;

/// Listener i is token LISTENER_TOKEN + i of a worker's event loop.
pub(crate) const LISTENER_TOKEN: u32 = 0x100;

/// The name of the schedule that a mode asks for, and why it is that one.
pub(crate) fn resolve(mode: AcceptMode) -> Result<&'static str> {
    match mode {
        AcceptMode::Auto => Ok("token (chosen by auto)"),
        AcceptMode::Token => Ok("token"),
        other => Err(Error::new(
            DTM_ENOTSUP,
            format!("accept_mode {other:?}: this version of libdtm has auto and token"),
        )),
    }
}
