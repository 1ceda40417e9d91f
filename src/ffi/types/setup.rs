//! What the host registers: listeners, funcs, commands; the settings of a console.

use super::super::callbacks::*;
use std::ffi::{c_char, c_void};

/// A listening socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_listen_t {
    /// sizeof(dtm_listen_t). DTM_LISTEN_INIT sets it.
    pub size: usize,
    /// Reserved flags, 0.
    pub flags: u64,
    /// `127.0.0.1:7000`, `[::1]:7000`, `*:7000` (all IPv4 and IPv6), port 0 for
    /// any free port, `unix:/path`, `unix:@abstract`, or `systemd:NAME`, the socket that
    /// systemd passes under this name. Copied.
    pub address: *const c_char,
    /// The service's own mark, see dtm_client_tag().
    pub tag: u64,
    /// Length of the kernel's accept queue; 0: 511, cut by net.core.somaxconn.
    pub backlog: u32,
    /// Permission bits of a Unix socket file; 0: 0666 for services, 0600 for control.
    pub mode: u32,
}

/// A helper process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_func_t {
    /// sizeof(dtm_func_t). DTM_FUNC_INIT sets it.
    pub size: usize,
    /// Name for logs. Copied.
    pub name: *const c_char,
    /// Copies to run; 0: 1.
    pub count: u32,
    /// DTM_RESTART_*.
    pub restart: u32,
    /// DTM_PHASE_*.
    pub phase: u32,
    /// Milliseconds to wait before each restart (PostgreSQL's `bgw_restart_time`); 0: by the
    /// back-off of workers.
    pub restart_ms: u32,
    /// The process's main function; its result is the exit status. NULL is an
    /// error. It should return soon after dtm_loop_dispatch() answers DTM_EGONE.
    pub main: dtm_func_main_cb,
    /// Handed to `main` and `message`.
    pub data: *mut c_void,
    /// A message from the controller arrived; may be NULL.
    pub message: dtm_func_message_cb,
}

/// A command for the master.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_command_t {
    /// sizeof(dtm_command_t). DTM_COMMAND_INIT sets it.
    pub size: usize,
    /// DTM_CMD_*.
    pub kind: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// The command's argument, see DTM_CMD_*; otherwise 0.
    pub arg: u64,
}

/// A command of the service's own on the ready-made console.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct dtm_console_t {
    /// sizeof(dtm_console_t). DTM_CONSOLE_INIT sets it.
    pub size: usize,
    /// Name, case-insensitive. Copied.
    pub name: *const c_char,
    /// As in Redis: number of arguments with the name; negative: at least so many.
    pub arity: i32,
    /// 0: any observer may call it; 1: operators only.
    pub operator_only: u32,
    /// One line of help. Copied.
    pub help: *const c_char,
    /// The handler. NULL is an error.
    pub handler: dtm_console_cb,
    /// Handed to the handler.
    pub data: *mut c_void,
}
