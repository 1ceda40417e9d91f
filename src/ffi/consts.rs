//! The numbers of the API. Retired values stay reserved, new ones go at the end.

#![allow(dead_code, reason = "most are for the C side only")]

/// The ABI number: part of the SONAME (`libdtm.so.0`). It changes only when a
/// program compiled against an older header could break.
pub const DTM_ABI_VERSION: u32 = 0;

// ---- results ---------------------------------------------------------------
//
// 0 is success. -1..-4095 are negated errno values (-EAGAIN, -ENOMEM, ...).
// The codes below are libdtm's own. dtm_strerror() knows both kinds.

/// Success.
pub const DTM_OK: i32 = 0;
/// An argument is NULL, out of range or contradicts another one (-EINVAL).
pub const DTM_EINVAL: i32 = -22;
/// A struct's `size` is none that this library can read: 0, too small, absurdly
/// large, or the pointer is not aligned.
pub const DTM_EABI: i32 = -4101;
/// Not available in this build or version, or a newer caller asks (by non-zero
/// bytes in a struct's unknown tail) for what this library does not know.
pub const DTM_ENOTSUP: i32 = -4102;
/// The call may not be made from this process, thread or callback.
pub const DTM_EROLE: i32 = -4103;
/// The calling process was forked by the service, not by libdtm: the handle is
/// not valid here and nothing was done.
pub const DTM_EFORKED: i32 = -4104;
/// The call comes too early, too late or for the second time (dtm_run() twice,
/// dtm_listen() while it runs but in config_load, a second runtime in one process).
pub const DTM_ESTATE: i32 = -4105;
/// A configuration value or file is wrong; dtm_last_error() names file, line and key.
pub const DTM_ECONFIG: i32 = -4106;
/// The process has more than one thread, so forking would be unsafe.
pub const DTM_ETHREADS: i32 = -4107;
/// An internal error was caught at the API boundary. The runtime of this
/// process is poisoned: every later call answers this code.
pub const DTM_EPANIC: i32 = -4108;
/// The handle or id names something that is gone: a closed client, a dead worker.
pub const DTM_EGONE: i32 = -4109;
/// The other side received the message or command and said no.
pub const DTM_EREFUSED: i32 = -4110;
/// Refused because the controller has forbidden forking.
pub const DTM_ENOFORK: i32 = -4111;
/// The operation was tried and did not succeed; the old state is in force.
pub const DTM_EFAILED: i32 = -4112;
/// Never produced by libdtm: for the service's own use in callbacks.
pub const DTM_EUSER: i32 = -4999;

// ---- processes -------------------------------------------------------------

/// The process that called dtm_new(), while dtm_run() is not running.
pub const DTM_ROLE_HOST: u32 = 1;
/// The process inside dtm_run(): forks, supervises, holds every listener.
pub const DTM_ROLE_MASTER: u32 = 2;
/// Accepts and drives clients.
pub const DTM_ROLE_WORKER: u32 = 4;
/// Brings workers up to date, answers operators, commands the master.
pub const DTM_ROLE_CONTROLLER: u32 = 8;
/// A helper process, see dtm_func_register().
pub const DTM_ROLE_FUNC: u32 = 16;

/// Worker state: forked, `worker_init` is running.
pub const DTM_WORKER_STARTING: u32 = 1;
/// Worker state: initialised, waits at its gate for the controller's update.
pub const DTM_WORKER_READY: u32 = 2;
/// Worker state: up to date, waits for the master to open the gate.
pub const DTM_WORKER_UPDATED: u32 = 3;
/// Worker state: open for business, accepts when the schedule gives it the turn.
pub const DTM_WORKER_OPEN: u32 = 4;
/// Worker state: takes no new client, finishes the ones it has.
pub const DTM_WORKER_DRAINING: u32 = 5;
/// Worker state: dead; its slot waits for a replacement (back-off, or forking forbidden).
pub const DTM_WORKER_DEAD: u32 = 6;
/// Worker state: given up after too many deaths, see `respawn_budget`, until DTM_CMD_RESET
/// or a reload.
pub const DTM_WORKER_FAILED: u32 = 7;

/// How a slot stands to what is wanted of it: wanted, and nobody serves there yet.
pub const DTM_CLASS_NOT_STARTED: u32 = 1;
/// Class: its process does what it should.
pub const DTM_CLASS_VALID: u32 = 2;
/// Class: its process is on its way out, for its generation or its place is not wanted
/// any more.
pub const DTM_CLASS_DISALLOWED: u32 = 3;
/// Class: its process did not start, go on or leave in time, and is about to be killed.
pub const DTM_CLASS_TIMED_OUT: u32 = 4;

/// Why a process ended: it exited, unasked.
pub const DTM_REASON_EXIT: u32 = 1;
/// Why a process ended: by a signal that the master did not send.
pub const DTM_REASON_SIGNAL: u32 = 2;
/// Why a process ended: it was not ready within `start_timeout`.
pub const DTM_REASON_START: u32 = 3;
/// Why a process ended: it made no progress for `hang_timeout`.
pub const DTM_REASON_HANG: u32 = 4;
/// Why a process ended: it was told to leave, and did not in time.
pub const DTM_REASON_DEADLINE: u32 = 5;
/// Why a process ended: it used more than `memory_hard`.
pub const DTM_REASON_MEMORY: u32 = 6;
/// Why a process ended: it left, as told.
pub const DTM_REASON_TOLD: u32 = 7;
/// Why a process ended: it left, as told, for it was recycled.
pub const DTM_REASON_RECYCLE: u32 = 8;
/// Why a process ended: nobody knows, for the service itself waited for it.
pub const DTM_REASON_UNKNOWN: u32 = 9;

// ---- events and interest ---------------------------------------------------

/// Interest and event: readable.
pub const DTM_READ: u32 = 0x1;
/// Interest and event: writable.
pub const DTM_WRITE: u32 = 0x2;
/// Interest: tell me when the peer shuts down its sending side. Event: it did,
/// or the connection failed. Failures are reported whatever the interest is.
pub const DTM_HUP: u32 = 0x4;
/// Event only: dtm_client_wake() or dtm_watch_wake() was called.
pub const DTM_WAKE: u32 = 0x10;
/// Event only: the worker began to drain while this client was busy. Delivered once.
pub const DTM_DRAIN: u32 = 0x20;

/// Step result: wait for nothing but a wake-up, a timeout or a failure.
pub const DTM_WAIT: i32 = 0;
/// Step result: keep the interest as it is.
pub const DTM_KEEP: i32 = 0x100;
/// Step result: final state. The close callback runs and the fd is closed.
pub const DTM_DONE: i32 = 0x200;
/// Result of `client_open` in a service with its own event loop: the service
/// polls the fd itself; libdtm only counts the client, until dtm_client_release()
/// or dtm_client_close().
pub const DTM_TAKEN: i32 = 0x400;

/// Close reason: the step returned DTM_DONE.
pub const DTM_CLOSE_DONE: i32 = 1;
/// Close reason: dtm_client_close() or dtm_watch_close() was called.
pub const DTM_CLOSE_ASKED: i32 = 2;
/// Close reason: the peer is gone and the step did not ask to go on.
pub const DTM_CLOSE_PEER: i32 = 3;
/// Close reason: no activity for the idle timeout.
pub const DTM_CLOSE_TIMEOUT: i32 = 4;
/// Close reason: the worker drains and the client was idle.
pub const DTM_CLOSE_DRAIN: i32 = 5;
/// Close reason: the worker drains and the client was busy past the drain deadline.
pub const DTM_CLOSE_DEADLINE: i32 = 6;
/// Close reason: the process stops at once (fast shutdown, or the master is gone).
pub const DTM_CLOSE_SHUTDOWN: i32 = 7;
/// Close reason: the step returned a negative value, or the kernel reported an error.
pub const DTM_CLOSE_ERROR: i32 = 8;

// ---- configuration ---------------------------------------------------------

/// For a timeout or limit: no timeout, no limit. (0 means: the default.)
pub const DTM_OFF: u32 = 0xffff_ffff;

/// Flag: allow threads in the process that calls dtm_run(). The children then
/// own only the forking thread, so the other threads' locks must not be needed.
pub const DTM_F_ALLOW_THREADS: u64 = 0x1;
/// Flag: children leave through exit() instead of _exit(), running the
/// service's atexit handlers once per child.
pub const DTM_F_CHILD_ATEXIT: u64 = 0x2;
/// Flag: ignore SIGPIPE in the children. libdtm itself never raises it.
pub const DTM_F_IGNORE_SIGPIPE: u64 = 0x4;

/// Accept schedule: steer where it can be loaded, token otherwise; the log says
/// which and why, once.
pub const DTM_ACCEPT_AUTO: u32 = 0;
/// Accept schedule: a run queue of k tokens; the k least loaded workers stand
/// armed in the kernel's exclusive wait queue. Needs no privilege, works for every
/// listener, and passes over busy, stopped and dead workers by itself.
pub const DTM_ACCEPT_TOKEN: u32 = 1;
/// Accept schedule: a socket per worker, and an eBPF program that chooses the least
/// loaded one for each connection when it arrives. Linux 5.5 and CAP_BPF with
/// CAP_NET_ADMIN (or root) at dtm_run(); a Unix listener is scheduled by token.
pub const DTM_ACCEPT_STEER: u32 = 2;
/// Accept schedule: a socket per worker, chosen by the connection's hash among those
/// that take clients. The load plays no part. A Unix listener is scheduled by token.
pub const DTM_ACCEPT_HASH: u32 = 3;
/// Accept schedule: all workers wait at one listener; who has accepted goes to the
/// end of the queue. The load plays no part.
pub const DTM_ACCEPT_SHARED: u32 = 4;
/// Accept schedule: the master accepts and passes the descriptors on, to the least
/// loaded worker or in turn (`accept_pass`). A worker that is killed before it has
/// taken one loses nothing. Costs about half as much again for each connection.
pub const DTM_ACCEPT_PASS: u32 = 5;
/// Accept schedule: who has the lock accepts, as with nginx's accept_mutex: for
/// comparison, and for those who want the old behaviour. Workers without it look
/// again every 100 ms; it is taken from a holder that makes no move for 250 ms while
/// clients wait.
pub const DTM_ACCEPT_LOCK: u32 = 6;

/// A worker's load is the number of its open clients.
pub const DTM_LOAD_CLIENTS: u32 = 0;
/// A worker's load is the number of its busy clients, see dtm_client_set_busy().
pub const DTM_LOAD_BUSY: u32 = 1;

/// DTM_ACCEPT_PASS: to the worker with the least load.
pub const DTM_PASS_LEAST: u32 = 0;
/// DTM_ACCEPT_PASS: in turn; one that declines or does not answer is passed over.
pub const DTM_PASS_ROTATE: u32 = 1;

/// Signal table: SIGTERM and SIGQUIT graceful, SIGINT fast, SIGHUP reload,
/// SIGUSR1 reopen logs, SIGUSR2 upgrade, SIGTTIN/SIGTTOU scale, and the DTM
/// service's SIGWINCH reload (without a terminal) and SIGALRM loadconf.
pub const DTM_SIGNALS_DEFAULT: u32 = 0;
/// Signal table of the original DTM service only: SIGTERM shutdown, SIGWINCH
/// reload, SIGALRM loadconf.
pub const DTM_SIGNALS_DTM: u32 = 1;
/// Signal table for who is used to gunicorn: as the default one, but SIGQUIT is a fast
/// shutdown, and SIGWINCH without a terminal stops the workers (DTM_CMD_STOP).
pub const DTM_SIGNALS_GUNICORN: u32 = 2;
/// Signal table as DTM_SIGNALS_DTM, but SIGWINCH (without a terminal) is an upgrade: the
/// original service's reload executed its program anew, so that the operator who has
/// installed another one gets it. The new binary loads the configuration, too.
pub const DTM_SIGNALS_DTM_UPGRADE: u32 = 3;

/// A drain closes idle clients at once.
pub const DTM_IDLE_CLOSE: u32 = 0;
/// A drain keeps idle clients until their next request has been answered, or the
/// deadline: no request that is on its way is lost. Mark a client busy as soon as a
/// request begins, see dtm_client_set_busy(): an idle one of which something came since
/// the drain began is closed.
pub const DTM_IDLE_KEEP: u32 = 1;

/// When the master is gone: every process leaves at once; the kernel kills it
/// even when it is stopped or hangs, and the ports are free.
pub const DTM_ORPHAN_EXIT: u32 = 0;
/// When the master is gone: listeners are closed at once, workers finish their
/// clients for at most 5 s, then leave.
pub const DTM_ORPHAN_DRAIN: u32 = 1;

/// Log level: errors.
pub const DTM_LOG_ERROR: u32 = 1;
/// Log level: warnings.
pub const DTM_LOG_WARN: u32 = 2;
/// Log level: one line per life event (the default).
pub const DTM_LOG_INFO: u32 = 3;
/// Log level: decisions in detail.
pub const DTM_LOG_DEBUG: u32 = 4;
/// Log level: every message and token move.
pub const DTM_LOG_TRACE: u32 = 5;

// ---- commands to the master ------------------------------------------------

/// Read the configuration again in the master; children forked later have it.
pub const DTM_CMD_LOADCONF: u32 = 1;
/// Load the configuration, start a new generation, and when all of it is ready
/// and up to date, open it and drain the old one. All or nothing.
pub const DTM_CMD_RELOAD: u32 = 2;
/// Start all workers and funcs; does nothing if any runs. Answered when it has
/// begun; DTM_EVENT_OPEN tells the rest.
pub const DTM_CMD_START: u32 = 3;
/// Drain and stop all workers and funcs; the controller stays.
pub const DTM_CMD_STOP: u32 = 4;
/// Set the number of workers to `arg`, until a configuration is loaded: `workers`
/// of that one counts then. Answered when it has begun; -ENOSPC without room.
pub const DTM_CMD_SCALE: u32 = 5;
/// Forbid forking for `arg` milliseconds (0: `nofork_max_ms`, which is also the
/// longest: more is DTM_EINVAL). Done means: no fork is in flight and none will
/// start until the ban ends: by DTM_CMD_FORK, its time, or this controller's end.
pub const DTM_CMD_NOFORK: u32 = 6;
/// Allow forking again.
pub const DTM_CMD_FORK: u32 = 7;
/// Replace the running binary: start what is now at the path of this program, with the
/// same arguments, environment and directory. It gets the listeners, comes up beside this
/// one, and takes over; then this one drains, and its dtm_run() returns DTM_END_UPGRADED.
/// If the new one fails, DTM_EFAILED says why, and this one serves on. DTM_EREFUSED while
/// all workers are stopped, DTM_ENOFORK, -EBUSY during a reload or another upgrade.
pub const DTM_CMD_UPGRADE: u32 = 8;
/// Stop everything gracefully; dtm_run() returns.
pub const DTM_CMD_SHUTDOWN: u32 = 9;
/// Stop everything at once; dtm_run() returns.
pub const DTM_CMD_SHUTDOWN_NOW: u32 = 10;
/// Close and reopen the log target in every process.
pub const DTM_CMD_REOPEN_LOG: u32 = 11;
/// Replace the worker whose spawn id is `arg`: it drains when its successor is open.
/// Answered when that is forked. DTM_EGONE: no such worker is open; -ENOSPC: no free slot.
pub const DTM_CMD_RECYCLE: u32 = 12;
/// Change the accept schedule to `arg`, a DTM_ACCEPT_*, until a configuration is
/// loaded: `accept_mode` of that one counts then. No connection is lost. DTM_EFAILED:
/// it cannot be had here, dtm_accept_stats() shows what is in force.
pub const DTM_CMD_ACCEPT_MODE: u32 = 13;
/// Set the number of accept tokens to `arg`, 1..=64 (0: the default), until a
/// configuration is loaded.
pub const DTM_CMD_ACCEPT_TOKENS: u32 = 14;
/// Set the log level of every process to `arg`, a DTM_LOG_*, until a configuration is
/// loaded: `log_level` of that one counts then.
pub const DTM_CMD_LOG_LEVEL: u32 = 15;
/// Fork at once whoever is not there: slots that were given up (DTM_WORKER_FAILED) get
/// another chance, and all back-off ends. Answered when it has begun.
pub const DTM_CMD_RESET: u32 = 16;

// ---- funcs, life events, actions -------------------------------------------

/// Restart policy: whenever the process ends.
pub const DTM_RESTART_ALWAYS: u32 = 0;
/// Restart policy: when it ends by a signal or with a status other than 0; with 0 it is done
/// for good.
pub const DTM_RESTART_ON_FAILURE: u32 = 1;
/// Restart policy: never; it runs once per generation.
pub const DTM_RESTART_ONCE: u32 = 2;
/// Restart policy: none. `main` runs once per generation in a process that is not the
/// service's any more (nginx's DETACHED): a session of its own, without channel, listeners
/// and libdtm's signal handlers; calls answer DTM_EFORKED. Neither a reload nor the end of the
/// service or the death of the master ends it: it must end by itself. Its pid is in the log.
pub const DTM_RESTART_DETACHED: u32 = 3;

/// Start phase: before the workers; they are forked when it is running.
pub const DTM_PHASE_BEFORE_WORKERS: u32 = 0;
/// Start phase: when the generation's workers are open.
pub const DTM_PHASE_AFTER_OPEN: u32 = 1;

/// Life event: a child was forked.
pub const DTM_EVENT_FORK: u32 = 1;
/// Life event: a child finished its initialisation.
pub const DTM_EVENT_READY: u32 = 2;
/// Life event: a worker's gate opened, or a controller got the control lock.
pub const DTM_EVENT_OPEN: u32 = 3;
/// Life event: a child was told to drain and leave.
pub const DTM_EVENT_DRAINING: u32 = 4;
/// Life event: a child ended; `status` is its wait status.
pub const DTM_EVENT_EXIT: u32 = 5;
/// Life event: a reload ended; `status` is DTM_OK or why it failed.
pub const DTM_EVENT_RELOAD: u32 = 6;
/// Life event: the configuration was loaded; `status` is DTM_OK or why not.
pub const DTM_EVENT_CONFIG: u32 = 7;

/// Life event: a process hangs and is about to be killed; its report is stored, see
/// dtm_reports().
pub const DTM_EVENT_HANG: u32 = 8;
/// Life event: a slot was given up, see `respawn_budget`; its last process is named.
pub const DTM_EVENT_FAILED: u32 = 9;
/// Life event: a worker is being replaced, see `recycle_clients` and DTM_CMD_RECYCLE.
pub const DTM_EVENT_RECYCLE: u32 = 10;
/// Life event: automatic scaling changes the number of workers; `status` is the new one.
pub const DTM_EVENT_SCALE: u32 = 11;
/// Life event: an upgrade ended; `status` is DTM_OK or why it failed.
pub const DTM_EVENT_UPGRADE: u32 = 12;

/// Report: a process crashed, or was killed by somebody else.
pub const DTM_REPORT_CRASH: u32 = 1;
/// Report: a process made no progress for `hang_timeout`.
pub const DTM_REPORT_HANG: u32 = 2;
/// Report: a process was not ready within `start_timeout`.
pub const DTM_REPORT_START: u32 = 3;
/// Report: a process was told to leave, and did not in time.
pub const DTM_REPORT_DEADLINE: u32 = 4;
/// Report: a process used more than `memory_hard`.
pub const DTM_REPORT_MEMORY: u32 = 5;

/// Why dtm_run() returned: a signal or a command asked for a graceful end.
pub const DTM_END_GRACEFUL: u32 = 1;
/// Why dtm_run() returned: a signal or a command asked for a fast end.
pub const DTM_END_FAST: u32 = 2;
/// Why dtm_run() returned: a new binary has replaced this one, and serves. The host has to
/// leave what belongs to the service, such as files, to it.
pub const DTM_END_UPGRADED: u32 = 5;
/// Why dtm_run() returned: it failed to start.
pub const DTM_END_START_FAILED: u32 = 3;
/// Why dtm_run() returned: an internal error; everything was stopped in order.
pub const DTM_END_INTERNAL: u32 = 4;

/// Exit status of a child whose init callback failed.
pub const DTM_EXIT_INIT: i32 = 64;
/// Exit status of a child in which a callback was left by longjmp or a throw,
/// or in which libdtm found an internal error.
pub const DTM_EXIT_BROKEN: i32 = 70;
/// Exit status of a child whose runtime descriptors were closed or replaced.
pub const DTM_EXIT_FDS: i32 = 71;
/// Exit status of a child that left because the master is gone.
pub const DTM_EXIT_ORPHAN: i32 = 72;
/// Exit status with which a child asks not to be restarted.
pub const DTM_EXIT_NO_RESTART: i32 = 125;

/// Largest payload of one message between controller and workers, in bytes.
pub const DTM_MESSAGE_MAX: usize = 65536;
/// Most counters a service can register.
pub const DTM_COUNTERS_MAX: u32 = 32;
/// Most commands a service can add to the ready-made console.
pub const DTM_COMMANDS_MAX: u32 = 256;
/// Longest text of one part of a console reply, in bytes.
pub const DTM_REPLY_TEXT_MAX: usize = 262144;
/// Most listeners a runtime can have.
pub const DTM_LISTENERS_MAX: u32 = 32;
/// Most locks a service can register.
pub const DTM_LOCKS_MAX: u32 = 64;

/// Result of dtm_lock_take(): the lock is yours, but its last owner died with it.
pub const DTM_LOCK_RECOVERED: i32 = 1;

/// Action phase result: go on with the next phase, or with the one that dtm_action_jump()
/// named, after the wait that dtm_action_wait() asked for. After the last phase: done.
pub const DTM_ACTION_NEXT: i32 = 0;
/// Action phase result: the action is complete.
pub const DTM_ACTION_DONE: i32 = 1;
/// Action phase result: run this phase again, as a new step, after its wait.
pub const DTM_ACTION_AGAIN: i32 = 2;
/// Action phase result: this attempt goes on in the background. The callback is called
/// again, in the same attempt, after dtm_action_wake() or at the limit that
/// dtm_action_wait() set, or when what dtm_txn_fetch() has asked for is there. What it has
/// put into the transaction is dropped.
pub const DTM_ACTION_PENDING: i32 = 3;
/// Action phase result: give the instance up now, without further attempts.
pub const DTM_ACTION_FAIL: i32 = 4;

/// Wait: for some time.
pub const DTM_WAIT_TIME: u32 = 0;
/// Wait: until all workers are open and up to date, and none waits for a replacement.
pub const DTM_WAIT_UPDATED: u32 = 1;
/// Wait: until no worker drains any more.
pub const DTM_WAIT_DRAINED: u32 = 2;
/// Wait: until an operator says go.
pub const DTM_WAIT_GO: u32 = 3;

/// Verb of dtm_action_control(): no further step is begun until it is resumed.
pub const DTM_VERB_PAUSE: u32 = 1;
/// Verb of dtm_action_control(): go on; a parked instance gets its attempts anew.
pub const DTM_VERB_RESUME: u32 = 2;
/// Verb of dtm_action_control(): end it where it stands.
pub const DTM_VERB_CANCEL: u32 = 3;
/// Verb of dtm_action_control(): the go that it waits for.
pub const DTM_VERB_GO: u32 = 4;

/// Instance state: has its turn soon.
pub const DTM_INSTANCE_ACTIVE: u32 = 1;
/// Instance state: waits, see DTM_WAIT_*.
pub const DTM_INSTANCE_WAITING: u32 = 2;
/// Instance state: paused by an operator.
pub const DTM_INSTANCE_PAUSED: u32 = 3;
/// Instance state: its attempts are used up; an operator may resume or cancel it.
pub const DTM_INSTANCE_PARKED: u32 = 4;
/// Instance state: complete.
pub const DTM_INSTANCE_DONE: u32 = 5;
/// Instance state: cancelled by an operator.
pub const DTM_INSTANCE_CANCELLED: u32 = 6;
/// Instance state: it has said DTM_ACTION_FAIL.
pub const DTM_INSTANCE_FAILED: u32 = 7;

/// Store write: change nothing, only compare the version.
pub const DTM_WRITE_CHECK: u32 = 0;
/// Store write: set the value.
pub const DTM_WRITE_PUT: u32 = 1;
/// Store write: remove the key.
pub const DTM_WRITE_DELETE: u32 = 2;
/// Expected version of a write: whatever it is.
pub const DTM_VERSION_ANY: u64 = u64::MAX;
/// What a store's call answers that has to wait, see dtm_store_t.
pub const DTM_STORE_AGAIN: i32 = 1;

/// Longest arguments of an action, in bytes.
pub const DTM_ARGS_MAX: usize = 4096;
/// Most instances that are not finished; starting one more is -ENOSPC.
pub const DTM_INSTANCES_MAX: u32 = 16384;
/// Most keys that a phase can read and change through its transaction.
pub const DTM_TXN_KEYS_MAX: u32 = 64;
/// Longest key of dtm_txn_put(), in bytes.
pub const DTM_TXN_KEY_MAX: usize = 128;
/// Longest value of dtm_txn_put(), in bytes.
pub const DTM_TXN_VALUE_MAX: usize = 16384;
