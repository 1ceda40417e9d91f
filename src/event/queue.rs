//! Entries that want attention before the pass ends: woken ones, ones to close, and
//! in a drain the ones to look at. First come, first served; nobody stands in it twice.

use super::entry::{Entry, QUEUED};
use super::slab::Slab;
use super::wheel::NIL;
use std::cell::Cell;

pub(super) struct Queue {
    head: Cell<u32>,
    tail: Cell<u32>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            head: Cell::new(NIL),
            tail: Cell::new(NIL),
        }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get() == NIL
    }

    pub(super) fn push(&self, entry: &Entry, slab: &Slab) {
        if entry.has(QUEUED) {
            return;
        }
        entry.raise(QUEUED);
        entry.link.set(NIL);
        match slab.get(self.tail.replace(entry.index)) {
            Some(last) => last.link.set(entry.index),
            None => self.head.set(entry.index),
        }
    }

    /// The next one that is still alive.
    pub(super) fn pop<'a>(&self, slab: &'a Slab) -> Option<&'a Entry> {
        while let Some(entry) = slab.get(self.head.get()) {
            self.head.set(entry.link.replace(NIL));
            if self.is_empty() {
                self.tail.set(NIL);
            }
            entry.lower(QUEUED);
            if !entry.is_free() {
                return Some(entry);
            }
            slab.retire(entry);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    #[test]
    fn in_order_once_and_only_the_living() {
        let slab = Slab::new(0);
        let take = || slab.take(Kind::Own, -1, std::ptr::null_mut()).unwrap();
        let (a, b, c) = (take(), take(), take());
        let queue = Queue::new();
        for entry in [a, b, c, a, b] {
            queue.push(entry, &slab);
        }
        slab.give(b);
        assert_eq!(queue.pop(&slab).map(|e| e.index), Some(a.index));
        queue.push(a, &slab);
        assert_eq!(queue.pop(&slab).map(|e| e.index), Some(c.index));
        assert_eq!(queue.pop(&slab).map(|e| e.index), Some(a.index));
        assert!(queue.pop(&slab).is_none());
        assert!(queue.is_empty());
        // b was freed while it stood in the queue: it can be used again now.
        slab.recycle();
        assert!(std::ptr::eq(take(), b));
    }
}
