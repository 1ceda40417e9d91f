//! The configuration struct, as a caller of any age has it, read.

use super::abi::read_struct;
use super::config::dtm_config_t;
use super::consts::*;
use crate::config::Settings;
use crate::error::{Error, Result};
use std::ffi::{CStr, c_char};

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
        drain_idle: c.drain_idle,
        canary: c.canary,
        old_generations: c.old_generations,
        upgrade_timeout_ms: c.upgrade_timeout_ms,
        respawn_budget: c.respawn_budget,
        respawn_window_ms: c.respawn_window_ms,
        recycle_clients: c.recycle_clients,
        recycle_requests: c.recycle_requests,
        recycle_age_ms: c.recycle_age_ms,
        recycle_idle_ms: c.recycle_idle_ms,
        recycle_stagger: c.recycle_stagger,
        recycle_min_age_ms: c.recycle_min_age_ms,
        recycle_parallel: c.recycle_parallel,
        memory_soft_mib: c.memory_soft_mib,
        memory_hard_mib: c.memory_hard_mib,
        workers_min: c.workers_min,
        workers_max: c.workers_max,
        workers_spare: c.workers_spare,
        scale_period_ms: c.scale_period_ms,
        daemonize: c.daemonize,
        process_titles: c.process_titles,
        nice: c.nice.cast_unsigned(),
        rlimit_nofile: c.rlimit_nofile,
        rlimit_core_mib: c.rlimit_core_mib,
        control_remote: c.control_remote,
        pid_file: text("pid_file", c.pid_file)?,
        user: text("user", c.user)?,
        group: text("group", c.group)?,
        chroot: text("chroot", c.chroot)?,
        working_dir: text("working_dir", c.working_dir)?,
        core_dir: text("core_dir", c.core_dir)?,
        cpu_affinity: text("cpu_affinity", c.cpu_affinity)?,
        capabilities: text("capabilities", c.capabilities)?,
        umask: text("umask", c.umask)?,
        control_operators: text("control_operators", c.control_operators)?,
        control_password: text("control_password", c.control_password)?,
        metrics_listen: text("metrics_listen", c.metrics_listen)?,
        host: text("host", c.host)?,
        control_clients: c.control_clients,
        control_timeout_ms: c.control_timeout_ms,
        store_timeout_ms: c.store_timeout_ms,
        fleet_lease_ms: c.fleet_lease_ms,
        fleet_unavailable: c.fleet_unavailable,
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
