//! Roles, states and ends of processes.

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

/// Worker state: `worker_init` is running, or it is to be forked yet (`pid` is 0).
pub const DTM_WORKER_STARTING: u32 = 1;
/// Worker state: initialised, waits at its gate for the controller's update.
pub const DTM_WORKER_READY: u32 = 2;
/// Worker state: up to date, waits for the master to open the gate.
pub const DTM_WORKER_UPDATED: u32 = 3;
/// Worker state: open for business, accepts when the schedule gives it the turn.
pub const DTM_WORKER_OPEN: u32 = 4;
/// Worker state: takes no new client, finishes the ones it has.
pub const DTM_WORKER_DRAINING: u32 = 5;
/// Worker state: it died; its slot waits for a replacement (back-off, or forking forbidden).
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
