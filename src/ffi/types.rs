//! Opaque handles and the small structs that callbacks and queries hand out.

use std::ffi::{c_char, c_void};

/// The runtime. One per process; create it with dtm_new().
pub struct dtm_t {
    _p: [u8; 0],
}

/// One connected client of a worker or of the controller. Valid from its open
/// callback until its close callback returns or dtm_client_release(), in that process only.
pub struct dtm_client_t {
    _p: [u8; 0],
}

/// Any other fd that takes part in the event loop. Valid from dtm_watch_add()
/// until its close callback returns or dtm_watch_release().
pub struct dtm_watch_t {
    _p: [u8; 0],
}

/// A timer. Valid from dtm_timer_add() until dtm_timer_free().
pub struct dtm_timer_t {
    _p: [u8; 0],
}

/// A lock between the processes of one runtime, see dtm_lock_register().
pub struct dtm_lock_t {
    _p: [u8; 0],
}

/// A reply under construction in a console command handler.
pub struct dtm_reply_t {
    _p: [u8; 0],
}

/// The transaction of an action's phase, see dtm_txn_put(). Valid while the phase's
/// callback runs.
pub struct dtm_txn_t {
    _p: [u8; 0],
}

/// A byte string with a length. Not terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_str_t {
    /// First byte; may be NULL when `len` is 0.
    pub ptr: *const c_char,
    /// Length in bytes.
    pub len: usize,
}

/// Who the calling process is. Filled by dtm_self().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_self_t {
    /// sizeof(dtm_self_t), set by libdtm.
    pub size: usize,
    /// DTM_ROLE_*.
    pub role: u32,
    /// Index in the process table; 0xffffffff in host and master.
    pub slot: u32,
    /// The generation this process belongs to; counts reloads from 1. 0 for
    /// host, master and controller, which belong to none.
    pub generation: u32,
    /// Position among the workers of the generation, or among the copies of
    /// the func, from 0.
    pub index: u32,
    /// Unique id of this fork, from 1, never reused in the life of a runtime.
    pub spawn: u64,
    /// Process id.
    pub pid: i32,
    /// Process id of the master.
    pub master_pid: i32,
    /// 1 from the moment this process was told to drain or stop, else 0.
    pub draining: u32,
    /// Open clients of this process.
    pub clients: u32,
}

/// One worker, as the controller sees it; or a slot that waits for one.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct dtm_worker_t {
    /// sizeof(dtm_worker_t), set by libdtm.
    pub size: usize,
    /// Unique id of the fork: the address for dtm_send(). A dead worker's id
    /// never means another process. 0: the slot has no process now.
    pub spawn: u64,
    /// Index in the process table.
    pub slot: u32,
    /// Generation.
    pub generation: u32,
    /// Position among the workers of the generation, from 0.
    pub index: u32,
    /// DTM_WORKER_*.
    pub state: u32,
    /// Process id; 0 when there is none.
    pub pid: i32,
    /// Open clients, as the worker reports them.
    pub clients: u32,
    /// How often the update of this worker was tried before, by this controller.
    pub attempt: u32,
    /// Its load, as the accept schedule sees it.
    pub load: u32,
    /// Clients it has accepted.
    pub accepted: u64,
    /// DTM_CLASS_*: how the slot stands to what the master wants of it.
    pub slot_class: u32,
    /// How the slot's last process ended, DTM_REASON_*; 0: none has yet.
    pub reason: u32,
    /// The wait status of that process.
    pub status: i32,
    /// Milliseconds until the next fork in a slot without a process; DTM_OFF: none is
    /// planned (DTM_WORKER_FAILED), or there is a process.
    pub fork_ms: u32,
    /// Milliseconds for which the slot has stood so.
    pub since_ms: u64,
    /// Processes forked in this slot since dtm_run(). This and all that follow belong to
    /// the slot: they never fall, whoever lives there.
    pub forks: u32,
    /// Those of them that ended although nobody had asked them to.
    pub deaths: u32,
    /// ... by a signal that the master did not send: a crash.
    pub crashes: u32,
    /// Killed because they did not start, go on or leave in time.
    pub timeouts: u32,
    /// Told to leave because their generation or place was not wanted any more.
    pub disallowed: u32,
    /// Told to leave because they were recycled.
    pub recycled: u32,
    /// Clients accepted in this slot.
    pub total_accepted: u64,
    /// Requests served in this slot: how often a client became idle that was busy, see
    /// dtm_client_set_busy().
    pub total_requests: u64,
}

/// The accept schedule of one listener, or of all together.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct dtm_accept_t {
    /// sizeof(dtm_accept_t), set by libdtm.
    pub size: usize,
    /// The DTM_ACCEPT_* that is wanted.
    pub wanted: u32,
    /// The DTM_ACCEPT_* in force; of all: the first listener's.
    pub mode: u32,
    /// Workers that are open for business.
    pub workers: u32,
    /// Those of them that take clients now: not full, draining, stopped or hung.
    pub willing: u32,
    /// Sockets that listen.
    pub queues: u32,
    /// Accept tokens of each token queue, those that were added for busy workers included.
    pub tokens: u32,
    /// Connections that waited to be accepted at the master's last look; it looks
    /// when nobody takes them.
    pub depth: u32,
    /// How long they have waited for a worker that takes clients, in ms; 0: they do not.
    pub waiting_ms: u32,
    /// Least and largest load of the open workers.
    pub load_min: u32,
    /// See load_min.
    pub load_max: u32,
    /// Largest load by the mean, in thousandths: 1000 is perfectly even.
    pub skew: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Clients accepted, since dtm_run().
    pub accepted: u64,
    /// Tokens handed from one worker to another.
    pub moves: u64,
    /// Connections that the master took from a worker's queue, because that worker
    /// did not, and passed to another; and all that DTM_ACCEPT_PASS passed.
    pub passed: u64,
    /// Passed connections that a worker declined or left behind, passed again.
    pub repassed: u64,
    /// Tokens added, or the lock taken away, because nobody served a queue.
    pub rescues: u64,
    /// Wake-ups that found no connection.
    pub empty: u64,
    /// Failed accepts: out of descriptors, connections that were gone, and the like.
    pub errors: u64,
    /// Changes of the mode on the running service.
    pub switches: u64,
}

/// A life event, for the `event` callback in the master.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_event_t {
    /// sizeof(dtm_event_t), set by libdtm.
    pub size: usize,
    /// DTM_EVENT_*.
    pub kind: u32,
    /// DTM_ROLE_* of the child; 0 for events of the runtime itself.
    pub role: u32,
    /// Index in the process table.
    pub slot: u32,
    /// Generation.
    pub generation: u32,
    /// Unique id of the fork.
    pub spawn: u64,
    /// Process id.
    pub pid: i32,
    /// Wait status (DTM_EVENT_EXIT) or result code (RELOAD, CONFIG).
    pub status: i32,
    /// One line for people; valid during the callback.
    pub reason: *const c_char,
}

/// What is kept of a process that crashed or had to be killed. Filled by dtm_reports().
/// All texts are terminated, and empty when nothing is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_report_t {
    /// sizeof(dtm_report_t), set by libdtm.
    pub size: usize,
    /// Reports are numbered from 1, since dtm_run().
    pub number: u64,
    /// When: seconds since 1970, UTC.
    pub time: i64,
    /// DTM_REPORT_*.
    pub kind: u32,
    /// DTM_ROLE_*.
    pub role: u32,
    /// Index in the process table.
    pub slot: u32,
    /// Generation.
    pub generation: u32,
    /// Unique id of the fork.
    pub spawn: u64,
    /// Process id.
    pub pid: i32,
    /// The signal by which it ended, or was told to; 0: it lives still.
    pub signal: i32,
    /// `si_code` of that signal, if the process could tell.
    pub code: i32,
    /// 1: a core was dumped.
    pub core: i32,
    /// Fault address of a crash.
    pub address: u64,
    /// For how long it had made no progress, in ms (DTM_REPORT_HANG and others that are
    /// no crash).
    pub stuck_ms: u64,
    /// dtm_client_id() of the client whose callback was running, or ran last; 0: none.
    pub client: u64,
    /// Its listener's tag.
    pub tag: u64,
    /// Its descriptor, or the watch's; -1: none.
    pub fd: i32,
    /// Its listener; -1: not known.
    pub listener: i32,
    /// The callback that was running, or ran last: `client_step`, `tick`, ...
    pub step: [c_char; 32],
    /// What dtm_client_set_state() said of the client.
    pub label: [c_char; 48],
    /// The client's address.
    pub peer: [c_char; 64],
    /// Of /proc/PID/status and stat, before it was killed: state, threads, memory, signals.
    pub process: [c_char; 128],
    /// Where it waited in the kernel.
    pub wchan: [c_char; 64],
    /// Number, arguments, stack and instruction pointer of the system call it was in.
    pub syscall: [c_char; 128],
    /// Its own stack, the innermost frame first, one a line.
    pub stack: [c_char; 3072],
}

/// How dtm_run() ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_result_t {
    /// sizeof(dtm_result_t), set by libdtm.
    pub size: usize,
    /// DTM_END_*.
    pub reason: u32,
    /// The signal that asked for the end; 0 when a command did.
    pub signal: i32,
    /// Children forked in all.
    pub forks: u64,
    /// Children that ended although nobody had asked them to.
    pub deaths: u64,
    /// Children that had to be killed at a deadline.
    pub killed: u64,
    /// Reloads that were carried out.
    pub reloads: u64,
    /// Reloads that failed; the service went on as it was.
    pub failed_reloads: u64,
    /// Clients that were still busy at a drain's deadline, and closed.
    pub late_clients: u64,
}

/// A listening socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_listen_t {
    /// sizeof(dtm_listen_t). DTM_LISTEN_INIT sets it.
    pub size: usize,
    /// Reserved flags, 0.
    pub flags: u64,
    /// `127.0.0.1:7000`, `[::1]:7000`, `*:7000` (all IPv4 and IPv6), port 0 for
    /// any free port, `unix:/path`, `unix:@abstract`, or `systemd:NAME`, the socket that
    /// systemd passes under this name. Copied.
    pub address: *const c_char,
    /// The service's own mark, see dtm_client_tag().
    pub tag: u64,
    /// Length of the kernel's accept queue; 0: 511, cut by net.core.somaxconn.
    pub backlog: u32,
    /// Permission bits of a Unix socket file; 0: 0666 for services, 0600 for control.
    pub mode: u32,
}

/// A helper process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_func_t {
    /// sizeof(dtm_func_t). DTM_FUNC_INIT sets it.
    pub size: usize,
    /// Name for logs. Copied.
    pub name: *const c_char,
    /// Copies to run; 0: 1.
    pub count: u32,
    /// DTM_RESTART_*.
    pub restart: u32,
    /// DTM_PHASE_*.
    pub phase: u32,
    /// Milliseconds to wait before each restart (PostgreSQL's `bgw_restart_time`); 0: by the
    /// back-off of workers.
    pub restart_ms: u32,
    /// The process's main function; its result is the exit status. NULL is an
    /// error. It should return soon after dtm_loop_dispatch() answers DTM_EGONE.
    pub main: dtm_func_main_cb,
    /// Handed to `main` and `message`.
    pub data: *mut c_void,
    /// A message from the controller arrived; may be NULL.
    pub message: dtm_func_message_cb,
}

/// A command for the master.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_command_t {
    /// sizeof(dtm_command_t). DTM_COMMAND_INIT sets it.
    pub size: usize,
    /// DTM_CMD_*.
    pub kind: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// The command's argument, see DTM_CMD_*; otherwise 0.
    pub arg: u64,
}

/// A command of the service's own on the ready-made console.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_console_t {
    /// sizeof(dtm_console_t). DTM_CONSOLE_INIT sets it.
    pub size: usize,
    /// Name, case-insensitive. Copied.
    pub name: *const c_char,
    /// As in Redis: number of arguments with the name; negative: at least so many.
    pub arity: i32,
    /// 0: any observer may call it; 1: operators only.
    pub operator_only: u32,
    /// One line of help. Copied.
    pub help: *const c_char,
    /// The handler. NULL is an error.
    pub handler: dtm_console_cb,
    /// Handed to the handler.
    pub data: *mut c_void,
}

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
    /// earlier attempt may have taken effect outside of the transaction.
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
    /// 1: the wait before this step ended by its limit, not by what was waited for.
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

use super::callbacks::*;

impl Default for dtm_report_t {
    fn default() -> Self {
        // SAFETY: numbers only; 0 is valid for all of them.
        let mut report: Self = unsafe { std::mem::zeroed() };
        (report.size, report.fd, report.listener) = (size_of::<Self>(), -1, -1);
        report
    }
}
