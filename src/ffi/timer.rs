//! Timers.

use super::{callbacks::*, types::*};
use crate::event;
use crate::guard::{CHILD, enter, enter_rt};
use std::ffi::c_void;

/// Start a timer on the monotonic clock: after `first_ms`, then every `period_ms`
/// (0: once). Missed periods are not made up for.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the caller owns the timer until dtm_timer_free(); libdtm frees the rest when the process ends
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_timer_add(
    rt: *mut dtm_t,
    first_ms: u32,
    period_ms: u32,
    fire: dtm_timer_cb,
    data: *mut c_void,
    ret_timer: *mut *mut dtm_timer_t,
) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        let timer = event::of(rt)?.timer_add(first_ms, period_ms, fire, data)?;
        if !ret_timer.is_null() {
            // SAFETY: the caller's variable.
            unsafe { ret_timer.write(timer) };
        }
        Ok(())
    })
}

/// Start it anew, whether it runs or has fired. O(1).
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_timer_set(
    timer: *mut dtm_timer_t,
    first_ms: u32,
    period_ms: u32,
) -> i32 {
    enter(CHILD, |rt| {
        event::of(rt)?.timer_set(timer, first_ms, period_ms)
    })
}

/// Stop and free it; allowed in its own callback.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: takes timer
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_timer_free(timer: *mut dtm_timer_t) -> i32 {
    enter(CHILD, |rt| event::of(rt)?.timer_free(timer))
}
