//! The event loop inside a foreign one.

#![allow(unused_imports, unused_variables)]
use super::{callbacks::*, config::*, consts::*, types::*};
use std::ffi::{c_char, c_void};

/// One fd that is readable when dtm_loop_dispatch() has something to do: for
/// `worker_main` or a func that lives in libuv, libevent or an epoll of its own.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: borrowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_loop_fd(rt: *const dtm_t) -> i32 {
    DTM_ENOTSUP
}

/// One pass of libdtm's loop: waits up to `timeout_ms` (0: not at all, -1: until
/// something happens) and runs the callbacks that are due. Returns 0; DTM_EGONE
/// when this process should leave now: return from `worker_main` or `main`.
/// With a foreign loop, call it with 0 when dtm_loop_fd() is readable.
///
/// Process: worker (in worker_main), func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_loop_dispatch(rt: *mut dtm_t, timeout_ms: i32) -> i32 {
    DTM_ENOTSUP
}
