//! Life of the runtime: create, listen, check, run.

#![allow(unused_imports, unused_variables)]
use super::{callbacks::*, config::*, consts::*, types::*};
use std::ffi::{c_char, c_void};

/// Zero a config struct and set its size, for callers that cannot use
/// DTM_CONFIG_INIT. `size` is sizeof(dtm_config_t) of the caller's header.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_config_init(config: *mut dtm_config_t, size: usize) -> i32 {
    DTM_ENOTSUP
}

/// The same for a callback table.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_callbacks_init(callbacks: *mut dtm_callbacks_t, size: usize) -> i32 {
    DTM_ENOTSUP
}

/// Create the runtime: check every value, read the `[dtm]` section of the config
/// file, open the log. Nothing is forked, no signal handler is installed.
///
/// DTM_EABI, DTM_EINVAL, DTM_ECONFIG (a wrong value or file, named by
/// dtm_last_error()), DTM_ENOTSUP, DTM_ESTATE (this process has a runtime already),
/// -ENOENT or -EACCES (config file). `*ret_rt` is written only on success.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: children of the service cannot use the handle
/// Owns: the caller owns *ret_rt and gives it back with dtm_free(); config and callbacks are copied, user_data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_new(
    config: *const dtm_config_t,
    callbacks: *const dtm_callbacks_t,
    user_data: *mut c_void,
    ret_rt: *mut *mut dtm_t,
) -> i32 {
    DTM_ENOTSUP
}

/// Destroy the runtime. NULL is allowed. Closes the listeners and removes the Unix
/// socket files this process bound. Does nothing in any other process, nor
/// while dtm_run() runs.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: takes rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_free(rt: *mut dtm_t) {}

/// Bind and open a listener for clients; the workers accept from it. Returns its
/// index (0, 1, ...), or: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, DTM_EINVAL (the
/// address cannot be read), -ENOSPC (more than DTM_LISTENERS_MAX), DTM_ESTATE.
///
/// A Unix socket file that nobody listens on is replaced; one with a live owner
/// gives -EADDRINUSE.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    DTM_ENOTSUP
}

/// The same for the control listener, from which the controller accepts. At most one.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_control(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    DTM_ENOTSUP
}

/// The port that listener `index` is bound to (for port 0 in its address); 0 for
/// Unix sockets. -ENOENT when there is no such listener.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_port(rt: *const dtm_t, index: u32) -> i32 {
    DTM_ENOTSUP
}

/// Register a helper process. Returns its index.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: func is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_func_register(rt: *mut dtm_t, func: *const dtm_func_t) -> i32 {
    DTM_ENOTSUP
}

/// Would this service start? Does all that dtm_run() does before its first fork,
/// the `config_load` callback included, then undoes it. For `-t` options.
/// Answers what dtm_run() would answer, DTM_OK if it would start.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_check(rt: *mut dtm_t) -> i32 {
    DTM_ENOTSUP
}

/// Become the master: fork, supervise, and return when the service has ended, in
/// this process only. Afterwards no child, no fd, no signal handler and no socket
/// file of the runtime is left. Children never return from it.
///
/// `ret_result` may be NULL; otherwise `result_size` is sizeof(dtm_result_t).
/// DTM_OK after an orderly end. DTM_ETHREADS, DTM_ECONFIG, -EMFILE and other errors
/// before the first fork; DTM_ESTATE when it runs or ran already; DTM_EFAILED when
/// the first generation could not start.
///
/// Process: host (becomes the master)
/// Thread: owner
/// Signal: unsafe
/// Fork: flushes stdio with fflush(NULL) before each fork; needs one thread, see DTM_F_ALLOW_THREADS
/// Owns: ret_result is the caller's; written on success and on failure
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_run(
    rt: *mut dtm_t,
    ret_result: *mut dtm_result_t,
    result_size: usize,
) -> i32 {
    DTM_ENOTSUP
}

/// Ask this process's master for something, as a signal would: one of
/// DTM_CMD_LOADCONF, _RELOAD, _START, _STOP, _SHUTDOWN, _SHUTDOWN_NOW,
/// _REOPEN_LOG. Returns at once; the log tells the outcome. In a worker, func or
/// controller only the two shutdowns, which mean that process itself.
///
/// Process: master, worker, controller, func
/// Thread: any
/// Signal: safe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_request(command: u32) -> i32 {
    DTM_ENOTSUP
}

/// Who is the calling process? `size` is sizeof(dtm_self_t). Answers DTM_EFORKED in
/// a process the service itself forked.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: ret_self is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_self(rt: *const dtm_t, ret_self: *mut dtm_self_t, size: usize) -> i32 {
    DTM_ENOTSUP
}

/// Write one line to libdtm's log, with this process's role, slot and generation.
/// Never blocks; lines that the target cannot take are dropped and counted.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: text is only read
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_log(rt: *const dtm_t, level: u32, text: *const c_char) -> i32 {
    DTM_ENOTSUP
}
