//! Clients of workers and of the controller.

#![allow(unused_imports, unused_variables)]
use super::{callbacks::*, config::*, consts::*, types::*};
use std::ffi::{c_char, c_void};

/// The client's socket, non-blocking. Read and write it; never close it, and leave
/// its place in epoll to libdtm.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: borrowed: libdtm closes it after the close callback
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_fd(client: *const dtm_client_t) -> i32 {
    DTM_ENOTSUP
}

/// A number for logs, unique in this process; 0 for a stale handle.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_id(client: *const dtm_client_t) -> u64 {
    0
}

/// The tag of the listener that it came from.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_tag(client: *const dtm_client_t) -> u64 {
    0
}

/// The index of the listener that it came from; -1 for the control listener.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_listener(client: *const dtm_client_t) -> i32 {
    DTM_ENOTSUP
}

/// Write the peer's address as text, such as "127.0.0.1:4711", "[::1]:4711" or
/// "unix", terminated and cut to `size`. Returns the full length without the
/// terminator. 64 bytes are enough.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: buffer is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_peer(
    client: *const dtm_client_t,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    DTM_ENOTSUP
}

/// Attach a pointer of the service's own.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's; libdtm never touches it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_data(client: *mut dtm_client_t, data: *mut c_void) -> i32 {
    DTM_ENOTSUP
}

/// The attached pointer, NULL at first.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_data(client: *const dtm_client_t) -> *mut c_void {
    std::ptr::null_mut()
}

/// Say whether a request of this client is in flight. New clients are busy. A
/// drain closes idle clients at once (after what they already sent was served) and
/// lets busy ones finish until the drain deadline.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_busy(client: *mut dtm_client_t, busy: i32) -> i32 {
    DTM_ENOTSUP
}

/// Change what the client waits for from outside of its own step: DTM_READ,
/// DTM_WRITE, DTM_HUP or 0. Its own step says so by its result.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_interest(client: *mut dtm_client_t, interest: u32) -> i32 {
    DTM_ENOTSUP
}

/// Run this client's step with DTM_WAKE in the same pass. Waking twice is once.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_wake(client: *mut dtm_client_t) -> i32 {
    DTM_ENOTSUP
}

/// Set this client's idle timeout (0: the configured one; DTM_OFF: none). Each step
/// starts it anew; re-arming costs one store.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_timeout(client: *mut dtm_client_t, idle_ms: u32) -> i32 {
    DTM_ENOTSUP
}

/// Close the client: its close callback runs with DTM_CLOSE_ASKED before this pass
/// ends, in its own step after the step returned.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the handle is stale when the close callback has returned
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_close(client: *mut dtm_client_t) -> i32 {
    DTM_ENOTSUP
}
