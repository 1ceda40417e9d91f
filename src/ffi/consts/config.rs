//! Values of settings.

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
/// listener, and passes over busy, stopped and dead workers by itself. Each client moves a
/// token; where clients come and go and their steps are short, one in up to eight does.
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
/// taken one loses nothing, and one that is stopped or blocked is not waited for: after
/// 10 ms another one gets it. Costs about half as much again for each connection.
pub const DTM_ACCEPT_PASS: u32 = 5;
/// Accept schedule: who has the lock accepts, as with nginx's accept_mutex: for
/// comparison, and for those who want the old behaviour. While clients come, workers
/// without it look again every 100 ms. The master gives it to somebody when a client waits
/// and nobody has it, and takes it from a holder that makes no move for 250 ms meanwhile.
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
