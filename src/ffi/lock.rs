//! Locks between the processes of a runtime.

#![allow(unused_variables)]
use super::{consts::*, types::*};
use std::ffi::c_char;

/// Create a lock that all processes of the runtime share (later version).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: the handle is valid in every process of the runtime
/// Owns: rt owns the lock; name is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_register(
    rt: *mut dtm_t,
    name: *const c_char,
    ret_lock: *mut *mut dtm_lock_t,
) -> i32 {
    DTM_ENOTSUP
}

/// Take it: 0 tries, DTM_OFF waits for ever. DTM_OK; DTM_EFAILED: taken, but the last
/// owner died with it: repair what it protects; -ETIMEDOUT; -EDEADLK (later version).
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_take(lock: *mut dtm_lock_t, timeout_ms: u32) -> i32 {
    DTM_ENOTSUP
}

/// Give it back (later version).
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_give(lock: *mut dtm_lock_t) -> i32 {
    DTM_ENOTSUP
}
