//! The event loop of worker, controller and func: clients, watches, timers, wake-ups.
//!
//! | file | what it holds |
//! |---|---|
//! | `reactor`, `pass` | the loop: one pass waits, then serves whatever is due |
//! | `step` | what a step's result means; the end of an entry |
//! | `client`, `watch`, `timer`, `handle` | the operations behind the C API |
//! | `census` | who the clients are, for those who ask from outside |
//! | `foreign` | the loop as one fd inside of somebody else's loop |
//! | `slab`, `entry` | the objects, and handles that outlive them safely |
//! | `wheel`, `queue`, `clock` | when and in which order |
//! | `poller` | epoll |
//!
//! Callbacks of the service re-enter all of this. So everything takes `&self`, state
//! lies in cells, nothing stays borrowed while a callback runs, and no callback runs
//! inside of another one's library call: what it asks for waits in the queue.
//!
//! What runs for each connection and each step, here, in `accept`, `worker` and `ffi`, is
//! put in the section `.text.hot`, so that it lies on few pages; see docs/accept.md.

mod census;
mod client;
mod clock;
mod entry;
mod foreign;
mod handle;
mod pass;
mod poller;
mod queue;
mod reactor;
mod slab;
mod step;
mod timer;
mod watch;
mod wheel;

#[cfg(test)]
mod tests;

pub(crate) use client::{Copies, Origin};
pub(crate) use reactor::{ASLEEP, BOUNDARY, OWN, Owner, Reactor, Setup, TOKENS};

pub(crate) use client::{ask_client, client_key, client_origin, client_set_state, set_busy};
pub(crate) use entry::Entry;
pub(crate) use poller::unread;
pub(crate) use watch::ask_watch;

use crate::error::{Error, Result};
use crate::ffi::DTM_ESTATE;
use crate::runtime::Runtime;

/// This process's loop, for the C API.
#[inline(always)]
pub(crate) fn of(runtime: &Runtime) -> Result<&Reactor> {
    runtime.reactor().ok_or_else(no_loop)
}

#[cold]
fn no_loop() -> Error {
    Error::new(DTM_ESTATE, "this process's event loop is not set up yet")
}
