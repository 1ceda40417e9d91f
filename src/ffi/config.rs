//! The configuration struct. Every number is also a key of the `[dtm]` section
//! of `config_file`, under the same name (without `_ms`: durations take units).

use std::ffi::c_char;

/// Configuration. Zero means the default everywhere; DTM_OFF switches a timeout
/// or limit off, but for those that must have one: then it is out of range. All strings are copied by dtm_new(). Every member but `size`,
/// `flags` and `config_file` can also be set in the `[dtm]` section of
/// `config_file`, which wins over the struct and is read again on loadconf;
/// there, `client_timeout = 20m` sets `client_timeout_ms`. "Fixed at start": what a later
/// load says of it is named in the log, and takes effect at the next start.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_config_t {
    /// sizeof(dtm_config_t). DTM_CONFIG_INIT sets it.
    pub size: usize,
    /// DTM_F_*.
    pub flags: u64,
    /// Name for logs; default "dtm". Fixed at start.
    pub name: *const c_char,
    /// The service's configuration file; may be NULL. Its `[dtm]` section is libdtm's.
    pub config_file: *const c_char,
    /// Workers per generation, 1..=512; default: the CPUs this process may use
    /// (affinity mask and cgroup quota).
    pub workers: u32,
    /// Size of the process table, 4..=1024; default 200. Fixed at start.
    /// A reload needs room for two generations.
    pub max_processes: u32,
    /// DTM_ACCEPT_*; default DTM_ACCEPT_AUTO. Changes on a running service lose nothing.
    pub accept_mode: u32,
    /// Accept tokens k, 1..=64; default workers/2 within 1..=8. With up to k - 1
    /// blocked workers new clients do not wait. Whoever has one gets a client in its turn,
    /// whatever its load is: so while loads differ by more than four no more than two are in
    /// use. In a service with a `worker_main` the default is 1; the master adds one for a
    /// while when its holder does not serve the queue.
    pub accept_tokens: u32,
    /// Clients per worker, 1..=16777216; default: what RLIMIT_NOFILE leaves. Not DTM_OFF.
    pub max_clients: u32,
    /// Idle time after which a client is closed, in ms; default off.
    pub client_timeout_ms: u32,
    /// Idle time after which a watch is closed, in ms; default off.
    pub watch_timeout_ms: u32,
    /// How long draining clients may take, in ms; default 30,000.
    pub drain_timeout_ms: u32,
    /// From the request to stop (plus the drain time) to SIGKILL, in ms, not DTM_OFF; default
    /// 2,000.
    pub kill_grace_ms: u32,
    /// From fork to ready, in ms; default 60,000. Also the time that a reload's
    /// new generation has to be ready and up to date.
    pub start_timeout_ms: u32,
    /// Time without progress after which a worker or the controller counts as hung, in ms,
    /// or DTM_OFF; default 30,000. It is at work, in one and the same callback, or the
    /// kernel says that it is stopped. See dtm_extend(). In a loop of the service's own:
    /// inside of dtm_loop_dispatch(), or dtm_loop_fd() is readable and it is not called.
    pub hang_timeout_ms: u32,
    /// First delay before a slot that died early is forked again, in ms, 1..; default 100.
    pub respawn_delay_ms: u32,
    /// Largest such delay, in ms; default 5,000.
    pub respawn_delay_max_ms: u32,
    /// Uptime that clears a slot's record of deaths, in ms; default 30,000.
    pub respawn_reset_ms: u32,
    /// Longest time that forking may stay forbidden, in ms, not DTM_OFF; default 60,000.
    /// Fixed at start.
    pub nofork_max_ms: u32,
    /// Period of `worker_tick`, in ms; default off.
    pub worker_tick_ms: u32,
    /// Longest time between two controller passes, in ms; default off: passes
    /// happen on events only.
    pub controller_tick_ms: u32,
    /// Most bytes queued for one process whose channel is full, 65536..; default 64 MiB. Of
    /// that for the controller, what workers say to it takes at most half. Fixed at start.
    pub channel_queue: u32,
    /// DTM_SIGNALS_*. Fixed at start.
    pub signals: u32,
    /// DTM_ORPHAN_*.
    pub orphan: u32,
    /// DTM_LOG_*; default DTM_LOG_INFO. LIBDTM_LOG=level[,target] in the
    /// environment wins.
    pub log_level: u32,
    /// DTM_LOAD_*: what the accept schedule compares; dtm_set_load() goes before.
    pub accept_load: u32,
    /// `stderr` (default), `callback`, `syslog`, `syslog:/path/of/socket`, `off`, or
    /// `file:/path`, in which %r becomes the role. Set up anew in every process.
    pub log_target: *const c_char,
    /// Store of actions: `sqlite:/path`, `etcd://host:port`, or one that
    /// dtm_store_register() adds; default none: actions cannot be started. Fixed at start.
    pub store: *const c_char,
    /// DTM_PASS_*: whom DTM_ACCEPT_PASS gives a client.
    pub accept_pass: u32,
    /// DTM_IDLE_*: what a drain does with idle clients; default DTM_IDLE_CLOSE: workers
    /// leave soon, and a client whose next request crosses the close has to send it
    /// again. DTM_IDLE_KEEP loses none, if the service ends its answers with a hint to
    /// close while dtm_draining().
    pub drain_idle: u32,
    /// Workers of a new generation that must be up to date and healthy before the rest
    /// of it is forked, 1..=512, or DTM_OFF: all at once; default 1: a generation that
    /// cannot start costs one process and no time for the others. Each part has
    /// `start_timeout_ms` of its own.
    pub canary: u32,
    /// Most old generations alive at a time, 1..=16; default 2: one that has drained
    /// since the last reload, and one before it whose clients take long. With one more,
    /// the oldest closes what it has left, with DTM_CLOSE_DEADLINE, before the new
    /// generation opens.
    pub old_generations: u32,
    /// Time that a new binary has to start, be up to date and take over, in ms, not DTM_OFF;
    /// default 120,000: twice the default start timeout. Then it is killed, and the old one serves on.
    pub upgrade_timeout_ms: u32,
    /// Deaths within `respawn_window_ms` after which a slot is given up
    /// (DTM_WORKER_FAILED), 1.., or DTM_OFF; default 10. The last worker that serves and
    /// the controller are never given up.
    pub respawn_budget: u32,
    /// See `respawn_budget`, in ms; default 60,000.
    pub respawn_window_ms: u32,
    /// Replace a worker that has accepted so many clients; default off. Its successor is
    /// open before it drains; so for all limits below.
    pub recycle_clients: u32,
    /// Replace a worker after so many requests: a client that was busy and is idle
    /// again, see dtm_client_set_busy(); default off.
    pub recycle_requests: u32,
    /// Replace a worker that has been open for so long, in ms; default off.
    pub recycle_age_ms: u32,
    /// Replace a worker that has had no client for so long, in ms; default off.
    pub recycle_idle_ms: u32,
    /// Percent of each of these limits that is added per worker index, so that they do not
    /// all end at once, 1..=100, or DTM_OFF; default 10. Never more than 100 in all: from the
    /// start again behind that.
    pub recycle_stagger: u32,
    /// No worker is recycled that has been open for less, in ms; default 10,000.
    pub recycle_min_age_ms: u32,
    /// Most workers that are recycled at a time, those that still drain included, 1..=64;
    /// default 1.
    pub recycle_parallel: u32,
    /// Recycle a worker that uses more memory (PSS: what it shares with others counts in
    /// parts), in MiB; default off.
    pub memory_soft_mib: u32,
    /// Kill a worker that uses more memory, in MiB; default off.
    pub memory_hard_mib: u32,
    /// Least number of workers under automatic scaling, 1..=512; default off: the number
    /// is fixed. With `workers_max`, or neither.
    pub workers_min: u32,
    /// Largest number of workers under automatic scaling, 1..=512; default off.
    pub workers_max: u32,
    /// Idle workers (their load is 0) that automatic scaling keeps ready, 1..=512; default 1.
    pub workers_spare: u32,
    /// How often automatic scaling decides, in ms; default 1,000. One worker goes when more
    /// were idle 10 times in a row.
    pub scale_period_ms: u32,
    /// 1 (key: yes): dtm_run() goes into the background, in a session of its own, with
    /// stdin, stdout and stderr on /dev/null. The process that was started leaves when the
    /// first generation is open, with status 0; or with 1 and the reason on stderr, and
    /// nothing is left running. Needs another log_target than stderr. Default 0, as
    /// systemd and containers want a service in the foreground. Fixed at start.
    pub daemonize: u32,
    /// Titles of the processes in ps, such as `svc: master` and `svc: worker 3 gen 7
    /// draining` (3 is the slot); DTM_OFF: none; default on. argv and environ are not
    /// touched, and dtm_run() gives the host its own title back. Fixed at start.
    pub process_titles: u32,
    /// Priority of the children (nice value, not an increment), -20..=19; 0: unchanged.
    /// The master stays as it is: who supervises must not wait for those whom it supervises.
    pub nice: i32,
    /// RLIMIT_NOFILE of all processes while dtm_run() runs; default unchanged. Root may
    /// raise it up to the sysctl fs.nr_open, others up to their hard limit. Fixed at start.
    pub rlimit_nofile: u32,
    /// RLIMIT_CORE of the children, in MiB, or DTM_OFF: unlimited; default unchanged.
    pub rlimit_core_mib: u32,
    /// 1: the ready-made console may listen on TCP beyond loopback; needs a password; default
    /// 0: what stops a service is not for the network. Fixed at start.
    pub control_remote: u32,
    /// Absolute path of a file that the master keeps locked while it runs and removes at
    /// the end; default none. Its first line is the master's pid. It is the lock that
    /// counts: a file that a crash has left does no harm, a second instance is refused with
    /// -EBUSY, and dtm_signal_running() signals nobody else. Mode 0600, as who can read
    /// it could lock it, too. Fixed at start.
    pub pid_file: *const c_char,
    /// User that the children run as, by name or number; default unchanged. With its
    /// supplementary groups. Unix socket files become this user's. The master keeps its privileges: it opens the children's logs
    /// for them, and kills who does not leave. Listeners, shared memory and the log are
    /// open before the change. Children may dump core (PR_SET_DUMPABLE). Fixed at start.
    pub user: *const c_char,
    /// Group that the children run as, by name or number; default the user's. Fixed at start.
    pub group: *const c_char,
    /// Root directory of the children, which start in its `/`; default unchanged. Paths
    /// that the children open themselves are below it; config_file, log_target and
    /// listeners are not. Fixed at start.
    pub chroot: *const c_char,
    /// Working directory of all processes while dtm_run() runs; default unchanged, `/` with
    /// `daemonize`, so that no mounted file system is kept busy by accident. Fixed at start.
    pub working_dir: *const c_char,
    /// Working directory of the children instead (below `chroot`): where core files go
    /// when /proc/sys/kernel/core_pattern is a plain name. `user` must be able to write there.
    pub core_dir: *const c_char,
    /// `auto` (worker i on the i-th CPU that this process may use), lists such as
    /// `0-3;4,5` (worker 0; worker 1, then from the start again) or `off`, the default, as
    /// the kernel moves workers away from CPUs that others use. For workers only.
    pub cpu_affinity: *const c_char,
    /// Capabilities that the children have, such as `cap_net_bind_service, cap_net_raw`, or
    /// `none`; also with another `user`, and at most these for programs that they start.
    /// Default: with another `user` none, without unchanged. Fixed at start.
    pub capabilities: *const c_char,
    /// umask of the children, octal, such as `027`; default unchanged.
    pub umask: *const c_char,
    /// Users and groups (`@wheel`) that are operators on the ready-made console's Unix
    /// socket, as in `root,alice,@wheel`; default root and the service's own user, who could
    /// stop the service anyway. Everybody else who may connect only looks.
    pub control_operators: *const c_char,
    /// Password of the ready-made console (AUTH), by which anybody becomes an operator. Over
    /// TCP nothing is answered before it; without a password TCP clients only look. Default
    /// none.
    pub control_password: *const c_char,
    /// Address for /metrics (Prometheus), /healthz and /readyz over HTTP, as for
    /// dtm_listen(); default none. It only tells: no password, so choose who reaches it.
    /// Fixed at start.
    pub metrics_listen: *const c_char,
    /// Name of this host in a fleet; default the machine's. Fixed at start.
    pub host: *const c_char,
    /// Most connections to the ready-made console, 1..=10000, not DTM_OFF; default 64: more than people
    /// and monitors need, few enough that their buffers stay below 100 MiB. One more is kept
    /// for root and the service's own user.
    pub control_clients: u32,
    /// Idle time after which a console connection is closed, in ms, or DTM_OFF; default
    /// 600,000: who forgot a terminal comes back to it within that time, or not at all.
    /// Subscribers and those who wait for an answer are not idle.
    pub control_timeout_ms: u32,
    /// Longest time that one call of the store may take, in ms, not DTM_OFF; default 1,000.
    pub store_timeout_ms: u32,
    /// Lease of a host in a fleet, in ms; default 10,000.
    pub fleet_lease_ms: u32,
    /// Hosts that a fleet-wide action may work on at a time, 1..; default 1.
    pub fleet_unavailable: u32,
    /// Reserved, 0.
    pub reserved: u32,
}
