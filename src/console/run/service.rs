//! Commands for the master. Its reply is the answer, at once or at the end of the matter.

use super::*;
use crate::config::Config;
use crate::error::{Error, Result as Done};
use crate::guard;
use std::ffi::{CStr, c_char, c_void};

/// flow: C8, L7
pub(super) fn ask(call: &mut Call<'_>, kind: u32, arg: u64) -> Answered {
    let whom = std::ptr::without_provenance_mut(usize::try_from(call.conn.id).unwrap_or(0));
    let asked = call.controller.command(kind, arg, Some(done), whom);
    match asked {
        Ok(id) => Ok(Outcome::Later(Waiting::Master(id))),
        Err(error) => Err(error_of(error.code, &error.text)),
    }
}

unsafe extern "C-unwind" fn done(
    _: *mut dtm_t,
    id: u64,
    status: i32,
    detail: *const c_char,
    whom: *mut c_void,
) {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| -> Done<()> {
        if detail.is_null() {
            return Err(Error::invalid("detail is NULL"));
        }
        // SAFETY: terminated, and alive during the call.
        let text = unsafe { CStr::from_ptr(detail) }.to_string_lossy();
        let value = match status {
            DTM_OK if text.is_empty() => Value::ok(),
            DTM_OK => Value::Line(text.into_owned()),
            code => Value::Error(error_of(code, &text)),
        };
        let controller = rt.controller()?;
        let whom = u64::try_from(whom.addr()).unwrap_or(0);
        controller
            .console()?
            .answer(controller, whom, Waiting::Master(id), &value);
        Ok(())
    });
}

pub(in crate::console) fn reload(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_RELOAD, 0)
}

pub(in crate::console) fn loadconf(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_LOADCONF, 0)
}

pub(in crate::console) fn start(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_START, 0)
}

pub(in crate::console) fn stop(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_STOP, 0)
}

pub(in crate::console) fn scale(call: &mut Call<'_>) -> Answered {
    let workers = call.number(0, "workers")?;
    ask(call, DTM_CMD_SCALE, workers)
}

pub(in crate::console) fn reset(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_RESET, 0)
}

pub(in crate::console) fn upgrade(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_UPGRADE, 0)
}

pub(in crate::console) fn reopen(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_REOPEN_LOG, 0)
}

/// SHUTDOWN [NOW]: also by the names that redis-cli's users know.
pub(in crate::console) fn shutdown(call: &mut Call<'_>) -> Answered {
    match call.args.first() {
        None => ask(call, DTM_CMD_SHUTDOWN, 0),
        Some(_) if call.is(0, "now") => ask(call, DTM_CMD_SHUTDOWN_NOW, 0),
        Some(_) if call.is(0, "nosave") || call.is(0, "save") => ask(call, DTM_CMD_SHUTDOWN, 0),
        Some(_) => Err(format!(
            "ERR '{}': SHUTDOWN, or SHUTDOWN NOW",
            shown(&call.text(0))
        )),
    }
}

/// NOFORK ON [seconds]
pub(in crate::console) fn nofork(call: &mut Call<'_>) -> Answered {
    let ms = match call.args.is_empty() {
        true => 0,
        false => match call.number(0, "seconds")? {
            0 => return Err("ERR seconds '0': NOFORK OFF allows forking again".into()),
            seconds => seconds.saturating_mul(1000),
        },
    };
    ask(call, DTM_CMD_NOFORK, ms)
}

pub(in crate::console) fn fork(call: &mut Call<'_>) -> Answered {
    ask(call, DTM_CMD_FORK, 0)
}

/// RECYCLE SLOT n | PID n | SPAWN n. Who cannot be recycled now is named at once. H07
pub(in crate::console) fn recycle(call: &mut Call<'_>) -> Answered {
    let worker = worker(call, 0)?;
    ask(call, DTM_CMD_RECYCLE, worker.spawn)
}

/// It drains, and a slot is no way to name it: this binary has slots of its own.
fn at_old_binary(call: &Call<'_>, at: usize, number: u64) -> bool {
    let (_, adopted) = call.controller.child.shared.adopted.read();
    adopted.iter().any(|told| match call.is(at, "pid") {
        true => u64::try_from(told.pid) == Ok(number),
        false => call.is(at, "spawn") && told.spawn == number,
    })
}

/// The worker that `SLOT n`, `PID n` or `SPAWN n` means, which must be able to listen.
pub(super) fn worker(call: &Call<'_>, at: usize) -> Result<dtm_worker_t, String> {
    let number = call.number(at + 1, "worker")?;
    let get: fn(&dtm_worker_t) -> u64 = match () {
        () if call.is(at, "slot") => |w| w.slot.into(),
        () if call.is(at, "pid") => |w| u64::try_from(w.pid).unwrap_or(0),
        () if call.is(at, "spawn") => |w| w.spawn,
        () => {
            return Err(format!(
                "ERR '{}': SLOT n, PID n or SPAWN n",
                shown(&call.text(at))
            ));
        }
    };
    let workers = call.controller.workers();
    let found = workers.into_iter().find(|w| get(w) == number);
    let what = call.text(at).to_lowercase();
    let worker = found.ok_or_else(|| match at_old_binary(call, at, number) {
        true => {
            format!("GONE the worker with {what} {number} is of the old binary: it hears nothing from here")
        }
        false => format!("GONE there is no worker with {what} {number}: see WORKERS"),
    })?;
    let state = crate::console::names::state_name(worker.state);
    match worker.state {
        DTM_WORKER_STARTING | DTM_WORKER_DEAD | DTM_WORKER_FAILED => Err(format!(
            "ERR the worker with {what} {number} is {state}: it hears nothing"
        )),
        _ => Ok(worker),
    }
}

pub(super) fn level_in_force() -> String {
    ::log::max_level().as_str().to_lowercase()
}

pub(in crate::console) fn log_level(_: &mut Call<'_>) -> Answered {
    reply(level_in_force())
}

pub(in crate::console) fn set_log_level(call: &mut Call<'_>) -> Answered {
    let level = Config::parse_value("log_level", &call.text(0).to_lowercase());
    ask(
        call,
        DTM_CMD_LOG_LEVEL,
        level.map_err(|e| format!("ERR {e}"))?.into(),
    )
}
