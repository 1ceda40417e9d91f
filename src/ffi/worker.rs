//! What a worker tells the runtime, and counters.

use super::{consts::*, types::*};
use crate::channel::Kind;
use crate::child::Cause;
use crate::error::{Error, Result};
use crate::guard::{CHILD, enter_rt};
use crate::master::policy::Order;
use crate::runtime::Runtime;
use crate::signal::handler;
use std::ffi::{CStr, c_char, c_void};

/// 1 from the moment this process was told to drain or stop, else 0: time to send
/// `Connection: close` and the like.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_draining(rt: *const dtm_t) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        Ok(i32::from(rt.child().is_some_and(|c| c.is_leaving())))
    })
}

/// Ask this process to drain and leave, as SIGTERM would. A worker that leaves
/// this way is replaced.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_leave(rt: *mut dtm_t) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        child(rt)?.leave(Order::Drain, Cause::Asked);
        handler::raise(0); // a loop of the service's own may sleep next
        Ok(())
    })
}

/// Send data to the controller's `worker_answer`, by way of the master. At most
/// DTM_MESSAGE_MAX bytes. Lost, and the log says so, where the controller does not read and
/// half of `channel_queue` is in use. -EAGAIN: the channel is full; -EMSGSIZE.
///
/// Process: worker, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_answer(rt: *mut dtm_t, data: *const c_void, len: usize) -> i32 {
    enter_rt(rt, DTM_ROLE_WORKER | DTM_ROLE_FUNC, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let payload = unsafe { bytes(data, len) }?;
        child(rt)?
            .link
            .send(crate::channel::Kind::AnswerUp, 0, 0, payload)
    })
}

/// Tell the accept schedule this worker's load in a measure of the service's own; it
/// goes by the number of open clients until the first call. DTM_OFF goes back to that.
///
/// Process: worker
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_set_load(rt: *mut dtm_t, load: u32) -> i32 {
    enter_rt(rt, DTM_ROLE_WORKER, |rt| {
        rt.worker()?.set_load(load);
        Ok(())
    })
}

/// Ask for more time: for the running callback, it does not count as hung for the next
/// `ms`; in `worker_init` and `controller_init`, `start_timeout` begins anew with so much. DTM_OFF: for ever.
/// The time is the master's: it does not pass while that is stopped or frozen.
/// -EAGAIN: the channel to the master is full.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_extend(rt: *mut dtm_t, ms: u32) -> i32 {
    enter_rt(rt, DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER, |rt| {
        let child = child(rt)?;
        let mark = child.progress().mark(rt.reactor_or_exit().last_beat());
        child.link.send(Kind::Extend, ms.into(), mark, &[])
    })
}

/// Register a counter of the service's own; returns its index. Letters, digits, `_`.
/// Counters are kept per slot and survive the death of a worker.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: name is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_register(rt: *mut dtm_t, name: *const c_char) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        rt.check_fresh()?;
        // SAFETY: NULL or terminated.
        let name = unsafe { counter_name(name) }?;
        let mut counters = rt.counters.borrow_mut();
        if counters.contains(&name) {
            return Err(Error::invalid(format!(
                "counter {name} is registered already"
            )));
        }
        if counters.len() >= usize::try_from(DTM_COUNTERS_MAX).unwrap_or(0) {
            let text = format!("more than {DTM_COUNTERS_MAX} counters");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        counters.push(name);
        Ok(i32::try_from(counters.len() - 1).unwrap_or(0))
    })
}

/// Add to a counter of this process's slot. One addition, without a lock.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_add(rt: *mut dtm_t, counter: u32, delta: u64) -> i32 {
    enter_rt(rt, CHILD, |rt| {
        let counter = counter_index(rt, counter)?;
        let child = child(rt)?;
        child.shared.board.count(child.birth.slot, counter, delta);
        Ok(())
    })
}

/// Read a counter of one slot, or the sum over all (`slot` = DTM_OFF).
///
/// Process: master (in callbacks), worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: ret_value is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_counter_get(
    rt: *const dtm_t,
    counter: u32,
    slot: u32,
    ret_value: *mut u64,
) -> i32 {
    enter_rt(rt, DTM_ROLE_MASTER | CHILD, |rt| {
        let counter = counter_index(rt, counter)?;
        let slots = rt.config().max_processes;
        if slot != DTM_OFF && slot >= slots {
            return Err(Error::invalid(format!("slot {slot}: there are {slots}")));
        }
        if ret_value.is_null() {
            return Err(Error::invalid("ret_value is NULL"));
        }
        let slot = usize::try_from(slot).ok().filter(|_| slot != DTM_OFF);
        let value = rt.shared()?.board.counter(slot, counter);
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_value.write(value) };
        Ok(())
    })
}

#[cold]
fn unborn() -> Error {
    Error::new(DTM_ESTATE, "too early: this process is being born")
}

pub(super) fn child(rt: &'static Runtime) -> Result<&'static crate::child::Child> {
    rt.child().ok_or_else(unborn)
}

/// The caller's bytes. An empty message may have a NULL pointer.
///
/// # Safety
/// `len` readable bytes, which outlive the result.
pub(super) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::invalid("data is NULL"));
    }
    // SAFETY: the caller says that `len` bytes are there.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

unsafe fn counter_name(name: *const c_char) -> Result<String> {
    if name.is_null() {
        return Err(Error::invalid("name is NULL"));
    }
    // SAFETY: terminated, by contract.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word)
    {
        return Err(Error::invalid(format!(
            "counter '{name}': letters, digits and _ only, not beginning with a digit"
        )));
    }
    Ok(name)
}

fn counter_index(rt: &Runtime, counter: u32) -> Result<usize> {
    let known = rt.counters.borrow().len();
    usize::try_from(counter)
        .ok()
        .filter(|c| *c < known)
        .ok_or_else(|| unknown_counter(counter, known))
}

#[cold]
fn unknown_counter(counter: u32, known: usize) -> Error {
    Error::invalid(format!("counter {counter}: {known} are registered"))
}
