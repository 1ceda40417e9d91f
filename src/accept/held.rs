//! Listeners that cannot be steered yet, for the program of another binary has their sockets
//! still: that binary was killed, or is about to end. The kernel frees what nobody uses
//! after a grace period of RCU: some ms, rarely more.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Time to the next try, ms.
const RETRY: u64 = 20;
/// The same when it has taken so long that something is wrong, and was said to be.
const LONG: u64 = 5_000;
const RETRY_LATER: u64 = 1_000;

#[derive(Default)]
pub(super) struct Held {
    listeners: RefCell<BTreeMap<usize, Since>>,
    retry_at: Cell<u64>,
}

struct Since {
    at: u64,
    reported: bool,
}

impl Held {
    /// It was tried, in vain.
    pub(super) fn note(&self, listener: usize, now: u64) {
        let mut listeners = self.listeners.borrow_mut();
        let reported = false;
        let since = listeners
            .entry(listener)
            .or_insert(Since { at: now, reported });
        if now - since.at >= LONG && !std::mem::replace(&mut since.reported, true) {
            ::log::warn!(
                "listener {listener}: the program of another process has its sockets: \
                 connections are spread by their hash until it lets go"
            );
        }
        let pause = match since.reported {
            true => RETRY_LATER,
            false => RETRY,
        };
        self.retry_at.set(now + pause);
    }

    /// It is steered, or not to be.
    pub(super) fn forget(&self, listener: usize) {
        let since = self.listeners.borrow_mut().remove(&listener);
        if since.is_some_and(|since| since.reported) {
            ::log::info!("listener {listener}: no other program has its sockets any more");
        }
    }

    pub(super) fn forget_all(&self) {
        self.listeners.borrow_mut().clear();
    }

    /// When to try again.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.listeners.borrow().is_empty()).then(|| self.retry_at.get())
    }

    pub(super) fn due(&self, now: u64) -> Vec<usize> {
        match self.next() {
            Some(at) if at <= now => self.listeners.borrow().keys().copied().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tried_again_until_it_is_free() {
        let held = Held::default();
        assert_eq!((held.next(), held.due(u64::MAX)), (None, Vec::new()));
        held.note(3, 100);
        held.note(4, 101);
        assert_eq!(held.next(), Some(101 + RETRY));
        assert!(held.due(100 + RETRY).is_empty());
        assert_eq!(held.due(101 + RETRY), [3, 4]);
        held.forget(3);
        held.note(4, 101 + LONG);
        assert_eq!(held.next(), Some(101 + LONG + RETRY_LATER));
        held.forget(4);
        assert_eq!(held.next(), None);
    }
}
