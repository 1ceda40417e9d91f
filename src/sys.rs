//! System calls that several places need.

use crate::error::{Context, Result};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// A second descriptor for the same open file, close-on-exec.
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: borrowed for this call only; a closed fd answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let new =
        nix::fcntl::fcntl(borrowed, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(0)).context("dup")?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// A new epoll instance.
pub(crate) fn epoll() -> Result<OwnedFd> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(crate::error::Error::last_os("epoll_create1"));
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Is there something to read, or a failure? Does not wait.
pub(crate) fn readable(fd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The machine's name, without its domain.
pub(crate) fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer with its length, less one byte that stays 0.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let text = std::ffi::CStr::from_bytes_until_nul(&name).unwrap_or_default();
    let text = text.to_string_lossy();
    text.split('.').next().unwrap_or("host").to_owned()
}

/// CLOCK_MONOTONIC in milliseconds.
pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CLOCK_BOOTTIME in milliseconds: goes on while the machine is suspended.
pub(crate) fn boot_ms() -> u64 {
    clock_ns(libc::CLOCK_BOOTTIME) / 1_000_000
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: valid storage; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Seconds since 1970, for people: it may jump.
pub(crate) fn wall_seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// A timeout of the core as one of the API: what is too long is as good as off.
pub(crate) fn ms32(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(crate::ffi::DTM_OFF)
}

/// A program may be started without stdin, stdout or stderr, or close them. Nothing of ours
/// may land there, where everybody writes: what is missing is filled for good.
pub(crate) fn open_standard_fds() -> Result<()> {
    use nix::fcntl::{OFlag, open};
    let none = nix::sys::stat::Mode::empty();
    // SAFETY: a plain query; a closed descriptor answers an error.
    while (0..=2).any(|fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0) {
        // In a chroot there may be no such file: then one that is as good as closed.
        let fd = open("/dev/null", OFlag::O_RDWR, none)
            .or_else(|_| open("/", OFlag::O_PATH, none))
            .context("open /dev/null")?;
        // The lowest that is free: inherited by children, and across exec.
        let _ = fd.into_raw_fd();
    }
    Ok(())
}
