//! What waits at a listener.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsRawFd, BorrowedFd};

#[expect(clippy::cast_possible_truncation, reason = "some hundred bytes")]
const INFO_LEN: libc::socklen_t = size_of::<libc::tcp_info>() as libc::socklen_t;

/// Does a connection wait?
pub(super) fn readable(listener: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// How many connections wait. Where the kernel does not tell: 0 or 1.
pub(super) fn depth(listener: BorrowedFd<'_>) -> u32 {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = INFO_LEN;
    // SAFETY: at most `len` bytes are written to `info`, which has that many.
    let failed = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    } != 0;
    if failed {
        return readable(listener).into();
    }
    // SAFETY: plain integers, zeroed where the kernel wrote nothing. Of a
    // listener this field is the length of its queue.
    unsafe { info.assume_init() }.tcpi_unacked
}
