//! Any other fd in the event loop.

use super::{callbacks::*, types::*};
use crate::event;
use crate::guard::{CHILD, enter, enter_rt};
use std::ffi::c_void;

/// Put any fd that epoll can take (socket, pipe, eventfd, ...) into this process's
/// event loop. It should be non-blocking. `close` may be NULL. A watch belongs to
/// no client and may outlive the one that made it.
///
/// -EPERM: an fd that epoll cannot take (a regular file); -EEXIST: it is
/// watched already; -EBADF; DTM_EINVAL.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: takes fd: it is closed after the close callback; dtm_watch_release() gives it back
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_add(
    rt: *mut dtm_t,
    fd: i32,
    interest: u32,
    step: dtm_watch_step_cb,
    close: dtm_watch_close_cb,
    data: *mut c_void,
    ret_watch: *mut *mut dtm_watch_t,
) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        let watch = event::of(rt)?.watch_add(fd, interest, step, close, data)?;
        if !ret_watch.is_null() {
            // SAFETY: the caller's variable.
            unsafe { ret_watch.write(watch) };
        }
        Ok(())
    })
}

/// The fd.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: borrowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_fd(watch: *const dtm_watch_t) -> i32 {
    event::ask_watch(watch, event::Entry::fd)
}

/// The pointer given to dtm_watch_add() or dtm_watch_set_data().
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_data(watch: *const dtm_watch_t) -> *mut c_void {
    event::ask_watch(watch, event::Entry::data)
}

/// Change that pointer.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_set_data(watch: *mut dtm_watch_t, data: *mut c_void) -> i32 {
    event::ask_watch(watch, |watch| watch.set_data(data))
}

/// Change what the watch waits for.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_set_interest(watch: *mut dtm_watch_t, interest: u32) -> i32 {
    enter(CHILD, |rt| {
        event::of(rt)?.watch_set_interest(watch, interest)
    })
}

/// Run the watch's step with DTM_WAKE in the same pass. Waking twice is once.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_wake(watch: *mut dtm_watch_t) -> i32 {
    enter(CHILD, |rt| event::of(rt)?.watch_wake(watch))
}

/// Set the idle timeout (0: `watch_timeout_ms`; DTM_OFF: none). It ends with
/// DTM_CLOSE_TIMEOUT.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_set_timeout(watch: *mut dtm_watch_t, idle_ms: u32) -> i32 {
    enter(CHILD, |rt| event::of(rt)?.watch_set_timeout(watch, idle_ms))
}

/// Close it: the close callback runs with DTM_CLOSE_ASKED before this pass ends.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the handle is stale when the close callback has returned
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_close(watch: *mut dtm_watch_t) -> i32 {
    enter(CHILD, |rt| event::of(rt)?.watch_close(watch))
}

/// Take the fd out of the loop and return it, open. The close callback does not run.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the fd is the caller's again; the handle is stale
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_watch_release(watch: *mut dtm_watch_t) -> i32 {
    enter(CHILD, |rt| event::of(rt)?.watch_release(watch))
}
