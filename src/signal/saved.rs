//! The dispositions that there were before the handler was installed, for who must not wait
//! for anything: a signal handler. Put there and taken by the one thread that forks.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering::*};

/// Signals below this one.
const SIGNALS: usize = 32;

struct Place {
    full: AtomicBool,
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is written while it is not `full`, by one thread, and read when it is.
unsafe impl Sync for Place {}

static PLACES: [Place; SIGNALS] = [const {
    Place {
        full: AtomicBool::new(false),
        action: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; SIGNALS];

fn place(signal: i32) -> Option<&'static Place> {
    usize::try_from(signal).ok().and_then(|n| PLACES.get(n))
}

pub(super) fn put(signal: i32, action: libc::sigaction) {
    if let Some(place) = place(signal).filter(|place| !place.full.load(Relaxed)) {
        // SAFETY: nobody reads it before it is full.
        unsafe { (*place.action.get()).write(action) };
        place.full.store(true, Release);
    }
}

/// Async-signal-safe.
pub(super) fn get(signal: i32) -> Option<libc::sigaction> {
    let place = place(signal).filter(|place| place.full.load(Acquire))?;
    // SAFETY: full, so it was written, and is not written again meanwhile.
    Some(unsafe { (*place.action.get()).assume_init_read() })
}

pub(super) fn take(signal: i32) -> Option<libc::sigaction> {
    let action = get(signal)?;
    place(signal)?.full.store(false, Relaxed);
    Some(action)
}

/// The signals that have one.
pub(super) fn all() -> impl Iterator<Item = i32> {
    (0..32).filter(|signal| place(*signal).is_some_and(|place| place.full.load(Acquire)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_found_until_it_is_taken() {
        let (signal, beyond) = (libc::SIGTRAP, 64); // which nobody takes over
        // SAFETY: zeroed storage is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_flags = 7;
        assert!(get(signal).is_none() && get(beyond).is_none() && get(-1).is_none());
        put(signal, action);
        put(beyond, action);
        assert!(get(beyond).is_none());
        assert!(all().any(|s| s == signal));
        assert_eq!(get(signal).map(|a| a.sa_flags), Some(7));
        assert_eq!(take(signal).map(|a| a.sa_flags), Some(7));
        assert!(take(signal).is_none() && all().all(|s| s != signal));
    }
}
