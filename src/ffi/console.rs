//! The ready-made console: commands of the service.

use super::abi::read_struct;
use super::{consts::*, types::*};
use crate::console::{Registered, Reply, check_name, reply_is_over};
use crate::error::{Error, Result};
use crate::guard::{enter, enter_rt};
use std::cell::Cell;
use std::ffi::{c_char, c_void};

/// The least a caller brings: its data may be missing.
const CONSOLE_MIN: usize = std::mem::offset_of!(dtm_console_t, data);

/// Add a command to the ready-made console, beside its own: it is found, permitted and
/// documented as they are. The name is one word of letters, digits, `.`, `_` and `-`, and
/// none of the console's own; arity 0 is an error. At most DTM_COMMANDS_MAX (-ENOSPC).
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: command is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_console_register(
    rt: *mut dtm_t,
    command: *const dtm_console_t,
) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        rt.check_fresh()?;
        // SAFETY: a struct as the header asks for.
        let command = unsafe { read_struct(command, CONSOLE_MIN) }?;
        // SAFETY: NULL or terminated.
        let name = unsafe { super::register::text(command.name, "command.name") }?.to_owned();
        let help = match command.help.is_null() {
            true => "",
            // SAFETY: terminated.
            false => unsafe { super::register::text(command.help, "command.help") }?,
        };
        if command.arity == 0 {
            let text = "command.arity is 0: the name counts, so it is at least 1 or at most -1";
            return Err(Error::invalid(text));
        }
        if command.operator_only > 1 {
            return Err(Error::invalid("command.operator_only must be 0 or 1"));
        }
        if command.handler.is_none() {
            return Err(Error::invalid("command.handler is NULL"));
        }
        let mut commands = rt.commands.borrow_mut();
        check_name(&name, &commands)?;
        if commands.len() >= usize::try_from(DTM_COMMANDS_MAX).unwrap_or(0) {
            let text = format!("more than {DTM_COMMANDS_MAX} console commands");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        commands.push(Registered {
            name,
            arity: command.arity,
            operator_only: command.operator_only == 1,
            help: help.replace(['\r', '\n'], " "),
            handler: command.handler,
            data: command.data,
        });
        Ok(())
    })
}

thread_local! {
    /// The reply whose handler is running. Replies live on our stack: a pointer that a
    /// handler kept must not be followed.
    static CURRENT: Cell<*mut dtm_reply_t> = const { Cell::new(std::ptr::null_mut()) };
}

pub(crate) fn set_current(reply: *mut dtm_reply_t) {
    CURRENT.set(reply);
}

fn add(reply: *mut dtm_reply_t, add: impl FnOnce(&mut Reply) -> Result<()>) -> i32 {
    enter(DTM_ROLE_CONTROLLER, |_| {
        if reply.is_null() {
            return Err(Error::invalid("reply is NULL"));
        }
        if !std::ptr::eq(reply, CURRENT.get()) {
            return Err(reply_is_over());
        }
        // SAFETY: it is the one that lives while its handler runs, and nobody else has it.
        add(unsafe { &mut *reply.cast::<Reply>() })
    })
}

/// Bytes from C.
///
/// # Safety
/// `text` is NULL with `len` 0, or `len` readable bytes.
unsafe fn bytes<'a>(text: *const c_char, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if text.is_null() || len > DTM_REPLY_TEXT_MAX {
        let text = format!("text is NULL, or longer than {DTM_REPLY_TEXT_MAX} bytes");
        return Err(Error::invalid(text));
    }
    // SAFETY: by contract.
    Ok(unsafe { std::slice::from_raw_parts(text.cast(), len) })
}

/// Append a string to the reply: any bytes, at most DTM_REPLY_TEXT_MAX.
///
/// A reply of one part is that; of several, an array of them; of none, `OK`, or the name
/// of the handler's negative result as an error. DTM_ESTATE after the handler returned.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_text(
    reply: *mut dtm_reply_t,
    text: *const c_char,
    len: usize,
) -> i32 {
    // SAFETY: the caller says that `len` bytes are there.
    add(reply, |reply| reply.text(unsafe { bytes(text, len) }?))
}

/// Append an integer to the reply.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_integer(reply: *mut dtm_reply_t, value: i64) -> i32 {
    add(reply, |reply| reply.integer(value))
}

/// Append a number with a fraction, of which three digits are sent; a string in RESP2.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_double(reply: *mut dtm_reply_t, value: f64) -> i32 {
    add(reply, |reply| reply.double(value))
}

/// Append a truth value; 0 or 1 in RESP2.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_boolean(reply: *mut dtm_reply_t, value: i32) -> i32 {
    add(reply, |reply| reply.boolean(value != 0))
}

/// Append nothing: Redis's null.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_null(reply: *mut dtm_reply_t) -> i32 {
    add(reply, Reply::null)
}

/// Make the reply an error, whatever was added to it. `text` may begin with a code in
/// capitals, such as `BUSY try again`; otherwise `ERR` is put before it.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_error(reply: *mut dtm_reply_t, text: *const c_char) -> i32 {
    add(reply, |reply| {
        // SAFETY: NULL or terminated.
        reply.error(unsafe { super::register::text(text, "text") }?);
        Ok(())
    })
}

/// Begin an array; the next `count` parts are its members. Parts may be arrays and maps,
/// 16 levels deep; a reply has at most 65,536 parts.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_array(reply: *mut dtm_reply_t, count: usize) -> i32 {
    add(reply, |reply| reply.begin(count, false))
}

/// Begin a map of `count` pairs; the next 2 * `count` parts are its keys and values, in
/// turn. An array of them in RESP2.
///
/// Process: controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reply_map(reply: *mut dtm_reply_t, count: usize) -> i32 {
    add(reply, |reply| reply.begin(count, true))
}

// Replies are handed out as opaque pointers.
const _: () = assert!(align_of::<Reply>() >= align_of::<*const c_void>());
