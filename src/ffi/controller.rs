//! The controller: workers, messages, commands.

#![allow(unused_imports, unused_variables)]
use super::{callbacks::*, config::*, consts::*, types::*};
use std::ffi::{c_char, c_void};

/// The workers of this pass, oldest first, those that are draining or wait for a
/// replacement included. `size` is sizeof(dtm_worker_t). `*ret_count` is how many
/// there are; when that is above `capacity`, the rest is left out and -ENOSPC returned.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the arrays are the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_workers(
    rt: *const dtm_t,
    ret_workers: *mut dtm_worker_t,
    size: usize,
    capacity: u32,
    ret_count: *mut u32,
) -> i32 {
    DTM_ENOTSUP
}

/// Send a message to one worker or func. DTM_OK: it is in the process's channel, or
/// queued behind others for it, in order. It reaches exactly that spawn, or nobody.
/// -EAGAIN: `channel_queue` is full; DTM_EGONE: no such process any more; -EMSGSIZE.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_send(
    rt: *mut dtm_t,
    spawn: u64,
    data: *const c_void,
    len: usize,
) -> i32 {
    DTM_ENOTSUP
}

/// Send to every worker of a generation (0: of all). `*ret_count` (may be NULL) is
/// how many took it; the result is DTM_OK if all did, otherwise the first error.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_send_all(
    rt: *mut dtm_t,
    generation: u32,
    data: *const c_void,
    len: usize,
    ret_count: *mut u32,
) -> i32 {
    DTM_ENOTSUP
}

/// Send a command to the master; it takes effect at its next loop pass. `done` (may be
/// NULL) gets the answer: DTM_OK, -EBUSY (one like it is running), DTM_EREFUSED,
/// DTM_ENOFORK, DTM_EFAILED, DTM_ECONFIG, DTM_ENOTSUP. Long ones answer at their end.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: command is copied; data must live until done ran
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_command(
    rt: *mut dtm_t,
    command: *const dtm_command_t,
    done: dtm_command_cb,
    data: *mut c_void,
    ret_id: *mut u64,
) -> i32 {
    DTM_ENOTSUP
}
