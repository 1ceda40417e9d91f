//! The runtime: its structs set up, made, freed.

use super::abi::read_struct;
use super::callbacks::dtm_callbacks_t;
use super::{config::dtm_config_t, consts::*, settings, types::*};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::guard::{self, enter_fresh, enter_rt};
use crate::role;
use crate::runtime::Runtime;
use std::ffi::c_void;

/// Zero a config struct and set its size, for callers that cannot use
/// DTM_CONFIG_INIT. `size` is sizeof(dtm_config_t) of the caller's header.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_config_init(config: *mut dtm_config_t, size: usize) -> i32 {
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { init_struct(config, size) }
}

/// The same for a callback table.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_callbacks_init(callbacks: *mut dtm_callbacks_t, size: usize) -> i32 {
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { init_struct(callbacks, size) }
}

/// Create the runtime: check every value, read the `[dtm]` section of the config
/// file, open the log. Nothing is forked, no signal handler is installed.
///
/// DTM_EABI, DTM_EINVAL, DTM_ECONFIG (a wrong value or file, named by
/// dtm_last_error()), DTM_ENOTSUP, DTM_ESTATE (this process has a runtime already),
/// -ENOENT or -EACCES (config file). `*ret_rt` is written only on success.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: children of the service cannot use the handle
/// Owns: the caller owns *ret_rt and gives it back with dtm_free(); config and callbacks are copied, user_data is only passed on
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_new(
    config: *const dtm_config_t,
    callbacks: *const dtm_callbacks_t,
    user_data: *mut c_void,
    ret_rt: *mut *mut dtm_t,
) -> i32 {
    enter_fresh(|| {
        if ret_rt.is_null() {
            return Err(Error::invalid("ret_rt is NULL"));
        }
        check_alone()?;
        // SAFETY: structs as the header asks for; strings are NULL or terminated.
        let mut settings = unsafe { settings::settings(config) }?;
        // SAFETY: the same; the struct holds a size and optional function pointers.
        let callbacks = unsafe { read_struct(callbacks, CALLBACKS_MIN) }?;
        if callbacks.client_step.is_none() && callbacks.worker_main.is_none() {
            let text = "callbacks.client_step is NULL, and there is no worker_main";
            return Err(Error::invalid(text));
        }
        settings.own_loop = callbacks.worker_main.is_some();
        crate::sys::open_standard_fds()?;
        let config = Config::load(&settings, true)?;
        role::init()?;
        let runtime = Box::into_raw(Box::new(Runtime::new(
            settings, config, callbacks, user_data,
        )));
        if !guard::publish(runtime) {
            // SAFETY: made above, known to nobody.
            drop(unsafe { Box::from_raw(runtime) });
            return Err(second_runtime());
        }
        role::assume(DTM_ROLE_HOST, DTM_OFF, 0, 0, 0, 0);
        // SAFETY: alive until dtm_free().
        let ready = unsafe { &*runtime }.setup_log();
        // SAFETY: the same.
        if let Err(error) = ready.and_then(|()| unsafe { &*runtime }.note_start()) {
            discard(runtime);
            return Err(error);
        }
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_rt.write(runtime.cast()) };
        Ok(())
    })
}

/// Destroy the runtime. NULL is allowed. Closes the listeners and removes the Unix
/// socket files this process bound. Does nothing in any other process, nor
/// while dtm_run() runs.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: takes rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_free(rt: *mut dtm_t) {
    if rt.is_null() {
        return;
    }
    // Elsewhere than in the host, or while it runs, the answer is an error,
    // and nothing is done.
    let host: i32 = enter_rt(rt, DTM_ROLE_HOST, |_| Ok(()));
    if host == DTM_OK {
        discard(rt.cast());
    }
}

/// The least a caller brings: the worker's part.
const CALLBACKS_MIN: usize = std::mem::offset_of!(dtm_callbacks_t, controller_init);

/// Zero a struct and set its size.
unsafe fn init_struct<T>(target: *mut T, size: usize) -> i32 {
    if target.is_null() {
        return DTM_EINVAL;
    }
    if !target.is_aligned() || !(size_of::<usize>()..=64 * 1024).contains(&size) {
        return DTM_EABI;
    }
    // SAFETY: the caller says that `size` bytes are there.
    unsafe { target.cast::<u8>().write_bytes(0, size) };
    // SAFETY: aligned, and at least a usize long.
    unsafe { target.cast::<usize>().write(size) };
    DTM_OK
}

/// One runtime per process; a process that the service forked has none of its own.
fn check_alone() -> Result<()> {
    if guard::published().is_null() {
        return Ok(());
    }
    if role::current() == 0 {
        return Err(Error::new(
            DTM_EFORKED,
            "this process was forked by the service and shares its parent's runtime: exec first",
        ));
    }
    Err(second_runtime())
}

fn second_runtime() -> Error {
    Error::new(
        DTM_ESTATE,
        "this process has a runtime already: dtm_free() it first",
    )
}

/// Free everything of the host's.
fn discard(runtime: *mut Runtime) {
    guard::retract();
    // SAFETY: made by dtm_new(), freed once: nobody finds it any more.
    drop(unsafe { Box::from_raw(runtime) });
    crate::log::close();
}
