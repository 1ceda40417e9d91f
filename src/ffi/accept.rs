//! What the accept schedule does.

use super::abi::write_struct;
use super::{consts::*, types::*};
use crate::error::Error;
use crate::guard::enter_rt;

/// How the accept schedule stands, of one listener or of all (`listener` = DTM_OFF).
/// `size` is sizeof(dtm_accept_t). DTM_EINVAL: no listener of this index serves. The share of each worker is in dtm_workers().
///
/// Process: master (in callbacks), worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: ret_accept is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_accept_stats(
    rt: *const dtm_t,
    listener: u32,
    ret_accept: *mut dtm_accept_t,
    size: usize,
) -> i32 {
    let roles = DTM_ROLE_MASTER | DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER | DTM_ROLE_FUNC;
    enter_rt(rt, roles, |rt| {
        let shared = rt.shared()?;
        if listener != DTM_OFF && !shared.schedule.serves_at(listener) {
            let text = format!("listener {listener}: there is none that serves");
            return Err(Error::invalid(text));
        }
        let report = shared
            .schedule
            .report((listener != DTM_OFF).then_some(listener));
        // SAFETY: the caller says that `size` bytes are there.
        unsafe { write_struct(ret_accept, size, &report) }
    })
}
