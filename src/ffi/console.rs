//! The ready-made console: commands of the service.

#![allow(unused_variables)]
use super::{consts::*, types::*};
use std::ffi::c_char;

/// Add a command to the ready-made console (later version).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: command is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_console_register(
    rt: *mut dtm_t,
    command: *const dtm_console_t,
) -> i32 {
    DTM_ENOTSUP
}

/// Append a string to the reply. (Later version.)
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_text(
    reply: *mut dtm_reply_t,
    text: *const c_char,
    len: usize,
) -> i32 {
    DTM_ENOTSUP
}

/// Append an integer to the reply. (Later version.)
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_integer(reply: *mut dtm_reply_t, value: i64) -> i32 {
    DTM_ENOTSUP
}

/// Make the reply an error. (Later version.)
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_error(reply: *mut dtm_reply_t, text: *const c_char) -> i32 {
    DTM_ENOTSUP
}

/// Begin an array; the next `count` parts are its members. (Later version.)
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_array(reply: *mut dtm_reply_t, count: usize) -> i32 {
    DTM_ENOTSUP
}
