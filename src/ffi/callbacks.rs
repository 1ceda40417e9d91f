//! The types of callbacks, and the table that a service fills.
//!
//! All are `extern "C-unwind"`: a C++ exception that tries to leave one ends
//! the process in a defined way instead of skipping destructors silently.

use super::types::*;
use std::ffi::{c_char, c_void};

/// Master, and controller after a successful load in the master: load and check
/// the service's own configuration. `path` is the `config_file` of dtm_config_t
/// or NULL. 0, or a negative code: then nothing that runs is changed; the same for a
/// positive one, such as an index of dtm_listen(). Keep what was loaded before until
/// `config_revert` can no longer come (see there).
pub type dtm_config_load_cb = Option<
    unsafe extern "C-unwind" fn(rt: *mut dtm_t, path: *const c_char, user_data: *mut c_void) -> i32,
>;
/// Process-wide notification without further arguments.
pub type dtm_notify_cb =
    Option<unsafe extern "C-unwind" fn(rt: *mut dtm_t, user_data: *mut c_void)>;
/// Process-wide callback: 0, or a negative code: it has failed. Of `worker_main`: the exit
/// status.
pub type dtm_init_cb =
    Option<unsafe extern "C-unwind" fn(rt: *mut dtm_t, user_data: *mut c_void) -> i32>;
/// Master: a life event happened. Must return quickly.
pub type dtm_event_cb = Option<
    unsafe extern "C-unwind" fn(rt: *mut dtm_t, event: *const dtm_event_t, user_data: *mut c_void),
>;
/// Any process: one log line without line end, for `log_target = callback`.
/// Must not call libdtm, fork or block.
pub type dtm_log_cb = Option<
    unsafe extern "C-unwind" fn(
        level: u32,
        line: *const c_char,
        len: usize,
        user_data: *mut c_void,
    ),
>;
/// Worker: a message from the controller. 0: taken. Negative: refused; before
/// the gate has opened this keeps it shut and the controller tries again.
pub type dtm_message_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        data: *const c_void,
        len: usize,
        user_data: *mut c_void,
    ) -> i32,
>;
/// Worker or controller: a client was accepted. Returns its first interest
/// (DTM_READ, or DTM_WRITE where the server speaks first), DTM_TAKEN, or a
/// negative code to refuse it: it is closed and the close callback runs.
pub type dtm_client_open_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        client: *mut dtm_client_t,
        user_data: *mut c_void,
    ) -> i32,
>;
/// Worker or controller: the client's state machine. `events` says why: DTM_READ,
/// DTM_WRITE, DTM_HUP, DTM_WAKE, DTM_DRAIN. Returns the next interest, DTM_WAIT,
/// DTM_KEEP, DTM_DONE, or a negative code to close it with DTM_CLOSE_ERROR.
pub type dtm_client_step_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        client: *mut dtm_client_t,
        events: u32,
        user_data: *mut c_void,
    ) -> i32,
>;
/// Worker or controller: the end of a client, exactly once for each that was
/// opened and not released, with DTM_CLOSE_*. The fd is still open here and closed
/// afterwards, see dtm_client_release().
pub type dtm_client_close_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        client: *mut dtm_client_t,
        reason: i32,
        user_data: *mut c_void,
    ),
>;
/// Controller: bring this worker to the newest state with dtm_send(). 0: it is
/// up to date; its gate opens when it has handled every message sent here and
/// refused none. -EAGAIN: call again later. Other negative: failed, tried again
/// with back-off. A controller that was restarted is called for workers that
/// are open already, too (`worker->state`): they stay open meanwhile.
pub type dtm_update_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        worker: *const dtm_worker_t,
        user_data: *mut c_void,
    ) -> i32,
>;
/// Controller: a worker sent data with dtm_answer() (`status` 0), or refused a
/// message (`status` is its code, `data` is empty). If it died meanwhile,
/// `worker->state` is DTM_WORKER_DEAD and `worker->slot` is 0xffffffff.
pub type dtm_answer_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        worker: *const dtm_worker_t,
        status: i32,
        data: *const c_void,
        len: usize,
        user_data: *mut c_void,
    ),
>;
/// Controller: the answer to a command, or to what was asked of actions. `status`: DTM_OK, or why not;
/// `detail` is one line for people. Exactly once per command; not called when
/// the controller itself ends first.
pub type dtm_command_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        id: u64,
        status: i32,
        detail: *const c_char,
        data: *mut c_void,
    ),
>;
/// Controller: what dtm_store_get() has found. `status`: DTM_OK, or why there is no value.
/// Exactly once per call that returned DTM_OK; not called when the controller itself ends
/// first.
pub type dtm_value_cb = Option<
    unsafe extern "C-unwind" fn(rt: *mut dtm_t, status: i32, value: dtm_str_t, data: *mut c_void),
>;
/// The step of a watch, like a client's.
pub type dtm_watch_step_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        watch: *mut dtm_watch_t,
        events: u32,
        data: *mut c_void,
    ) -> i32,
>;
/// The end of a watch, exactly once, with DTM_CLOSE_*. The fd is closed afterwards.
pub type dtm_watch_close_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        watch: *mut dtm_watch_t,
        reason: i32,
        data: *mut c_void,
    ),
>;
/// A timer fired.
pub type dtm_timer_cb =
    Option<unsafe extern "C-unwind" fn(rt: *mut dtm_t, timer: *mut dtm_timer_t, data: *mut c_void)>;
/// Main function of a helper process; the result (0..=255) is its exit status. If it
/// changes the user, the kernel forgets that it is to end with the master, until
/// dtm_loop_dispatch() is called the next time.
pub type dtm_func_main_cb =
    Option<unsafe extern "C-unwind" fn(rt: *mut dtm_t, data: *mut c_void) -> i32>;
/// A helper process got a message. 0: taken. Negative: refused.
pub type dtm_func_message_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        msg: *const c_void,
        len: usize,
        data: *mut c_void,
    ) -> i32,
>;
/// Handler of a console command; argv[0] is the name. Fills the reply.
pub type dtm_console_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        reply: *mut dtm_reply_t,
        argc: usize,
        argv: *const dtm_str_t,
        data: *mut c_void,
    ) -> i32,
>;
/// A phase of an action: DTM_ACTION_*, or a negative code: this attempt has failed and
/// is repeated later, at most `attempts` times. See dtm_action_register().
pub type dtm_phase_cb = Option<
    unsafe extern "C-unwind" fn(
        rt: *mut dtm_t,
        phase: *const dtm_phase_t,
        data: *mut c_void,
    ) -> i32,
>;
/// Store: connect. `data` is dtm_store_t.data; `err` takes one line for people.
pub type dtm_store_open_cb = Option<
    unsafe extern "C-unwind" fn(
        data: *mut c_void,
        uri: *const c_char,
        ret_store: *mut *mut c_void,
        err: *mut c_char,
        err_len: usize,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: disconnect.
pub type dtm_store_close_cb = Option<unsafe extern "C-unwind" fn(store: *mut c_void)>;
/// Store: one line for people about the last failure, or NULL; valid until the next call.
pub type dtm_store_error_cb =
    Option<unsafe extern "C-unwind" fn(store: *mut c_void) -> *const c_char>;
/// Store: liveness probe; also the end of a transaction without a write.
pub type dtm_store_ping_cb =
    Option<unsafe extern "C-unwind" fn(store: *mut c_void, timeout_ms: u32) -> i32>;
/// Store: go on with the call that answered DTM_STORE_AGAIN: without waiting for anything.
/// DTM_STORE_AGAIN: it goes on when `*ret_fd` is ready for `*ret_interest`, DTM_READ and
/// DTM_WRITE; otherwise the call's result.
pub type dtm_store_step_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        ret_fd: *mut i32,
        ret_interest: *mut u32,
    ) -> i32,
>;
/// Takes one key that a store has found, its value and version; non-zero ends the walk.
pub type dtm_store_sink_cb = Option<
    unsafe extern "C-unwind" fn(
        sink: *mut c_void,
        key: dtm_str_t,
        value: dtm_str_t,
        version: u64,
    ) -> i32,
>;
/// Store: read one key.
pub type dtm_store_get_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        key: dtm_str_t,
        emit: dtm_store_sink_cb,
        sink: *mut c_void,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: at most `limit` keys that begin with `prefix`, in the order of their bytes,
/// beginning behind `after` (empty: with the first).
pub type dtm_store_list_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        prefix: dtm_str_t,
        after: dtm_str_t,
        limit: usize,
        emit: dtm_store_sink_cb,
        sink: *mut c_void,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: all `count` writes or none. A version is above every earlier one of the store.
pub type dtm_store_write_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        writes: *const dtm_write_t,
        count: usize,
        ret_version: *mut u64,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: begin a transaction, which ends with the next `write` or `rollback`.
pub type dtm_store_begin_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        ret_native: *mut *mut c_void,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: acquire a name for `ttl_ms`, or renew it. 0: it is `owner`'s, by the store's
/// own clock, and nobody else's before that time is over; DTM_EREFUSED: another has it.
pub type dtm_store_lease_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        name: dtm_str_t,
        owner: dtm_str_t,
        ttl_ms: u32,
        timeout_ms: u32,
    ) -> i32,
>;
/// Store: give a lease back, if `owner` has it.
pub type dtm_store_unlease_cb = Option<
    unsafe extern "C-unwind" fn(
        store: *mut c_void,
        name: dtm_str_t,
        owner: dtm_str_t,
        timeout_ms: u32,
    ) -> i32,
>;

/// Everything a service can be asked or told. Copied by dtm_new(); the
/// functions must stay callable as long as the runtime exists. NULL members are
/// skipped. `client_step` is the only one that a service must have, unless it
/// has a `worker_main`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_callbacks_t {
    /// sizeof(dtm_callbacks_t). DTM_CALLBACKS_INIT sets it.
    pub size: usize,
    /// Master and controller: load the service's configuration (at start, on
    /// loadconf, before a reload). In the master it may call dtm_listen() and
    /// dtm_unlisten(); dtm_self() tells which of the two this is.
    pub config_load: dtm_config_load_cb,
    /// Master and controller: the reload for which `config_load` ran was
    /// cancelled, or (master only) the load was refused with DTM_ETHREADS: put back what
    /// was there before, so that replacements of the old generation's workers get it.
    /// Never called after DTM_EVENT_RELOAD.
    pub config_revert: dtm_notify_cb,
    /// Master: a life event.
    pub event: dtm_event_cb,
    /// Any process: a log line.
    pub log: dtm_log_cb,
    /// Worker: after fork, before the gate. Open databases, start threads, seed
    /// random numbers here, not before. Change the user here, not later: the kernel forgets
    /// then that the worker is to end with the master, and is told again when this returns.
    /// Failure: DTM_EXIT_INIT.
    pub worker_init: dtm_init_cb,
    /// Worker: last callback before the process ends in order.
    pub worker_exit: dtm_notify_cb,
    /// Worker: a message from the controller, at the gate or later.
    pub worker_message: dtm_message_cb,
    /// Worker: every `worker_tick_ms`.
    pub worker_tick: dtm_notify_cb,
    /// Worker: a drain began.
    pub worker_drain: dtm_notify_cb,
    /// Worker: before the gate opens: is everything well? Negative: not opened.
    pub worker_health: dtm_init_cb,
    /// Worker: the service runs its own event loop here, see dtm_loop_fd().
    /// The process leaves when it returns.
    pub worker_main: dtm_init_cb,
    /// Worker: a client was accepted. NULL: first interest DTM_READ.
    pub client_open: dtm_client_open_cb,
    /// Worker: a client goes on.
    pub client_step: dtm_client_step_cb,
    /// Worker: a client ends.
    pub client_close: dtm_client_close_cb,
    /// Controller: after fork, before it holds the control lock.
    pub controller_init: dtm_init_cb,
    /// Controller: last callback before the process ends in order.
    pub controller_exit: dtm_notify_cb,
    /// Controller: once per pass, with a fresh worker list; see `controller_tick_ms`.
    pub controller_pass: dtm_notify_cb,
    /// Controller: bring a new worker up to date. NULL: every worker is.
    pub update_new_worker: dtm_update_cb,
    /// Controller: a worker answered or refused.
    pub worker_answer: dtm_answer_cb,
    /// Controller: a client of the control listener was accepted.
    pub control_open: dtm_client_open_cb,
    /// Controller: a control client goes on. NULL: the ready-made console, which
    /// redis-cli and every Redis client talk to; `control_open` and `control_close` are
    /// not called then. See docs/console.md.
    pub control_step: dtm_client_step_cb,
    /// Controller: a control client ends.
    pub control_close: dtm_client_close_cb,
}
