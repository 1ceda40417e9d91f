//! The event loop inside a foreign one.

use super::{consts::*, types::*};
use crate::error::{Error, Result};
use crate::guard::{CHILD, enter_rt};
use crate::runtime::{Process, Runtime};

/// One fd that is readable when dtm_loop_dispatch() has something to do: for
/// `worker_main` or a func that lives in libuv, libevent or an epoll of its own.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: borrowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_loop_fd(rt: *const dtm_t) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        let reactor = rt.reactor();
        Ok(reactor
            .ok_or_else(|| Error::new(DTM_ESTATE, "too early"))?
            .epoll_fd())
    })
}

/// One pass of libdtm's loop: waits up to `timeout_ms` (0: not at all, -1: until
/// something happens) and runs the callbacks that are due. Returns 0; DTM_EGONE
/// when this process should leave now: return from `worker_main` or `main`.
/// With a foreign loop, call it with 0 when dtm_loop_fd() is readable.
///
/// Process: worker (in worker_main), func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_loop_dispatch(rt: *mut dtm_t, timeout_ms: i32) -> i32 {
    enter_rt(rt, DTM_ROLE_WORKER | DTM_ROLE_FUNC, |rt| {
        dispatch(rt, timeout_ms)
    })
}

fn dispatch(rt: &'static Runtime, timeout_ms: i32) -> Result<()> {
    let foreign = match rt.process() {
        Some(Process::Worker(_)) => rt.callbacks.worker_main.is_some(),
        Some(Process::Func(_)) => true,
        _ => false,
    };
    let child = rt.child().filter(|_| foreign).ok_or_else(|| {
        Error::new(
            DTM_EROLE,
            "libdtm runs the loop here: dispatching is for worker_main and funcs",
        )
    })?;
    if child.dispatching.replace(true) {
        return Err(Error::new(
            DTM_EROLE,
            "dtm_loop_dispatch() was called by a callback of itself",
        ));
    }
    let leave = match rt.process() {
        Some(Process::Worker(worker)) => worker.pass(timeout_ms),
        Some(Process::Func(helper)) => helper.pass(timeout_ms),
        _ => true,
    };
    child.dispatching.set(false);
    if leave {
        return Err(Error::new(DTM_EGONE, "this process should leave now"));
    }
    Ok(())
}
