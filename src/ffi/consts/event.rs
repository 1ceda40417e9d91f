//! What happens at a client or watch, and what is waited for.

/// Interest and event: readable.
pub const DTM_READ: u32 = 0x1;
/// Interest and event: writable.
pub const DTM_WRITE: u32 = 0x2;
/// Interest: tell me when the peer shuts down its sending side. Event: it did,
/// or the connection failed. Failures are reported whatever the interest is.
pub const DTM_HUP: u32 = 0x4;
/// Event only: dtm_client_wake() or dtm_watch_wake() was called.
pub const DTM_WAKE: u32 = 0x10;
/// Event only: the worker began to drain while this client was busy. Delivered once.
pub const DTM_DRAIN: u32 = 0x20;

/// Step result: wait for nothing but a wake-up, a timeout or a failure.
pub const DTM_WAIT: i32 = 0;
/// Step result: keep the interest as it is.
pub const DTM_KEEP: i32 = 0x100;
/// Step result: final state. The close callback runs and the fd is closed.
pub const DTM_DONE: i32 = 0x200;
/// Result of `client_open` in a service with its own event loop: the service
/// polls the fd itself; libdtm only counts the client, until dtm_client_release()
/// or dtm_client_close().
pub const DTM_TAKEN: i32 = 0x400;

/// Close reason: the step returned DTM_DONE.
pub const DTM_CLOSE_DONE: i32 = 1;
/// Close reason: dtm_client_close() or dtm_watch_close() was called.
pub const DTM_CLOSE_ASKED: i32 = 2;
/// Close reason: the peer is gone and the step did not ask to go on.
pub const DTM_CLOSE_PEER: i32 = 3;
/// Close reason: no activity for the idle timeout.
pub const DTM_CLOSE_TIMEOUT: i32 = 4;
/// Close reason: the worker drains and the client was idle.
pub const DTM_CLOSE_DRAIN: i32 = 5;
/// Close reason: the worker drains and the client was busy past the drain deadline.
pub const DTM_CLOSE_DEADLINE: i32 = 6;
/// Close reason: the process stops at once (fast shutdown, or the master is gone).
pub const DTM_CLOSE_SHUTDOWN: i32 = 7;
/// Close reason: the step returned a negative value, or the kernel reported an error.
pub const DTM_CLOSE_ERROR: i32 = 8;
