//! Signals that a callback has blocked reach the loop all the same. A loop that opened the
//! mask for each wait would pay for that in every pass; here the kernel tells it when
//! there is something to let in.

use super::mask;
use crate::error::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub(crate) struct Blocked {
    signals: libc::sigset_t,
    /// A signalfd that nobody reads: readable while one of them is pending.
    fd: OwnedFd,
}

impl Blocked {
    pub(crate) fn new(signals: impl Iterator<Item = i32>) -> Result<Self> {
        let signals = mask::of(signals);
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const signals, flags) };
        if fd < 0 {
            return Err(Error::last_os("signalfd"));
        }
        // SAFETY: fresh, nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { signals, fd })
    }

    /// The fd to watch for reading.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Have their handler run now. The mask stays what it was.
    pub(crate) fn let_in(&self) {
        let before = mask::unblock(&self.signals);
        mask::set(&before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    static CALLS: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_: i32) {
        CALLS.fetch_add(1, SeqCst);
    }

    fn is_told(blocked: &Blocked) -> bool {
        let mut fds = [PollFd::new(blocked.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_blocked_signal_is_told_and_let_in_once() {
        let signal = libc::SIGRTMIN() + 5;
        let handler: extern "C" fn(i32) = count;
        // SAFETY: zeroed storage is a valid sigaction; the handler only adds to an atomic.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        let blocked = Blocked::new([signal].into_iter()).unwrap();
        let before = mask::block_all();
        assert!(!is_told(&blocked));
        // SAFETY: to this very thread, which blocks it.
        unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
        assert!(is_told(&blocked));
        assert_eq!(CALLS.load(SeqCst), 0);
        blocked.let_in();
        assert_eq!(CALLS.load(SeqCst), 1);
        assert!(!is_told(&blocked));
        // SAFETY: as above; it is blocked as before.
        unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
        assert_eq!(CALLS.load(SeqCst), 1);
        blocked.let_in();
        mask::set(&before);
        assert_eq!(CALLS.load(SeqCst), 2);
    }
}
