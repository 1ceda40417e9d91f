//! fork, exits, deaths, orphans.

pub(crate) mod death;
pub(crate) mod fork;
pub(crate) mod lifeline;

/// Leave at once: no atexit handlers, no stdio, nothing of the service's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit never returns and runs no code of this process.
    unsafe { libc::_exit(status) }
}

/// The descriptors by which we hear of the master are not what they were. It does not
/// matter whose fault it is: nothing of what they say can be trusted any more.
pub(crate) fn exit_without_fds() -> ! {
    ::log::error!("the service closed or replaced libdtm's file descriptors: leaving");
    exit_now(crate::ffi::DTM_EXIT_FDS)
}

/// Leave in order. `atexit`: the service wants its exit handlers run in children.
pub(crate) fn exit(status: i32, atexit: bool) -> ! {
    // SAFETY: flushes the streams of this process; valid at any time.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    if atexit {
        // SAFETY: never returns; asked for with DTM_F_CHILD_ATEXIT.
        unsafe { libc::exit(status) }
    }
    // Sanitizers report leaks from an atexit handler only: give them their turn.
    #[cfg(feature = "fault")]
    crate::fault::before_exit();
    exit_now(status)
}
