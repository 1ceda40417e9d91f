//! What a phase may call: its next one, its wait, its transaction.

use super::super::worker::bytes;
use super::super::{consts::*, types::*};
use crate::error::{Error, Result};
use crate::guard::enter;
use std::ffi::c_void;

/// In a phase: go on with phase `next` instead of the following one, if the phase ends
/// with DTM_ACTION_NEXT.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_jump(phase: *const dtm_phase_t, next: u32) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        rt.controller()?.phase_jump(phase, next)
    })
}

/// In a phase: when it ends with DTM_ACTION_NEXT or DTM_ACTION_AGAIN, the next step does
/// not begin before what `kind`, a DTM_WAIT_*, names has happened; at the latest after
/// `ms` milliseconds (0: however long it takes), and then `timed_out` is 1. With
/// DTM_ACTION_PENDING, `ms` is the limit of the attempt. The last call counts.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_wait(phase: *const dtm_phase_t, kind: u32, ms: u64) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        rt.controller()?.phase_wait(phase, kind, ms)
    })
}

/// In a phase: read a key that dtm_txn_put() has written, by this action or another.
/// `*ret_len` is the value's length. -ENOENT: no such key; -ENOSPC: `size` is too small.
/// What was read still holds when the phase commits, or the attempt is repeated.
///
/// The value of a key that was not fetched, see dtm_txn_fetch(), is waited for if the store
/// is elsewhere: at most for `store_timeout`, and operators and workers wait, too; then
/// -ETIMEDOUT, or what else is wrong with the store.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the buffer is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_txn_get(
    txn: *mut dtm_txn_t,
    key: dtm_str_t,
    ret_value: *mut c_void,
    size: usize,
    ret_len: *mut usize,
) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let key = unsafe { bytes(key.ptr.cast(), key.len) }?;
        let value = rt.controller()?.txn_get(txn, key)?;
        // SAFETY: the caller says that `size` bytes are there.
        unsafe { give(value, ret_value, size, ret_len) }
    })
}

/// In a phase: have a key read without waiting for it. DTM_OK: it is there, dtm_txn_get()
/// has it at once. -EAGAIN: end the phase with DTM_ACTION_PENDING; then the key is read, and
/// the callback is called again from its beginning, in the same attempt, as if it had not
/// been called: what it did through its transaction, its waits and jumps are forgotten, and
/// `resumed` is what it was. So fetch first, and act afterwards. A store on this machine
/// always answers DTM_OK. -ENOSPC: DTM_TXN_KEYS_MAX.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: key is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_txn_fetch(txn: *mut dtm_txn_t, key: dtm_str_t) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let key = unsafe { bytes(key.ptr.cast(), key.len) }?;
        match rt.controller()?.txn_fetch(txn, key)? {
            true => Ok(()),
            false => Err(Error::new(
                -libc::EAGAIN,
                "end the phase with DTM_ACTION_PENDING",
            )),
        }
    })
}

/// In a phase: write a key, in a space that all actions of this store share. It takes
/// effect with the phase's transition, exactly once; not at all if the attempt fails.
/// -ENOSPC: DTM_TXN_KEYS_MAX; -EMSGSIZE: DTM_TXN_VALUE_MAX.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: key and value are copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_txn_put(txn: *mut dtm_txn_t, key: dtm_str_t, value: dtm_str_t) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let (key, value) = unsafe {
            (
                bytes(key.ptr.cast(), key.len)?,
                bytes(value.ptr.cast(), value.len)?,
            )
        };
        rt.controller()?.txn_set(txn, key, Some(value))
    })
}

/// In a phase: remove a key, likewise.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: key is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_txn_del(txn: *mut dtm_txn_t, key: dtm_str_t) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let key = unsafe { bytes(key.ptr.cast(), key.len) }?;
        rt.controller()?.txn_set(txn, key, None)
    })
}

/// In a phase: the database's own handle, inside of the transaction that commits with the
/// phase's transition: `sqlite3 *` of a `sqlite:` store, to be used with the SQLite that
/// libdtm is linked with; what `begin` gave of a store of the service's own. NULL: it has
/// none. Do not end the transaction, nor touch the tables `kv` and `revision`. What it asks
/// a server elsewhere, the phase waits for, and operators and workers with it: use the
/// database's calls that have a time limit.
///
/// Process: controller (in a phase)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: libdtm's; valid while the phase's callback runs
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_txn_native(txn: *mut dtm_txn_t) -> *mut c_void {
    enter(DTM_ROLE_CONTROLLER, |rt| rt.controller()?.txn_native(txn))
}

/// A value to a caller's buffer.
///
/// # Safety
/// NULL, or `size` bytes and a variable.
unsafe fn give(
    value: Option<Vec<u8>>,
    ret_value: *mut c_void,
    size: usize,
    ret_len: *mut usize,
) -> Result<()> {
    if ret_len.is_null() || (ret_value.is_null() && size > 0) {
        return Err(Error::invalid("ret_value or ret_len is NULL"));
    }
    let value = value.ok_or_else(|| Error::new(-libc::ENOENT, "no such key"))?;
    // SAFETY: not NULL; the caller's variable.
    unsafe { ret_len.write(value.len()) };
    if value.len() > size {
        let text = format!("the value has {} bytes, room for {size}", value.len());
        return Err(Error::new(-libc::ENOSPC, text));
    }
    if !value.is_empty() {
        // SAFETY: `size` bytes are the caller's, and the value is not longer.
        unsafe {
            ret_value
                .cast::<u8>()
                .copy_from(value.as_ptr(), value.len())
        };
    }
    Ok(())
}
