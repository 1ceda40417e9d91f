//! Commands to the master.

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
/// Close and reopen the log target in every process. DTM_EFAILED: not in all of them, and
/// the first error; those go on with what they had.
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
