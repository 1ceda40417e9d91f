//! Orphans: no process outlives the master. Two independent ways tell a child
//! that it is gone: the kernel's parent-death signal, and end of file on a pipe
//! whose only writer is the master.

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
    /// The only writing end: only kept, never written to.
    _master: OwnedFd,
}

impl Lifeline {
    pub(crate) fn new() -> Result<Self> {
        let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
        let (child, master) = nix::unistd::pipe2(flags).context("pipe2 for the lifeline")?;
        Ok(Self {
            child,
            _master: master,
        })
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

/// Has the master gone?
pub(crate) fn is_cut(lifeline: &OwnedFd) -> bool {
    let mut fds = [nix::poll::PollFd::new(
        lifeline.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    matches!(nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO), Ok(n) if n > 0)
}
