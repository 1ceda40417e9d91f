//! What a worker tells the runtime, and counters.

#![allow(unused_imports, unused_variables)]
use super::{callbacks::*, config::*, consts::*, types::*};
use std::ffi::{c_char, c_void};

/// 1 from the moment this process was told to drain or stop, else 0: time to send
/// `Connection: close` and the like.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_draining(rt: *const dtm_t) -> i32 {
    DTM_ENOTSUP
}

/// Ask this process to drain and leave, as SIGTERM would. A worker that leaves
/// this way is replaced.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_leave(rt: *mut dtm_t) -> i32 {
    DTM_ENOTSUP
}

/// Send data to the controller's `worker_answer`, by way of the master. At most
/// DTM_MESSAGE_MAX bytes. -EAGAIN: the channel is full; -EMSGSIZE.
///
/// Process: worker, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_answer(rt: *mut dtm_t, data: *const c_void, len: usize) -> i32 {
    DTM_ENOTSUP
}

/// Tell the accept schedule this worker's load in a measure of the service's own; it
/// goes by the number of open clients until the first call. DTM_OFF goes back to that.
///
/// Process: worker
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_set_load(rt: *mut dtm_t, load: u32) -> i32 {
    DTM_ENOTSUP
}

/// Ask for more time for the current step before it counts as hung (later version).
///
/// Process: worker
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_extend(rt: *mut dtm_t, ms: u32) -> i32 {
    DTM_ENOTSUP
}

/// Register a counter of the service's own; returns its index. Letters, digits, `_`.
/// Counters are kept per slot and survive the death of a worker.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: name is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_register(rt: *mut dtm_t, name: *const c_char) -> i32 {
    DTM_ENOTSUP
}

/// Add to a counter of this process's slot. One atomic addition.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_add(rt: *mut dtm_t, counter: u32, delta: u64) -> i32 {
    DTM_ENOTSUP
}

/// Read a counter of one slot, or the sum over all (`slot` = DTM_OFF).
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: ret_value is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_get(
    rt: *const dtm_t,
    counter: u32,
    slot: u32,
    ret_value: *mut u64,
) -> i32 {
    DTM_ENOTSUP
}
