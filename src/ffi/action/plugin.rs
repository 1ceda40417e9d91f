//! A store of the service's own.

use super::super::register;
use super::super::{consts::*, types::*};
use crate::guard::enter_rt;

/// Add a database for actions, chosen by its scheme in `store`. DTM_EINVAL, DTM_EABI,
/// -EEXIST, DTM_ESTATE (dtm_run() was called).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: store is copied, its data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_store_register(rt: *mut dtm_t, store: *const dtm_store_t) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        // SAFETY: a struct as the header asks for.
        unsafe { register::store(rt, store) }
    })
}
