//! The controller: workers, messages, commands.

use super::abi::{read_struct, write_struct};
use super::worker::bytes;
use super::{callbacks::*, consts::*, types::*};
use crate::error::Error;
use crate::guard::enter_rt;
use std::ffi::c_void;

/// The workers of this pass, oldest first, those that are draining or wait for a
/// replacement included. `size` is sizeof(dtm_worker_t). `*ret_count` is how many
/// there are; when that is above `capacity`, the rest is left out and -ENOSPC returned.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the arrays are the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_workers(
    rt: *const dtm_t,
    ret_workers: *mut dtm_worker_t,
    size: usize,
    capacity: u32,
    ret_count: *mut u32,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        if ret_count.is_null() || (ret_workers.is_null() && capacity > 0) {
            return Err(Error::invalid("ret_workers or ret_count is NULL"));
        }
        if !(size_of::<usize>()..=64 * 1024).contains(&size) {
            return Err(Error::new(
                DTM_EABI,
                format!("size {size}: pass sizeof(dtm_worker_t)"),
            ));
        }
        let workers = rt.controller()?.workers();
        let room = usize::try_from(capacity).unwrap_or(usize::MAX);
        for (at, worker) in workers.iter().take(room).enumerate() {
            // SAFETY: the caller says that `capacity` elements of `size` bytes are there.
            let target = unsafe { ret_workers.cast::<u8>().add(at * size) };
            // SAFETY: the same.
            unsafe { write_struct(target.cast::<dtm_worker_t>(), size, worker) }?;
        }
        let count = u32::try_from(workers.len()).unwrap_or(u32::MAX);
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_count.write(count) };
        if count > capacity {
            let text = format!("{count} workers, room for {capacity}");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        Ok(())
    })
}

/// Send a message to one worker or func. DTM_OK: it is in the process's channel, or
/// queued behind others for it, in order. It reaches exactly that spawn, or nobody.
/// -EAGAIN: `channel_queue` is full; DTM_EGONE: no such process any more; -EMSGSIZE.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_send(
    rt: *mut dtm_t,
    spawn: u64,
    data: *const c_void,
    len: usize,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let payload = unsafe { bytes(data, len) }?;
        rt.controller()?.send_to(spawn, payload)
    })
}

/// Send to every worker of a generation (0: of all). `*ret_count` (may be NULL) is
/// how many took it; the result is DTM_OK if all did, otherwise the first error.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: data is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_send_all(
    rt: *mut dtm_t,
    generation: u32,
    data: *const c_void,
    len: usize,
    ret_count: *mut u32,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: the caller says that `len` bytes are there.
        let payload = unsafe { bytes(data, len) }?;
        let (count, result) = rt.controller()?.send_all(generation, payload);
        if !ret_count.is_null() {
            // SAFETY: not NULL; the caller's variable.
            unsafe { ret_count.write(count) };
        }
        result
    })
}

/// Send a command to the master; it takes effect at its next loop pass. `done` (may be
/// NULL) gets the answer: DTM_OK, -EBUSY (one like it is running), DTM_EREFUSED,
/// DTM_ENOFORK, DTM_EFAILED, DTM_ECONFIG, -ENOSPC, DTM_ENOTSUP. Long ones answer at their end.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: command is copied; data must live until done ran
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_command(
    rt: *mut dtm_t,
    command: *const dtm_command_t,
    done: dtm_command_cb,
    data: *mut c_void,
    ret_id: *mut u64,
) -> i32 {
    enter_rt(rt, DTM_ROLE_CONTROLLER, |rt| {
        // SAFETY: a struct as the header asks for.
        let command = unsafe { read_struct(command, COMMAND_MIN) }?;
        if !(DTM_CMD_LOADCONF..=DTM_CMD_RESET).contains(&command.kind) || command.reserved != 0 {
            return Err(Error::invalid(format!(
                "command.kind = {}: must be DTM_CMD_*",
                command.kind
            )));
        }
        let id = rt
            .controller()?
            .command(command.kind, command.arg, done, data)?;
        if !ret_id.is_null() {
            // SAFETY: not NULL; the caller's variable.
            unsafe { ret_id.write(id) };
        }
        Ok(())
    })
}

/// The least a caller brings: which command.
const COMMAND_MIN: usize = std::mem::offset_of!(dtm_command_t, arg);
