//! Registered, started, operated, listed.

use super::super::abi::write_struct;
use super::super::register;
use super::super::worker::bytes;
use super::super::{callbacks::*, consts::*, types::*};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::guard::enter_rt;
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
/// goes on in the background, is not undone: paused meanwhile, it is called again in the same
/// attempt when it is resumed. Returned at once, or told to `done`: DTM_EGONE: no such
/// instance; DTM_EINVAL: no such verb; DTM_EREFUSED: not in its state; DTM_EROLE: in a phase;
/// or what is wrong with the store, as dtm_action_start().
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
