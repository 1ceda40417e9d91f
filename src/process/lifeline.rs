//! Orphans: no process outlives the master. Two independent ways tell a child
//! that it is gone: the kernel's parent-death signal, and end of file on a pipe
//! whose only writer is the master.
//!
//! In an upgrade the new master gets the writing end, too, and with that the old binary's
//! workers: the pipe ends when both are gone. The parent-death signal knows of one parent
//! only, so those workers give it up.

use crate::config::Orphan;
use crate::error::{Context, Result};
use crate::ffi::DTM_EXIT_ORPHAN;
use crate::signal::handler;
use std::os::fd::{AsFd, OwnedFd};

/// How long an orphan may drain.
pub(crate) const DRAIN_SECONDS: u32 = 5;

/// The pipe. The master keeps both ends, a child only the reading one.
pub(crate) struct Lifeline {
    pub(crate) child: OwnedFd,
    /// The writing end: only kept, or handed to the next binary, never written to.
    pub(crate) master: OwnedFd,
}

impl Lifeline {
    pub(crate) fn new() -> Result<Self> {
        let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
        let (child, master) = nix::unistd::pipe2(flags).context("pipe2 for the lifeline")?;
        Ok(Self { child, master })
    }
}

/// In a child, after any change of uid (which clears it): ask for the signal,
/// then look whether the master went in between.
pub(crate) fn arm(policy: Orphan, master: i32, lifeline: &OwnedFd) {
    let signal = if policy == Orphan::Exit {
        libc::SIGKILL
    } else {
        handler::limit_orphan(master, DRAIN_SECONDS + 1);
        libc::SIGTERM
    };
    // SAFETY: a plain prctl with integer arguments.
    unsafe {
        libc::prctl(
            libc::PR_SET_PDEATHSIG,
            libc::c_ulong::from(signal.unsigned_abs()),
        )
    };
    if nix::unistd::getppid().as_raw() != master || is_cut(lifeline) {
        super::exit_now(DTM_EXIT_ORPHAN);
    }
}

/// How long a worker of the old binary that hangs, and for whom no master is left, may live
/// after the time by which one would have killed it.
const BACKSTOP_SECONDS: u64 = 10;

/// In a worker whose lifeline the next binary holds, too: its parent's death is not its own
/// any more. `until`: when a master kills it, CLOCK_MONOTONIC in ms; u64::MAX: never.
pub(crate) fn disarm(until: u64) {
    handler::limit_orphan(0, 0);
    // SAFETY: a plain prctl with integer arguments.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0 as libc::c_ulong) };
    if until != u64::MAX {
        let left = until.saturating_sub(crate::sys::now_ms()).div_ceil(1_000);
        let seconds = u32::try_from(left + BACKSTOP_SECONDS).unwrap_or(u32::MAX);
        handler::end_within(seconds);
    }
}

/// Is the kernel still to signal us at the master's end? A change of the user ends that.
pub(crate) fn is_armed() -> bool {
    let mut signal: libc::c_int = 0;
    // SAFETY: a plain prctl, which writes to valid storage.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    signal != 0
}

/// Has the master gone?
pub(crate) fn is_cut(lifeline: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
    let told = matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0);
    let [fd] = fds;
    if fd
        .revents()
        .is_some_and(|r| r.contains(PollFlags::POLLNVAL))
    {
        super::exit_without_fds(); // it is our end that was cut
    }
    told
}
