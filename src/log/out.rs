//! Writing to a descriptor that others share, without ever waiting for a reader.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Write a line (at most `LINE_MAX` bytes) with one call. False: it was lost.
pub(super) fn write_line(fd: BorrowedFd<'_>, line: &[u8]) -> bool {
    // A journal hands its services a socket; any other file says ENOTSOCK.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(fd.as_raw_fd(), line, flags) {
        Err(Errno::ENOTSOCK) => write_file(fd, line),
        result => result == Ok(line.len()),
    }
}

fn write_file(fd: BorrowedFd<'_>, line: &[u8]) -> bool {
    // stderr is shared with processes that rely on its being blocking, so it must
    // stay so. A pipe with room has a whole page (PIPE_BUF) of it.
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO) != Ok(1) || fds[0].revents() != Some(PollFlags::POLLOUT) {
        return false;
    }
    let written = without_sigpipe(|| match write_now(fd, line) {
        // An older kernel or a kind of file for which poll() has to do.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => nix::unistd::write(fd, line),
        // A regular file never keeps anybody waiting for a reader.
        Err(Errno::EAGAIN) if is_regular(fd) => nix::unistd::write(fd, line),
        result => result,
    });
    written == Ok(line.len())
}

/// Another process may have filled the pipe since poll(): then EAGAIN, not a wait.
fn write_now(fd: BorrowedFd<'_>, line: &[u8]) -> nix::Result<usize> {
    let iov = libc::iovec {
        iov_base: line.as_ptr().cast_mut().cast(),
        iov_len: line.len(),
    };
    // SAFETY: one iovec over `line`, which is only read; offset -1: as write().
    let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const iov, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(n).map(isize::unsigned_abs)
}

pub(super) fn is_regular(fd: BorrowedFd<'_>) -> bool {
    nix::sys::stat::fstat(fd).is_ok_and(|file| file.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// A pipe whose reader is gone raises SIGPIPE, which kills by default. Hold it back,
/// and take away the one that we raised, but none that was there before.
fn without_sigpipe(write: impl FnOnce() -> nix::Result<usize>) -> nix::Result<usize> {
    let sigpipe = SigSet::from(Signal::SIGPIPE);
    let mut before = SigSet::empty();
    if pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&sigpipe), Some(&mut before)).is_err() {
        return Err(Errno::EPERM);
    }
    let ours = !is_pending(Signal::SIGPIPE);
    let result = write();
    if ours && result == Err(Errno::EPIPE) {
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a valid set and timeout; the signal's details are not wanted.
        unsafe { libc::sigtimedwait(sigpipe.as_ref(), std::ptr::null_mut(), &raw const zero) };
    }
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    result
}

fn is_pending(signal: Signal) -> bool {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending() fills the set that it is given.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: filled above.
    unsafe { libc::sigismember(set.as_ptr(), signal as i32) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_full_pipe_loses_lines_and_takes_them_again() {
        let (mut reader, writer) = std::io::pipe().unwrap(); // blocking, as stderr is
        let line = [b'x'; 4096];
        let taken = (0..1000)
            .filter(|_| write_line(writer.as_fd(), &line))
            .count();
        assert!((1..1000).contains(&taken), "{taken}");
        assert!(!write_line(writer.as_fd(), b"one more\n"));
        reader.read_exact(&mut [0; 4096]).unwrap();
        assert!(write_line(writer.as_fd(), b"one more\n"));
    }

    #[test]
    fn a_reader_that_is_gone_raises_no_signal() {
        // Rust's test harness ignores SIGPIPE; a service does not.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert!(!write_line(writer.as_fd(), b"x\n"));
        let result = without_sigpipe(|| nix::unistd::write(&writer, b"x"));
        assert_eq!(result, Err(Errno::EPIPE));
        assert!(!is_pending(Signal::SIGPIPE));
    }

    #[test]
    fn sockets_and_files() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        while write_line(one.as_fd(), &[b'x'; 4096]) {}
        drop(other);
        assert!(!write_line(one.as_fd(), b"x\n"));
        assert!(write_line(
            std::fs::File::create("/dev/null").unwrap().as_fd(),
            b"x\n"
        ));
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        assert!(!write_line(full.as_fd(), b"x\n"));
    }
}
