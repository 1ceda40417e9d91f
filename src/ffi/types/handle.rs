//! Opaque handles, and strings with a length.

use std::ffi::c_char;

/// The runtime. One per process; create it with dtm_new().
pub struct dtm_t {
    _p: [u8; 0],
}

/// One connected client of a worker or of the controller. Valid from its open
/// callback until its close callback returns or dtm_client_release(), in that process only.
pub struct dtm_client_t {
    _p: [u8; 0],
}

/// Any other fd that takes part in the event loop. Valid from dtm_watch_add()
/// until its close callback returns or dtm_watch_release().
pub struct dtm_watch_t {
    _p: [u8; 0],
}

/// A timer. Valid from dtm_timer_add() until dtm_timer_free().
pub struct dtm_timer_t {
    _p: [u8; 0],
}

/// A lock between the processes of one runtime, see dtm_lock_register().
pub struct dtm_lock_t {
    _p: [u8; 0],
}

/// A reply under construction in a console command handler.
pub struct dtm_reply_t {
    _p: [u8; 0],
}

/// The transaction of an action's phase, see dtm_txn_put(). Valid while the phase's
/// callback runs.
pub struct dtm_txn_t {
    _p: [u8; 0],
}

/// A byte string with a length. Not terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_str_t {
    /// First byte; may be NULL when `len` is 0.
    pub ptr: *const c_char,
    /// Length in bytes.
    pub len: usize,
}
