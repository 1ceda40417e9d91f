//! The configuration struct. Every number is also a key of the `[dtm]` section
//! of `config_file`, under the same name (without `_ms`: durations take units).

use std::ffi::c_char;

/// Configuration. Zero means the default everywhere; DTM_OFF switches a timeout
/// or limit off. All strings are copied by dtm_new(). Every member but `size`,
/// `flags` and `config_file` can also be set in the `[dtm]` section of
/// `config_file`, which wins over the struct and is read again on loadconf;
/// there, `client_timeout = 20m` sets `client_timeout_ms`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_config_t {
    /// sizeof(dtm_config_t). DTM_CONFIG_INIT sets it.
    pub size: usize,
    /// DTM_F_*.
    pub flags: u64,
    /// Name for logs and process titles; default "dtm".
    pub name: *const c_char,
    /// The service's configuration file; may be NULL. Its `[dtm]` section is libdtm's.
    pub config_file: *const c_char,
    /// Workers per generation, 1..=512; default: the CPUs this process may use
    /// (affinity mask and cgroup quota).
    pub workers: u32,
    /// Size of the process table, 4..=1024; default 200. Fixed at start.
    /// A reload needs room for two generations.
    pub max_processes: u32,
    /// DTM_ACCEPT_*.
    pub accept_mode: u32,
    /// Accept tokens k, 1..=64; default workers/2 within 2..=8.
    pub accept_tokens: u32,
    /// Clients per worker, 1..=16777216; default: what RLIMIT_NOFILE leaves.
    pub max_clients: u32,
    /// Idle time after which a client is closed, in ms; default off.
    pub client_timeout_ms: u32,
    /// Idle time after which a watch is closed, in ms; default off.
    pub watch_timeout_ms: u32,
    /// How long draining clients may take, in ms; default 30,000.
    pub drain_timeout_ms: u32,
    /// From the request to stop (plus the drain time) to SIGKILL, in ms; default 2,000.
    pub kill_grace_ms: u32,
    /// From fork to ready, in ms; default 60,000. Also the time that a reload's
    /// new generation has to be ready and up to date.
    pub start_timeout_ms: u32,
    /// Silence in a step after which a worker counts as hung, in ms; default
    /// 30,000 (enforced by a later version).
    pub hang_timeout_ms: u32,
    /// First delay before a slot that died early is forked again, in ms, 1..; default 100.
    pub respawn_delay_ms: u32,
    /// Largest such delay, in ms; default 5,000.
    pub respawn_delay_max_ms: u32,
    /// Uptime that clears a slot's record of deaths, in ms; default 30,000.
    pub respawn_reset_ms: u32,
    /// Longest time that forking may stay forbidden, in ms; default 60,000.
    pub nofork_max_ms: u32,
    /// Period of `worker_tick`, in ms; default off.
    pub worker_tick_ms: u32,
    /// Longest time between two controller passes, in ms; default off: passes
    /// happen on events only.
    pub controller_tick_ms: u32,
    /// Most bytes queued for one worker whose channel is full, 65536..; default 64 MiB.
    pub channel_queue: u32,
    /// DTM_SIGNALS_*.
    pub signals: u32,
    /// DTM_ORPHAN_*.
    pub orphan: u32,
    /// DTM_LOG_*; default DTM_LOG_INFO. LIBDTM_LOG=level[,target] in the
    /// environment wins.
    pub log_level: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// `stderr` (default), `callback`, `syslog`, `syslog:/path/of/socket`, `off`, or
    /// `file:/path`, in which %r becomes the role. Set up anew in every process.
    pub log_target: *const c_char,
    /// Store of actions, such as `sqlite:/path` (later version).
    pub store: *const c_char,
}
