//! The store, outside of any phase.

use super::super::worker::bytes;
use super::super::{callbacks::*, consts::*, types::*};
use crate::error::Error;
use crate::guard::enter_rt;
use crate::shm::Doing;
use std::ffi::c_void;

/// How it is with the store: DTM_OK when it is open, DTM_ECONFIG when none is set,
/// otherwise what dtm_action_start() would answer now; dtm_last_error() says why.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_store_status(rt: *mut dtm_t) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| rt.controller()?.store_ready())
}

/// Read a key that a phase has written by dtm_txn_put(), outside of any phase: what is in
/// force. `done` is called once in one of the next passes, with the value; -ENOENT: no such
/// key. Between that call and the next pass, no phase changes it. Returned at once, or told
/// to `done`: what dtm_store_status() answers: it may be open a moment later.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: key is copied; the value is libdtm's, valid during the call of `done`
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_store_get(
    rt: *mut dtm_t,
    key: dtm_str_t,
    done: dtm_value_cb,
    data: *mut c_void,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let key = unsafe { bytes(key.ptr.cast(), key.len) }?.to_vec();
        let done = done.ok_or_else(|| Error::invalid("done is NULL"))?;
        let controller = rt.controller()?;
        controller.store_ready()?;
        controller.enqueue_job(async move {
            let (status, value) = match controller.store_get(key).await {
                Ok(Some(value)) => (DTM_OK, value),
                Ok(None) => (-libc::ENOENT, Vec::new()),
                Err(error) => (error.code, Vec::new()),
            };
            let text = dtm_str_t {
                ptr: value.as_ptr().cast(),
                len: value.len(),
            };
            // SAFETY: the service's function; the value lives during the call.
            controller.child.calls(Doing::Done, || unsafe {
                done(controller.handle(), status, text, data)
            });
        })
    })
}
