//! The signal mask: closed around fork, and the one to work with.

use std::cell::Cell;

thread_local! {
    /// The host's mask, as it was when dtm_run() began.
    static HOST: Cell<Option<libc::sigset_t>> = const { Cell::new(None) };
}

fn set_mask(how: i32, set: &libc::sigset_t) -> libc::sigset_t {
    let mut old = empty();
    // SAFETY: both pointers are to valid sets; a valid `how` cannot fail.
    unsafe { libc::pthread_sigmask(how, set, &raw mut old) };
    old
}

pub(crate) fn empty() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the whole set; zeroed storage is valid for it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        set
    }
}

pub(crate) fn of(signals: impl Iterator<Item = i32>) -> libc::sigset_t {
    let mut set = empty();
    for signal in signals {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Let these in. The answer is the mask to go back to.
pub(crate) fn unblock(signals: &libc::sigset_t) -> libc::sigset_t {
    set_mask(libc::SIG_UNBLOCK, signals)
}

/// Block everything. The answer is the mask to go back to.
pub(crate) fn block_all() -> libc::sigset_t {
    let mut all = empty();
    // SAFETY: `all` is a valid set.
    unsafe { libc::sigfillset(&raw mut all) };
    set_mask(libc::SIG_SETMASK, &all)
}

pub(crate) fn set(mask: &libc::sigset_t) {
    set_mask(libc::SIG_SETMASK, mask);
}

/// Remember the host's mask; dtm_run() begins.
pub(crate) fn save_host() {
    let current = set_mask(libc::SIG_BLOCK, &empty());
    HOST.set(Some(current));
}

/// Back to it; dtm_run() ends.
pub(crate) fn restore_host() {
    if let Some(mask) = HOST.take() {
        set(&mask);
    }
}

/// The host's mask with our signals let through, whatever a callback or the
/// program that started us had blocked.
pub(crate) fn open_for(signals: impl Iterator<Item = i32>) -> libc::sigset_t {
    let mut mask = HOST.get().unwrap_or_else(empty);
    for signal in signals {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigdelset(&raw mut mask, signal) };
    }
    mask
}
