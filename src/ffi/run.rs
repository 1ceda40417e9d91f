//! Check, run, and what any process of the runtime can ask.

use super::abi::write_struct;
use super::{consts::*, register, types::*};
use crate::error::Error;
use crate::guard::{self, ANY, enter_fresh, enter_rt};
use crate::master;
use crate::role;
use crate::runtime::Stage;
use crate::signal::handler;
use std::ffi::c_char;
use std::sync::atomic::Ordering::Relaxed;

/// Would this service start? Does all that dtm_run() does before its first fork,
/// the `config_load` callback included (as the master, and as in dtm_run()), then undoes
/// it, its listeners too. For `-t` options. Answers what dtm_run() would answer, DTM_OK if
/// it would start; but an instance that runs and holds `pid_file` is no obstacle.
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
        become_master();
        let outcome = master::check(rt);
        become_host();
        outcome
    })
}

/// Become the master: fork, supervise, and return when the service has ended, in
/// this process only. Afterwards no child, no fd, no signal handler and no socket
/// file of the runtime is left. Children never return from it.
///
/// `ret_result` may be NULL; otherwise `result_size` is sizeof(dtm_result_t), and anything
/// else is DTM_EABI. DTM_OK after an orderly end. DTM_ETHREADS, DTM_ECONFIG, -EMFILE and
/// other errors before the first fork; -EBUSY: another instance holds `pid_file`;
/// DTM_ESTATE when it runs or ran already; DTM_EFAILED when the first generation could not
/// start and `daemonize` is set (otherwise it is tried again and again).
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
/// Owns: ret_result is the caller's; written on success and on failure (DTM_END_START_FAILED)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_run(
    rt: *mut dtm_t,
    ret_result: *mut dtm_result_t,
    result_size: usize,
) -> i32 {
    let tell = |result| match ret_result.is_null() {
        true => Ok(()),
        // SAFETY: the caller says that result_size bytes are there.
        false => unsafe { write_struct(ret_result, result_size, &result) },
    };
    // Before anything can fail, and while a wrong size has cost nothing yet.
    let told = tell(master::NOT_STARTED);
    // The master is let in to be told that it runs already.
    enter_rt(rt, DTM_ROLE_HOST | DTM_ROLE_MASTER, |rt| {
        if rt.stage.get() != Stage::Fresh || role::current() == DTM_ROLE_MASTER {
            return Err(Error::new(
                DTM_ESTATE,
                "dtm_run() runs once in the life of a runtime",
            ));
        }
        told?;
        rt.stage.set(Stage::Running);
        handler::forget();
        become_master();
        let (result, outcome) = master::run(rt);
        become_host();
        tell(result)?;
        outcome
    })
}

fn become_master() {
    crate::stack::note_top();
    let me = nix::unistd::getpid().as_raw();
    role::assume(DTM_ROLE_MASTER, DTM_OFF, 0, 0, 0, me);
}

fn become_host() {
    role::assume(DTM_ROLE_HOST, DTM_OFF, 0, 0, 0, 0);
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
