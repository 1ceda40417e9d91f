//! fork, exits, deaths, orphans.

/// Leave at once: no atexit handlers, no stdio, nothing of the service's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit never returns and runs no code of this process.
    unsafe { libc::_exit(status) }
}
