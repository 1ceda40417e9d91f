//! Durable actions and their store.

use super::super::callbacks::*;
use super::handle::*;
use std::ffi::{c_char, c_void};

/// What an action phase is told.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_phase_t {
    /// sizeof(dtm_phase_t), set by libdtm.
    pub size: usize,
    /// The action instance.
    pub id: u64,
    /// The action's name.
    pub name: *const c_char,
    /// The phase, from 0.
    pub phase: u32,
    /// How often this step was begun, from 1; stored before the callback runs. Above 1: an
    /// earlier attempt may have taken effect outside of the transaction, also one whose result
    /// could not be stored.
    pub attempt: u32,
    /// Names the step: the same in all its attempts, and never that of another step. For
    /// idempotent effects elsewhere. At most 63 bytes, letters, digits and `-`.
    pub token: dtm_str_t,
    /// What the starter gave.
    pub args: dtm_str_t,
    /// The store's transaction: what is done through it takes effect exactly once,
    /// together with the transition to the next step.
    pub txn: *mut dtm_txn_t,
    /// Counts the transitions of this instance, from 0. A phase that is entered again, by
    /// a jump or by DTM_ACTION_AGAIN, is another step.
    pub step: u64,
    /// 1: the wait before this step ended by its limit, not by what was waited for. 0 again
    /// when it was parked and resumed since: what came too late may be there by now.
    pub timed_out: u32,
    /// How often this attempt was resumed by dtm_action_wake() or by the limit of its wait.
    pub resumed: u32,
    /// When resumed: what dtm_action_wake() said; -ETIMEDOUT: the limit.
    pub status: i32,
    /// In `failed`: the code that the last attempt ended with; otherwise 0.
    pub cause: i32,
}

/// A durable action.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_action_t {
    /// sizeof(dtm_action_t). DTM_ACTION_INIT sets it.
    pub size: usize,
    /// Name: 1..32 letters, digits, `.`, `_` or `-`. `dtm-` is libdtm's. Copied.
    pub name: *const c_char,
    /// Number of phases, at least 1.
    pub phases: u32,
    /// Attempts of a step, failed ones and those that a controller died in, before the
    /// instance is parked; 0: 5. That many outlive a restart or two, and an operator
    /// still hears of a lasting fault within a minute.
    pub attempts: u32,
    /// Runs first, as a step of its own; may be NULL.
    pub preaction: dtm_phase_cb,
    /// Runs one phase. NULL is an error.
    pub action: dtm_phase_cb,
    /// Runs, as a step of its own, when the instance is about to be parked or has said
    /// DTM_ACTION_FAIL; may jump to a phase that puts things right. May be NULL.
    pub failed: dtm_phase_cb,
    /// Handed to the callbacks.
    pub data: *mut c_void,
}

/// One instance of an action, for dtm_action_list().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_action_info_t {
    /// sizeof(dtm_action_info_t), set by libdtm.
    pub size: usize,
    /// The instance.
    pub id: u64,
    /// Its action's name; valid until the next call of dtm_action_list().
    pub name: *const c_char,
    /// The phase it stands at.
    pub phase: u32,
    /// Attempts of that step so far.
    pub attempt: u32,
    /// DTM_INSTANCE_*.
    pub state: u32,
    /// DTM_WAIT_* that it waits for, while it is DTM_INSTANCE_WAITING.
    pub wait: u32,
    /// Transitions so far.
    pub step: u64,
    /// When it was started, CLOCK_REALTIME in ms.
    pub started: u64,
    /// When its stored state changed last, CLOCK_REALTIME in ms.
    pub changed: u64,
    /// One line for people about the state; valid until the next call of dtm_action_list().
    pub text: *const c_char,
}

/// One change that is asked of a store. Of fixed layout.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_write_t {
    /// At most 256 bytes, printable.
    pub key: dtm_str_t,
    /// The new value, for DTM_WRITE_PUT.
    pub value: dtm_str_t,
    /// The version that the key must have; 0: it must not exist; DTM_VERSION_ANY.
    pub expected: u64,
    /// DTM_WRITE_*.
    pub change: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// A database for actions, under a scheme of its own. Every call comes from the
/// controller's only thread, after its fork, and must not fork, nor leave signal handlers
/// or timers behind. Results: 0; -ENOENT (no such key); DTM_EGONE (a version is another:
/// nothing was written); -EBUSY (somebody else holds it); -ENOSPC; -EROFS; -EBADMSG
/// (damaged); DTM_ECONFIG (not a store of this version, or a wrong URI); DTM_EFAILED (a
/// write may have happened or not: libdtm connects anew and reads before it decides); any
/// other: it cannot be reached.
///
/// A database elsewhere must not hold the controller up. Where a call would have to wait,
/// it answers DTM_STORE_AGAIN, and libdtm calls `step`: at once, and then whenever the
/// descriptor that it named is ready, until it answers something else, which is the call's
/// result. Meanwhile operators are answered and workers served; what the call was given
/// (texts, writes, variables, sink) stays as it is, and no other call but `close` is made.
/// A call that has no result after `timeout_ms` is given up: `close` follows, which must
/// not wait either, and must end what is under way. A store without `step` answers at
/// once, such as from memory or a local disk; `timeout_ms` is its own to keep.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_store_t {
    /// sizeof(dtm_store_t). DTM_STORE_INIT sets it.
    pub size: usize,
    /// Scheme by which a `store` URI chooses this store, such as "mydb". Copied.
    pub scheme: *const c_char,
    /// Handed to `open`.
    pub data: *mut c_void,
    /// Connect.
    pub open: dtm_store_open_cb,
    /// Disconnect.
    pub close: dtm_store_close_cb,
    /// What the last failure was; may be NULL.
    pub error: dtm_store_error_cb,
    /// Liveness probe.
    pub ping: dtm_store_ping_cb,
    /// Read one key and its version.
    pub get: dtm_store_get_cb,
    /// Walk keys with a prefix.
    pub list: dtm_store_list_cb,
    /// Compare versions and change, all or nothing.
    pub write: dtm_store_write_cb,
    /// Begin a transaction, whose handle the service's phases get by dtm_txn_native(): what
    /// they do with it commits with the next `write`. NULL: there is none.
    pub begin: dtm_store_begin_cb,
    /// End a transaction without its effects; needed with `begin`.
    pub rollback: dtm_store_ping_cb,
    /// Acquire or renew a lease; NULL for a store of one host.
    pub lease: dtm_store_lease_cb,
    /// Give a lease back; needed with `lease`.
    pub unlease: dtm_store_unlease_cb,
    /// Go on with a call; NULL: none of them ever answers DTM_STORE_AGAIN.
    pub step: dtm_store_step_cb,
}
