//! The runtime object behind `dtm_t`.

use crate::config::Config;
use crate::event::Reactor;
use crate::ffi::*;
use std::cell::{OnceCell, RefCell};
use std::ffi::c_void;

/// Everything a process has; each child inherits the master's and adds its own.
pub(crate) struct Runtime {
    pub(crate) config: RefCell<Config>,
    pub(crate) callbacks: dtm_callbacks_t,
    pub(crate) user_data: *mut c_void,
    /// The event loop of this child; unset in host and master.
    pub(crate) reactor: OnceCell<Reactor>,
}
