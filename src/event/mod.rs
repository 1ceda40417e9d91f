//! The event loop: poller, timer wheel, clients, watches, wake-ups.

/// stub
pub(crate) struct Reactor;
