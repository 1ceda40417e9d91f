//! Funcs, life events, reports, and the end.

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
/// Life event: a child was told to drain and leave, or is killed, which may follow on that.
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
/// Exit status of a child in which a callback was left by longjmp, or in which libdtm found
/// an internal error. A C++ exception ends the process with SIGABRT.
pub const DTM_EXIT_BROKEN: i32 = 70;
/// Exit status of a child whose runtime descriptors were closed or replaced, such as by
/// closefrom(3) in `worker_init`.
pub const DTM_EXIT_FDS: i32 = 71;
/// Exit status of a child that left because the master is gone.
pub const DTM_EXIT_ORPHAN: i32 = 72;
/// Exit status with which a child asks not to be restarted.
pub const DTM_EXIT_NO_RESTART: i32 = 125;
