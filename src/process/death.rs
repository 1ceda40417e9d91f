//! Deaths: notice, look, reap. SIGCHLD coalesces and may be lost to the host,
//! so each child has a pidfd; where there are none (valgrind, old kernels), a
//! look at every child on SIGCHLD and once a second does the same.

use crate::master::policy::Exit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// An fd that is readable when the process has ended.
pub(crate) fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: a plain system call; the result is a new fd or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: a new descriptor that nobody else owns; pidfds are close-on-exec.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Signal a process that may be no child of ours: nobody else, if there is a hold on it.
pub(crate) fn signal(hold: Option<&OwnedFd>, pid: i32, signal: i32) -> nix::Result<()> {
    let code = match hold {
        // SAFETY: a plain system call; no details are given along.
        Some(fd) => unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, none, 0)
        },
        // SAFETY: a plain system call. There are no pidfds here.
        None => unsafe { libc::kill(pid, signal) }.into(),
    };
    nix::errno::Errno::result(code).map(drop)
}

/// Has this process ended? For those that are not its parent; not sure means no.
pub(crate) fn has_ended(pid: i32) -> bool {
    pidfd(pid).is_some_and(|hold| is_over(&hold))
}

/// Has the process of this pidfd ended?
pub(crate) fn is_over(hold: &OwnedFd) -> bool {
    crate::sys::readable(hold.as_fd())
}

/// Has it ended? The zombie stays: its pid cannot be reused before [`reap`].
pub(crate) fn look(pid: i32) -> Option<Exit> {
    wait(pid, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Let the zombie go.
pub(crate) fn reap(pid: i32) {
    let _ = wait(pid, libc::WEXITED | libc::WNOHANG);
}

/// Was it stopped (true) or continued (false) since the last look?
pub(crate) fn look_if_stopped(pid: i32) -> Option<bool> {
    let id = libc::id_t::try_from(pid).ok()?;
    let options = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG;
    // SAFETY: as in wait(): zeroed storage, and this very child.
    let (result, info) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        (libc::waitid(libc::P_PID, id, &raw mut info, options), info)
    };
    // SAFETY: filled by waitid, or zero.
    if result != 0 || unsafe { info.si_pid() } == 0 {
        return None;
    }
    Some(info.si_code != libc::CLD_CONTINUED)
}

fn wait(pid: i32, options: i32) -> Option<Exit> {
    let id = libc::id_t::try_from(pid).ok()?;
    loop {
        // SAFETY: zeroed siginfo is valid storage; si_pid stays 0 when nobody ended.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: waits for this very child, never for any of the host's.
        let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
        if result == 0 {
            return decode(&info);
        }
        match nix::errno::Errno::last() {
            nix::errno::Errno::EINTR => {}
            // Gone, and the host's wait() has taken its status.
            nix::errno::Errno::ECHILD => return Some(Exit::Unknown),
            _ => return None,
        }
    }
}

fn decode(info: &libc::siginfo_t) -> Option<Exit> {
    // SAFETY: filled by waitid for SIGCHLD, for which these fields are defined.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return None;
    }
    Some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal {
            number: status,
            core: code == libc::CLD_DUMPED,
        },
    })
}

/// The wait status as wait(2) encodes it, for the `event` callback.
pub(crate) fn encode(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => (code & 0xff) << 8,
        Exit::Signal { number, core } => number | if core { 0x80 } else { 0 },
        Exit::Unknown => -1,
    }
}
