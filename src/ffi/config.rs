//! The configuration struct. Every number is also a key of the `[dtm]` section
//! of `config_file`, under the same name (without `_ms`: durations take units).

use super::abi::read_struct;
use super::consts::*;
use crate::config::Settings;
use crate::error::{Error, Result};
use std::ffi::{CStr, c_char};

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
    /// Name for logs; default "dtm".
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
    /// blocked workers new clients do not wait; with more than workers/2 the
    /// shares become less equal. In a service with a `worker_main` the default is 1;
    /// the master adds one for a while when its holder does not serve the queue.
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
    /// DTM_LOAD_*: what the accept schedule compares; dtm_set_load() goes before.
    pub accept_load: u32,
    /// `stderr` (default), `callback`, `syslog`, `syslog:/path/of/socket`, `off`, or
    /// `file:/path`, in which %r becomes the role. Set up anew in every process.
    pub log_target: *const c_char,
    /// Store of actions, such as `sqlite:/path` (later version).
    pub store: *const c_char,
    /// DTM_PASS_*: whom DTM_ACCEPT_PASS gives a client.
    pub accept_pass: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// The least a caller brings: everything behind it has a default.
const SIZE_MIN: usize = std::mem::offset_of!(dtm_config_t, name);
const FLAGS: u64 = DTM_F_ALLOW_THREADS | DTM_F_CHILD_ATEXIT | DTM_F_IGNORE_SIGPIPE;

/// Copy the caller's struct. Ranges are checked by `Config::load`.
///
/// # Safety
/// As for [`read_struct`]; each string is NULL or terminated.
pub(crate) unsafe fn settings(config: *const dtm_config_t) -> Result<Settings> {
    // SAFETY: by contract; the struct is integers and raw pointers.
    let c = unsafe { read_struct(config, SIZE_MIN) }?;
    if c.flags & !FLAGS != 0 {
        return Err(Error::invalid(format!(
            "flags = {:#x}: unknown bits",
            c.flags
        )));
    }
    if c.reserved != 0 {
        return Err(Error::invalid("dtm_config_t.reserved must be 0"));
    }
    // SAFETY: by contract.
    let text = |name, ptr| unsafe { string(name, ptr) };
    Ok(Settings {
        flags: c.flags,
        name: text("name", c.name)?,
        config_file: text("config_file", c.config_file)?
            .map(absolute)
            .transpose()?,
        workers: c.workers,
        max_processes: c.max_processes,
        accept_mode: c.accept_mode,
        accept_tokens: c.accept_tokens,
        max_clients: c.max_clients,
        client_timeout_ms: c.client_timeout_ms,
        watch_timeout_ms: c.watch_timeout_ms,
        drain_timeout_ms: c.drain_timeout_ms,
        kill_grace_ms: c.kill_grace_ms,
        start_timeout_ms: c.start_timeout_ms,
        hang_timeout_ms: c.hang_timeout_ms,
        respawn_delay_ms: c.respawn_delay_ms,
        respawn_delay_max_ms: c.respawn_delay_max_ms,
        respawn_reset_ms: c.respawn_reset_ms,
        nofork_max_ms: c.nofork_max_ms,
        worker_tick_ms: c.worker_tick_ms,
        controller_tick_ms: c.controller_tick_ms,
        channel_queue: c.channel_queue,
        signals: c.signals,
        orphan: c.orphan,
        log_level: c.log_level,
        accept_load: c.accept_load,
        accept_pass: c.accept_pass,
        log_target: text("log_target", c.log_target)?,
        store: text("store", c.store)?,
        environment: std::env::var("LIBDTM_LOG").ok(),
        own_loop: false,
    })
}

/// Copy a string; NULL is `None`.
///
/// # Safety
/// `ptr` is NULL or a terminated string.
pub(crate) unsafe fn string(name: &str, ptr: *const c_char) -> Result<Option<String>> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; terminated by contract.
    let text = unsafe { CStr::from_ptr(ptr) };
    match text.to_str() {
        Ok(text) => Ok(Some(text.to_string())),
        Err(_) => Err(Error::invalid(format!("{name} is not UTF-8"))),
    }
}

/// The host may change its directory before the file is read again.
fn absolute(path: String) -> Result<String> {
    let absolute = std::path::absolute(&path)
        .ok()
        .and_then(|p| p.into_os_string().into_string().ok());
    absolute.ok_or_else(|| Error::invalid(format!("config_file = {path:?}: not a usable path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All zero but the size, as DTM_CONFIG_INIT.
    fn init() -> dtm_config_t {
        // SAFETY: zero is valid for integers and raw pointers.
        let zero: dtm_config_t = unsafe { std::mem::zeroed() };
        dtm_config_t {
            size: size_of::<dtm_config_t>(),
            ..zero
        }
    }

    fn read(config: &dtm_config_t) -> Result<Settings> {
        // SAFETY: a whole struct; the tests' strings are terminated.
        unsafe { settings(config) }
    }

    #[test]
    fn zero_is_the_default() {
        let found = read(&init()).unwrap();
        assert_eq!(
            Settings {
                environment: None,
                ..found
            },
            Settings::default()
        );
    }

    #[test]
    fn members_are_copied() {
        let config = dtm_config_t {
            name: c"svc".as_ptr(),
            config_file: c"x.conf".as_ptr(),
            workers: 7,
            orphan: DTM_ORPHAN_DRAIN,
            ..init()
        };
        let found = read(&config).unwrap();
        assert_eq!(
            (found.name.as_deref(), found.workers, found.orphan),
            (Some("svc"), 7, 1)
        );
        let file = found.config_file.unwrap();
        assert!(file.starts_with('/') && file.ends_with("/x.conf"), "{file}");
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let code = |config| read(&config).unwrap_err().code;
        assert_eq!(code(dtm_config_t { flags: 8, ..init() }), DTM_EINVAL);
        assert_eq!(
            code(dtm_config_t {
                reserved: 1,
                ..init()
            }),
            DTM_EINVAL
        );
        assert_eq!(
            code(dtm_config_t {
                name: c"\xff".as_ptr(),
                ..init()
            }),
            DTM_EINVAL
        );
        assert_eq!(
            code(dtm_config_t {
                config_file: c"".as_ptr(),
                ..init()
            }),
            DTM_EINVAL
        );
        assert_eq!(
            code(dtm_config_t {
                size: SIZE_MIN - 1,
                ..init()
            }),
            DTM_EABI
        );
        // SAFETY: NULL is allowed.
        let null = unsafe { settings(std::ptr::null()) };
        assert_eq!(null.unwrap_err().code, DTM_EINVAL);
    }
}
