//! Waiting for descriptors and signals at once, without a gap between the two: signals
//! are blocked except while `ppoll` waits.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static STOP: AtomicBool = AtomicBool::new(false);
static RESIZED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: i32) {
    let flag = if signal == libc::SIGWINCH {
        &RESIZED
    } else {
        &STOP
    };
    flag.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C and the like only set a flag, which `stopped` tells.
pub(crate) fn catch_signals() {
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGWINCH,
    ];
    let mask: SigSet = signals.into_iter().collect();
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None);
    for signal in signals {
        // SAFETY: the handler only stores to an atomic.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

pub(crate) fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

pub(crate) fn resized() -> bool {
    RESIZED.swap(false, Ordering::Relaxed)
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Input,
    Room,
}

/// Wait until one of the descriptors can be used, a signal came, or it is time. Which can.
pub(crate) fn wait<const N: usize>(
    fds: [(Option<BorrowedFd<'_>>, For); N],
    until: Option<Instant>,
) -> [bool; N] {
    let flags = |what| match what {
        For::Input => PollFlags::POLLIN,
        For::Room => PollFlags::POLLOUT,
    };
    let used = fds
        .iter()
        .filter_map(|(fd, what)| Some(PollFd::new((*fd)?, flags(*what))));
    let mut polled: Vec<PollFd<'_>> = used.collect();
    let left = until.map(|at| TimeSpec::from(at.saturating_duration_since(Instant::now())));
    let events = match ppoll(&mut polled, left, Some(SigSet::empty())) {
        Ok(_) => polled.iter().map(|p| p.any().unwrap_or(true)).collect(),
        Err(Errno::EINTR) => vec![false; polled.len()],
        // Let the caller's read tell what is wrong.
        Err(_) => vec![true; polled.len()],
    };
    let mut events = events.into_iter();
    fds.map(|(fd, _)| fd.is_some() && events.next().unwrap_or(false))
}
