//! Life of the runtime: create, listen, check, run.

use super::abi::{read_struct, write_struct};
use super::callbacks::dtm_callbacks_t;
use super::{config, config::dtm_config_t, consts::*, register, types::*};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::guard::{self, ANY, enter_fresh, enter_rt};
use crate::master;
use crate::role;
use crate::runtime::{Runtime, Stage};
use crate::signal::handler;
use std::ffi::{c_char, c_void};
use std::sync::atomic::Ordering::Relaxed;

/// Zero a config struct and set its size, for callers that cannot use
/// DTM_CONFIG_INIT. `size` is sizeof(dtm_config_t) of the caller's header.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_config_init(config: *mut dtm_config_t, size: usize) -> i32 {
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { init_struct(config, size) }
}

/// The same for a callback table.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_callbacks_init(callbacks: *mut dtm_callbacks_t, size: usize) -> i32 {
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { init_struct(callbacks, size) }
}

/// Create the runtime: check every value, read the `[dtm]` section of the config
/// file, open the log. Nothing is forked, no signal handler is installed.
///
/// DTM_EABI, DTM_EINVAL, DTM_ECONFIG (a wrong value or file, named by
/// dtm_last_error()), DTM_ENOTSUP, DTM_ESTATE (this process has a runtime already),
/// -ENOENT or -EACCES (config file). `*ret_rt` is written only on success.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: children of the service cannot use the handle
/// Owns: the caller owns *ret_rt and gives it back with dtm_free(); config and callbacks are copied, user_data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_new(
    config: *const dtm_config_t,
    callbacks: *const dtm_callbacks_t,
    user_data: *mut c_void,
    ret_rt: *mut *mut dtm_t,
) -> i32 {
    enter_fresh(|| {
        if ret_rt.is_null() {
            return Err(Error::invalid("ret_rt is NULL"));
        }
        check_alone()?;
        // SAFETY: structs as the header asks for; strings are NULL or terminated.
        let mut settings = unsafe { config::settings(config) }?;
        // SAFETY: the same; the struct holds a size and optional function pointers.
        let callbacks = unsafe { read_struct(callbacks, CALLBACKS_MIN) }?;
        if callbacks.client_step.is_none() && callbacks.worker_main.is_none() {
            let text = "callbacks.client_step is NULL, and there is no worker_main";
            return Err(Error::invalid(text));
        }
        settings.own_loop = callbacks.worker_main.is_some();
        crate::sys::open_standard_fds()?;
        let config = Config::load(&settings, true)?;
        role::init()?;
        let runtime = Box::into_raw(Box::new(Runtime::new(
            settings, config, callbacks, user_data,
        )));
        if !guard::publish(runtime) {
            // SAFETY: made above, known to nobody.
            drop(unsafe { Box::from_raw(runtime) });
            return Err(second_runtime());
        }
        role::assume(DTM_ROLE_HOST, DTM_OFF, 0, 0, 0, 0);
        // SAFETY: alive until dtm_free().
        let ready = unsafe { &*runtime }.setup_log();
        // SAFETY: the same.
        if let Err(error) = ready.and_then(|()| unsafe { &*runtime }.note_start()) {
            discard(runtime);
            return Err(error);
        }
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_rt.write(runtime.cast()) };
        Ok(())
    })
}

/// Destroy the runtime. NULL is allowed. Closes the listeners and removes the Unix
/// socket files this process bound. Does nothing in any other process, nor
/// while dtm_run() runs.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: takes rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_free(rt: *mut dtm_t) {
    if rt.is_null() {
        return;
    }
    // Elsewhere than in the host, or while it runs, the answer is an error,
    // and nothing is done.
    let host: i32 = enter_rt(rt, DTM_ROLE_HOST, |_| Ok(()));
    if host == DTM_OK {
        discard(rt.cast());
    }
}

/// Bind and open a listener for clients; the workers accept from it. Returns its
/// index (0, 1, ...), or: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, DTM_EINVAL (the
/// address cannot be read), -ENOSPC (more than DTM_LISTENERS_MAX), DTM_ESTATE.
///
/// A Unix socket file that nobody listens on is replaced; one with a live owner
/// gives -EADDRINUSE.
///
/// In the master's `config_load` it is part of what is loaded. For the address of a
/// listener that there is (or that dtm_unlisten() was just told to remove), it returns
/// that one's index and takes over tag, backlog and mode, for the processes forked from
/// then on. Another address is bound at once, so a failure is known before anything is
/// forked; let `config_load` return it, and the reload is cancelled and its answer names
/// the address. Clients get at it when the new generation is open, and never if the
/// reload fails. Only workers that are forked for it know it. The address must not overlap
/// with one that is removed (`*:80` and `127.0.0.1:80`: -EADDRINUSE). -EBUSY: it was
/// removed by the last reload, and closes in a second. DTM_ESTATE: DTM_CMD_LOADCONF, which
/// forks nobody, cannot add or remove any. -EMFILE: too many for RLIMIT_NOFILE.
///
/// Process: host; master in config_load (in the controller's: DTM_EROLE)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST | DTM_ROLE_MASTER, |rt| unsafe {
        register::listener(rt, listen, false)
    })
}

/// Remove a listener. In the host, and in `config_load` at the start, it is closed at once.
///
/// In `config_load` of a reload it is removed when the new generation is open; until then,
/// and if the reload fails, it serves as before. Then no connection is made there any more
/// (a TCP client may have to wait for a second until it is refused; a socket file is removed at once).
/// Clients that wait there are served by the old generation, before it drains; those that
/// it has not taken within half a second, by the new one, with the listener's index and tag.
/// The index may be another listener's when no process is left that knew this one.
/// A socket that systemd has passed is only not used any more: it is systemd's to close.
///
/// DTM_OK; -ENOENT: no such listener; DTM_ESTATE as dtm_listen().
///
/// Process: host; master in config_load (in the controller's: DTM_EROLE)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_unlisten(rt: *mut dtm_t, index: u32) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST | DTM_ROLE_MASTER, |rt| rt.unlisten(index))
}

/// The same for the control listener, from which the controller accepts. At most one.
///
/// Without a `control_step` it is the ready-made console's, which takes care who gets at it:
/// DTM_EINVAL for an address beyond loopback (see `control_remote`) and for a socket file in
/// a folder where everybody may replace it.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_control(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST, |rt| unsafe {
        register::listener(rt, listen, true)
    })
}

/// The port that listener `index` is bound to (for port 0 in its address); 0 for
/// Unix sockets. -ENOENT when there is no such listener.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_port(rt: *const dtm_t, index: u32) -> i32 {
    enter_rt(rt, ANY, |rt| {
        let port = rt.port(index).ok_or_else(|| {
            Error::new(
                -libc::ENOENT,
                format!("there is no listener with index {index}"),
            )
        })?;
        Ok(i32::from(port))
    })
}

/// Register a helper process. Returns its index.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: func is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_func_register(rt: *mut dtm_t, func: *const dtm_func_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST, |rt| unsafe { register::func(rt, func) })
}

/// Would this service start? Does all that dtm_run() does before its first fork,
/// the `config_load` callback included, then undoes it. For `-t` options.
/// Answers what dtm_run() would answer, DTM_OK if it would start.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_check(rt: *mut dtm_t) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        rt.check_fresh()?;
        master::check(rt)
    })
}

/// Become the master: fork, supervise, and return when the service has ended, in
/// this process only. Afterwards no child, no fd, no signal handler and no socket
/// file of the runtime is left. Children never return from it.
///
/// `ret_result` may be NULL; otherwise `result_size` is sizeof(dtm_result_t).
/// DTM_OK after an orderly end. DTM_ETHREADS, DTM_ECONFIG, -EMFILE and other errors
/// before the first fork; -EBUSY: another instance holds `pid_file`; DTM_ESTATE when it
/// runs or ran already; DTM_EFAILED when the first generation could not start and
/// `daemonize` is set (otherwise it is tried again and again).
///
/// With `daemonize`, dtm_run() goes on in another process, in the background; the one that
/// called it never returns from it. It waits until the first generation is open, and
/// leaves by _exit() with status 0. If that fails, it writes the reason to stderr and
/// leaves with 1, and dtm_run() returns it in the background, for the service to clean up.
///
/// Process: host (becomes the master)
/// Thread: owner
/// Signal: unsafe
/// Fork: flushes stdio with fflush(NULL) before each fork; needs one thread, see DTM_F_ALLOW_THREADS
/// Owns: ret_result is the caller's; written on success and on failure
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_run(
    rt: *mut dtm_t,
    ret_result: *mut dtm_result_t,
    result_size: usize,
) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        if rt.stage.get() != Stage::Fresh {
            return Err(Error::new(
                DTM_ESTATE,
                "dtm_run() runs once in the life of a runtime",
            ));
        }
        crate::stack::note_top();
        rt.stage.set(Stage::Running);
        role::assume(
            DTM_ROLE_MASTER,
            DTM_OFF,
            0,
            0,
            0,
            nix::unistd::getpid().as_raw(),
        );
        let (result, outcome) = master::run(rt);
        role::assume(DTM_ROLE_HOST, DTM_OFF, 0, 0, 0, 0);
        if !ret_result.is_null() {
            // SAFETY: the caller says that result_size bytes are there.
            unsafe { write_struct(ret_result, result_size, &result) }?;
        }
        outcome
    })
}

/// Ask this process's master for something, as a signal would: one of
/// DTM_CMD_LOADCONF, _RELOAD, _UPGRADE, _START, _STOP, _SHUTDOWN, _SHUTDOWN_NOW,
/// _REOPEN_LOG. Returns at once; the log tells the outcome. In a worker, func or
/// controller only the two shutdowns, which mean that process itself.
///
/// Process: master, worker, controller, func
/// Thread: any
/// Signal: safe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_request(command: u32) -> i32 {
    let any = matches!(
        command,
        DTM_CMD_LOADCONF
            | DTM_CMD_RELOAD
            | DTM_CMD_UPGRADE
            | DTM_CMD_START
            | DTM_CMD_STOP
            | DTM_CMD_SHUTDOWN
            | DTM_CMD_SHUTDOWN_NOW
            | DTM_CMD_REOPEN_LOG
    );
    let own = matches!(command, DTM_CMD_SHUTDOWN | DTM_CMD_SHUTDOWN_NOW);
    match role::current() {
        _ if !any => return DTM_EINVAL,
        DTM_ROLE_MASTER => {}
        DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER | DTM_ROLE_FUNC if own => {}
        0 if guard::published().is_null() => return DTM_ESTATE,
        0 => return DTM_EFORKED,
        _ => return DTM_EROLE,
    }
    handler::raise(1 << (handler::REQUEST_BASE + command));
    DTM_OK
}

/// Signal the running instance of a service, for options such as `-s stop` and `-s
/// reload`. `pid_file`: what the instance was started with; NULL: what the runtime of
/// this process is configured with (`pid_file` of dtm_new(), no more is needed).
/// `signal`: a signal number, see SIGNALS; 0 only asks whether it runs.
///
/// Answers the pid of the instance. Nobody else is ever signalled: the file must be
/// locked, by the process that it names, with the start time that it names, in this boot.
/// -ESRCH: no instance runs, whatever the file says. -ENOENT: there is no such file.
/// -EACCES, -EPERM: it is another user's. -EAGAIN: it is just starting. DTM_EINVAL.
///
/// Process: any
/// Thread: owner, or any before dtm_new()
/// Signal: unsafe
/// Fork: valid everywhere
/// Owns: pid_file is only read
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_signal_running(pid_file: *const c_char, signal: i32) -> i32 {
    enter_fresh(|| {
        if !(0..=libc::SIGRTMAX()).contains(&signal) {
            let text = format!("signal {signal}: must be 0..{}", libc::SIGRTMAX());
            return Err(Error::invalid(text));
        }
        if !pid_file.is_null() {
            // SAFETY: terminated, by contract.
            let path = unsafe { register::text(pid_file, "pid_file") }?;
            return crate::daemon::pid_file::signal(path, signal);
        }
        if guard::published().is_null() || !role::border().on_owner_thread() {
            return Err(Error::invalid(
                "pid_file is NULL, and this thread has no runtime that could name one",
            ));
        }
        // SAFETY: published, so alive; this is the thread that owns it.
        let config = unsafe { &*guard::published() }.config();
        let path = config.daemon.pid_file.as_deref();
        let path = path.ok_or_else(|| Error::invalid("no pid_file is configured"))?;
        crate::daemon::pid_file::signal(path, signal)
    })
}

/// Who is the calling process? `size` is sizeof(dtm_self_t). Answers DTM_EFORKED in
/// a process the service itself forked.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: ret_self is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_self(rt: *const dtm_t, ret_self: *mut dtm_self_t, size: usize) -> i32 {
    enter_rt(rt, ANY, |rt| {
        let me = role::me();
        let told = dtm_self_t {
            size: size_of::<dtm_self_t>(),
            role: me.role(),
            slot: me.slot.load(Relaxed),
            generation: me.generation.load(Relaxed),
            index: me.index.load(Relaxed),
            spawn: me.spawn.load(Relaxed),
            pid: me.pid.load(Relaxed),
            master_pid: me.master_pid.load(Relaxed),
            draining: u32::from(rt.child().is_some_and(|c| c.is_leaving())),
            clients: rt.reactor().map_or(0, |r| r.clients()),
        };
        // SAFETY: the caller says that `size` bytes are there.
        unsafe { write_struct(ret_self, size, &told) }
    })
}

/// Write one line to libdtm's log, with this process's role, slot and generation.
/// Never blocks; lines that the target cannot take are dropped and counted.
///
/// Process: any
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: text is only read
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_log(rt: *const dtm_t, level: u32, text: *const c_char) -> i32 {
    enter_rt(rt, ANY, |_| {
        let level = crate::log::level_of(level)
            .ok_or_else(|| Error::invalid(format!("log level {level}: must be DTM_LOG_*")))?;
        // SAFETY: the caller's string is NULL or terminated.
        let text = unsafe { register::text(text, "text") }?;
        crate::log::line(level, text);
        Ok(())
    })
}

/// The least a caller brings: the worker's part.
const CALLBACKS_MIN: usize = std::mem::offset_of!(dtm_callbacks_t, controller_init);

/// Zero a struct and set its size.
unsafe fn init_struct<T>(target: *mut T, size: usize) -> i32 {
    if target.is_null() {
        return DTM_EINVAL;
    }
    if !target.is_aligned() || !(size_of::<usize>()..=64 * 1024).contains(&size) {
        return DTM_EABI;
    }
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { target.cast::<u8>().write_bytes(0, size) };
    // SAFETY: aligned, and at least a usize long.
    unsafe { target.cast::<usize>().write(size) };
    DTM_OK
}

/// One runtime per process; a process that the service forked has none of its own.
fn check_alone() -> Result<()> {
    if guard::published().is_null() {
        return Ok(());
    }
    if role::current() == 0 {
        return Err(Error::new(
            DTM_EFORKED,
            "this process was forked by the service and shares its parent's runtime: exec first",
        ));
    }
    Err(second_runtime())
}

fn second_runtime() -> Error {
    Error::new(
        DTM_ESTATE,
        "this process has a runtime already: dtm_free() it first",
    )
}

/// Free everything of the host's.
fn discard(runtime: *mut Runtime) {
    guard::retract();
    // SAFETY: made by dtm_new(), freed once: nobody finds it any more.
    drop(unsafe { Box::from_raw(runtime) });
    crate::log::close();
}
