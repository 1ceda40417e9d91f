//! Durable actions and their store.

use super::abi::write_struct;
use super::register;
use super::worker::bytes;
use super::{callbacks::*, consts::*, types::*};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::guard::{enter, enter_rt};
use crate::shm::Doing;
use std::ffi::{CString, c_char, c_void};

/// Register a durable action: a row of phases that the controller carries out, one at a
/// time, and goes on with after a crash or restart of anything. Each pass of the
/// controller moves one active instance on by one phase, all in turn.
///
/// The promise: transitions from phase to phase happen exactly once. What a phase does
/// through its transaction (dtm_txn_put(), or the database's own handle) happens exactly
/// once, together with the transition. What it does elsewhere is never skipped; it may
/// be repeated, after a crash or a failure, and then with `attempt` > 1 and the same
/// `token`. No phase runs in two controllers.
///
/// DTM_EINVAL, DTM_EABI, -EEXIST, DTM_ESTATE (dtm_run() was called).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: action is copied, its data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_register(rt: *mut dtm_t, action: *const dtm_action_t) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        // SAFETY: a struct as the header asks for.
        unsafe { register::action(rt, action) }
    })
}

/// Start an instance. Outside of a phase: `done`, which may be NULL, is called once in one
/// of the next passes, with the instance's id and DTM_OK when it is stored; its first phase
/// has its turn after that. In a phase, where `done` must be NULL: it is stored with that
/// phase's transition, or not at all, and `*ret_id`, unless `ret_id` is NULL, is its id.
///
/// Returned at once, or told to `done`: DTM_EINVAL (no such action), -EMSGSIZE
/// (DTM_ARGS_MAX), -ENOSPC (DTM_INSTANCES_MAX, or the disk), DTM_ECONFIG (no store is set),
/// -EBUSY (the store is locked or not open yet), or what else is wrong with the store:
/// nothing was started. DTM_EFAILED: it is not known whether it was; dtm_action_list()
/// tells soon. What was returned is not told again.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: args are copied; data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_start(
    rt: *mut dtm_t,
    name: *const c_char,
    args: dtm_str_t,
    done: dtm_command_cb,
    data: *mut c_void,
    ret_id: *mut u64,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: NULL or terminated, by contract.
        let name = unsafe { register::text(name, "name") }?;
        // SAFETY: the caller says that `len` bytes are there.
        let args = unsafe { bytes(args.ptr.cast(), args.len) }?;
        let controller = rt.controller()?;
        if !controller.actions.is_in_phase() {
            controller.check_start(name, args)?;
            let start = controller.action_start(name.to_owned(), args.to_vec());
            return answer_later(controller, done, data, async {
                Ok((start.await?, Vec::new()))
            });
        }
        if done.is_some() {
            let text = "done must be NULL in a phase: it is stored with the transition";
            return Err(Error::invalid(text));
        }
        let id = controller.start_in_phase(name, args)?;
        if !ret_id.is_null() {
            // SAFETY: not NULL; the caller's variable.
            unsafe { ret_id.write(id) };
        }
        Ok(())
    })
}

/// Do it in one of the next passes; `done` is told the id and text that it comes to.
fn answer_later(
    controller: &'static Controller,
    done: dtm_command_cb,
    data: *mut c_void,
    work: impl Future<Output = Result<(u64, Vec<u8>)>> + 'static,
) -> Result<()> {
    controller.enqueue_job(async move {
        let (id, status, text) = match work.await {
            Ok((id, text)) => (id, DTM_OK, text),
            Err(error) => (0, error.code, error.text.as_bytes().to_vec()),
        };
        let text = CString::new(text).unwrap_or_default();
        if let Some(done) = done {
            // SAFETY: the service's function; the text lives during the call.
            controller.child.calls(Doing::Done, || unsafe {
                done(controller.handle(), id, status, text.as_ptr(), data)
            });
        }
    })
}

/// Do with an instance what DTM_VERB_* says. `done`, which may be NULL, is called once in
/// one of the next passes: DTM_OK when it is stored. A step whose callback is running, or
/// goes on in the background, is not undone. Returned at once, or told to `done`:
/// DTM_EGONE: no such instance; DTM_EREFUSED: not in its state; DTM_EROLE: in a phase; or
/// what is wrong with the store, as dtm_action_start().
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_control(
    rt: *mut dtm_t,
    id: u64,
    verb: u32,
    done: dtm_command_cb,
    data: *mut c_void,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        let controller = rt.controller()?;
        controller.check_control(id, verb)?;
        answer_later(controller, done, data, async move {
            controller.action_control(id, verb).await?;
            Ok((id, Vec::new()))
        })
    })
}

/// A phase that has said DTM_ACTION_PENDING is called again, with `status`. DTM_EGONE: no
/// such instance; DTM_EREFUSED: none of its attempts waits for that (any more).
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_wake(rt: *mut dtm_t, id: u64, status: i32) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        rt.controller()?.action_wake(id, status)
    })
}

/// List the instances, oldest first: all that are not finished, and the last 100 that
/// are. `size` is sizeof(dtm_action_info_t). `*ret_count` is how many there are; when
/// that is above `capacity`, the rest is left out and -ENOSPC returned.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the array is the caller's; names and texts are libdtm's until the next call
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_list(
    rt: *mut dtm_t,
    ret_infos: *mut dtm_action_info_t,
    size: usize,
    capacity: u32,
    ret_count: *mut u32,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        if ret_count.is_null() || (ret_infos.is_null() && capacity > 0) {
            return Err(Error::invalid("ret_infos or ret_count is NULL"));
        }
        if !(size_of::<usize>()..=64 * 1024).contains(&size) {
            let text = format!("size {size}: pass sizeof(dtm_action_info_t)");
            return Err(Error::new(DTM_EABI, text));
        }
        let infos = rt.controller()?.action_infos();
        let room = usize::try_from(capacity).unwrap_or(usize::MAX);
        for (at, info) in infos.iter().take(room).enumerate() {
            // SAFETY: the caller says that `capacity` elements of `size` bytes are there.
            let target = unsafe { ret_infos.cast::<u8>().add(at * size) };
            // SAFETY: the same.
            unsafe { write_struct(target.cast::<dtm_action_info_t>(), size, info) }?;
        }
        let count = u32::try_from(infos.len()).unwrap_or(u32::MAX);
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_count.write(count) };
        if count > capacity {
            let text = format!("{count} instances, room for {capacity}");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        Ok(())
    })
}

/// What has become of an instance. `done` is called once in one of the next passes; with
/// DTM_OK, its text has a line for each change, oldest first, at most the last 64, each
/// ended by a newline. Returned at once, or told to `done`: DTM_EGONE: no such instance; or
/// what is wrong with the store, as dtm_action_start().
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the text is libdtm's, valid during the call of `done`; data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_action_history(
    rt: *mut dtm_t,
    id: u64,
    done: dtm_command_cb,
    data: *mut c_void,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        if done.is_none() {
            return Err(Error::invalid("done is NULL"));
        }
        let controller = rt.controller()?;
        controller.store_ready()?;
        answer_later(controller, done, data, async move {
            let lines = controller.action_history(id).await?;
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            Ok((id, text.into_bytes()))
        })
    })
}

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
