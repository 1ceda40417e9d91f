//! What events and queries fill in: processes, the accept schedule, reports, the end.

use std::ffi::c_char;

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
    /// Open clients, as the worker reports them; like `load` and `accepted`, 0 without a
    /// process.
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
    /// DTM_ACCEPT_LOCK: workers that gave the lock back after it had been taken from them.
    pub late: u64,
    /// Connections that the kernel dropped because the queue was full (`backlog` of
    /// dtm_listen_t, cut by net.core.somaxconn), at all listeners together; a client that
    /// tries again in vain counts again. The master looks 0.2 s after it has seen that clients
    /// wait. 0 where the kernel does not tell: without /proc, and for sockets of another
    /// network namespace. A Unix listener drops none: connect() answers EAGAIN, or waits.
    pub drops: u64,
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
    /// Clients that were still busy at a drain's deadline, and closed; also those of a worker
    /// that had to be killed then.
    pub late_clients: u64,
}

impl Default for dtm_report_t {
    fn default() -> Self {
        // SAFETY: numbers only; 0 is valid for all of them.
        let mut report: Self = unsafe { std::mem::zeroed() };
        (report.size, report.fd, report.listener) = (size_of::<Self>(), -1, -1);
        report
    }
}
