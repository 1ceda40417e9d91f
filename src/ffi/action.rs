//! Durable actions and their store.

#![allow(unused_variables)]
use super::{consts::*, types::*};
use std::ffi::c_char;

/// Register a durable action (later version).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: action is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_register(rt: *mut dtm_t, action: *const dtm_action_t) -> i32 {
    DTM_ENOTSUP
}

/// Start an instance: it is stored before this returns (later version).
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: args are copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_start(
    rt: *mut dtm_t,
    name: *const c_char,
    args: dtm_str_t,
    ret_id: *mut u64,
) -> i32 {
    DTM_ENOTSUP
}

/// Pause (1), resume (2), cancel (3) an instance, or give the operator's go (4) (later version).
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_control(rt: *mut dtm_t, id: u64, verb: u32) -> i32 {
    DTM_ENOTSUP
}

/// List the instances (later version).
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the arrays are the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_list(
    rt: *mut dtm_t,
    ret_infos: *mut dtm_action_info_t,
    size: usize,
    capacity: u32,
    ret_count: *mut u32,
) -> i32 {
    DTM_ENOTSUP
}

/// In a phase: go on with phase `next` instead of the following one (later version).
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_jump(phase: *const dtm_phase_t, next: u32) -> i32 {
    DTM_ENOTSUP
}

/// In a phase: do not go on before `ms` have passed (kind 0), all workers are up to date
/// (1), the drain is over (2) or an operator said go (3) (later version).
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_wait(phase: *const dtm_phase_t, kind: u32, ms: u64) -> i32 {
    DTM_ENOTSUP
}

/// Add a database for actions (later version).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: store is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_store_register(rt: *mut dtm_t, store: *const dtm_store_t) -> i32 {
    DTM_ENOTSUP
}
