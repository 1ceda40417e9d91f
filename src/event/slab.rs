//! The entries: in chunks, so that addresses hold and growing moves nothing. Memory
//! is never given back, so a stale handle still finds an entry, which is free or lives
//! another life; and it is touched only when it is needed, so that it costs nothing before.

use super::entry::{Entry, IN_CALL, Kind, QUEUED};
use super::wheel::{NIL, Node, Nodes};
use crate::error::{Error, Result};
use std::cell::{Cell, UnsafeCell};
use std::collections::TryReserveError;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Entries of a chunk: 30 KiB.
const CHUNK: u32 = 256;

#[repr(C)]
pub(super) struct Slab {
    /// The first chunk, which most events mean: without a look into `chunks`.
    first: Cell<NonNull<Entry>>,
    /// How many entries there are, free ones included. Behind them is bare memory.
    len: Cell<u32>,
    free: Cell<u32>,
    /// Freed in this pass; events of the batch may still mean them.
    retired: Cell<u32>,
    /// For the number of every entry's first life.
    seed: u32,
    /// First entries of the chunks. Raw, for the entries are shared all along.
    chunks: UnsafeCell<Vec<NonNull<Entry>>>,
}

impl Slab {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            first: Cell::new(NonNull::dangling()),
            chunks: UnsafeCell::default(),
            len: Cell::new(0),
            free: Cell::new(NIL),
            retired: Cell::new(NIL),
            seed,
        }
    }

    /// Not a RefCell: every event comes by here.
    #[inline(always)]
    fn chunks<R>(&self, f: impl FnOnce(&mut Vec<NonNull<Entry>>) -> R) -> R {
        // SAFETY: only place() and grow() pass an `f`; neither calls back here.
        f(unsafe { &mut *self.chunks.get() })
    }

    #[inline(always)]
    pub(super) fn get(&self, index: u32) -> Option<&Entry> {
        if index >= self.len.get() {
            return None;
        }
        // SAFETY: there are `len` entries, and chunks for them.
        let place = unsafe { self.place(index) };
        // SAFETY: chunks live as long as the slab, and nobody has an entry for himself:
        // everything in it that changes is a Cell.
        Some(unsafe { place.as_ref() })
    }

    /// Where this entry is, or will be.
    ///
    /// # Safety
    /// There is a chunk for it.
    #[inline(always)]
    unsafe fn place(&self, index: u32) -> NonNull<Entry> {
        let (chunk, offset) = ((index / CHUNK) as usize, (index % CHUNK) as usize);
        if chunk == 0 {
            // SAFETY: as below.
            return unsafe { self.first.get().add(offset) };
        }
        // SAFETY: the caller says so, and a chunk has room for CHUNK entries.
        self.chunks(|chunks| unsafe { chunks.get_unchecked(chunk).add(offset) })
    }

    /// The entry that an event means; none when its life is over.
    #[inline(always)]
    pub(super) fn of_key(&self, key: u64) -> Option<&Entry> {
        let index = u32::try_from(key & u64::from(u32::MAX)).ok()?;
        self.get(index).filter(|entry| entry.has_key(key))
    }

    /// A free entry, with the caller's `kind` and everything else at rest.
    #[inline(always)]
    pub(super) fn take(&self, kind: Kind, fd: i32, data: *mut std::ffi::c_void) -> Result<&Entry> {
        let entry = match self.get(self.free.get()) {
            Some(entry) => entry,
            None => self.make()?,
        };
        self.free.set(entry.link.replace(NIL));
        entry.begin(kind, fd, data);
        Ok(entry)
    }

    /// One more entry. No other is free.
    fn make(&self) -> Result<&Entry> {
        let index = self.len.get();
        if index.is_multiple_of(CHUNK) {
            self.grow().map_err(|_| no_memory())?;
        }
        // SAFETY: all chunks but the last one are full, and that one is not.
        let place = unsafe { self.place(index) };
        // SAFETY: the bare memory behind the last entry.
        unsafe { place.write(Entry::new(index, self.seed)) };
        self.len.set(index + 1);
        // SAFETY: written just now, and from here on like the others, see get().
        let entry = unsafe { place.as_ref() };
        entry.settle_down();
        Ok(entry)
    }

    /// Bare memory for CHUNK more entries.
    fn grow(&self) -> std::result::Result<(), TryReserveError> {
        self.chunks(|chunks| chunks.try_reserve(1))?;
        let mut chunk: Vec<Entry> = Vec::new();
        chunk.try_reserve_exact(CHUNK as usize)?;
        let bare = NonNull::from(ManuallyDrop::new(chunk).spare_capacity_mut()).cast();
        if self.len.get() == 0 {
            self.first.set(bare);
        }
        self.chunks(|chunks| chunks.push(bare));
        Ok(())
    }

    /// End an entry's life. It can begin another one in a later pass.
    pub(super) fn give(&self, entry: &Entry) {
        entry.kind.set(Kind::Free);
        entry.next_life();
        entry.lower(IN_CALL);
        if !entry.has(QUEUED) {
            self.retire(entry);
        }
    }

    /// A free entry has left the queue.
    pub(super) fn retire(&self, entry: &Entry) {
        entry.link.set(self.retired.replace(entry.index));
    }

    /// A pass is over: nothing in flight means the retired ones any more.
    pub(super) fn recycle(&self) {
        while let Some(entry) = self.get(self.retired.get()) {
            self.retired.set(entry.link.get());
            entry.link.set(self.free.replace(entry.index));
        }
    }
}

impl Nodes for Slab {
    fn node(&self, id: u32) -> &Node {
        match self.get(id) {
            Some(entry) => &entry.node,
            None => unreachable!("the wheel holds only ids that it was given"),
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for first in self.chunks.get_mut().drain(..) {
            // SAFETY: made in grow() with this capacity. Entries need no drop, and no
            // reference to one outlives self.
            drop(unsafe { Vec::from_raw_parts(first.as_ptr(), 0, CHUNK as usize) });
        }
    }
}

fn no_memory() -> Error {
    Error::new(-libc::ENOMEM, "no memory for more clients or watches")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slab() -> Slab {
        Slab::new(7)
    }

    fn take(slab: &Slab) -> &Entry {
        slab.take(Kind::Own, -1, std::ptr::null_mut()).unwrap()
    }

    #[test]
    fn addresses_hold_and_indices_are_dense() {
        let slab = slab();
        let first = take(&slab);
        let others: Vec<&Entry> = (1..2 * CHUNK).map(|_| take(&slab)).collect();
        assert!(std::ptr::eq(first, slab.get(0).unwrap()));
        for (n, entry) in others.iter().enumerate() {
            assert_eq!(entry.index as usize, n + 1);
        }
        assert_eq!(slab.len.get(), 2 * CHUNK);
        assert!(slab.get(2 * CHUNK).is_none());
    }

    #[test]
    fn reused_only_in_a_later_pass_and_with_another_key() {
        let slab = slab();
        let entry = take(&slab);
        let key = entry.key();
        assert!(std::ptr::eq(slab.of_key(key).unwrap(), entry));
        slab.give(entry);
        assert!(slab.of_key(key).is_none());
        assert!(!std::ptr::eq(take(&slab), entry));
        slab.recycle();
        let again = take(&slab);
        assert!(std::ptr::eq(again, entry));
        assert_ne!(again.key(), key);
        assert_eq!(again.key() & super::super::OWN, 0);
    }

    #[test]
    fn handles() {
        let slab = slab();
        let entry = take(&slab);
        assert!(slab.get(entry.index + 1).is_none(), "not made yet");
        let handle: *mut u8 = entry.handle();
        assert!(std::ptr::eq(Entry::behind(handle).unwrap(), entry));
        assert!(Entry::behind(std::ptr::null::<u8>()).is_none());
        assert!(Entry::behind(handle.wrapping_add(1)).is_none());
        // SAFETY: an entry owns nothing.
        let copy = unsafe { std::ptr::from_ref(entry).read() };
        assert!(Entry::behind(&raw const copy).is_none());
        let rubbish = [[0u64; 16]; 2];
        for word in rubbish.as_flattened() {
            assert!(Entry::behind(word).is_none());
        }
    }

    /// Whoever keeps the handle of one that is gone does not get the next one.
    #[test]
    fn a_handle_means_one_life() {
        let slab = slab();
        let entry = take(&slab);
        let handle: *mut u8 = entry.handle();
        assert!(entry.is_meant_by(handle));
        for life in 1..70_000 {
            slab.give(entry);
            slab.recycle();
            assert!(std::ptr::eq(take(&slab), entry));
            assert!(std::ptr::eq(Entry::behind(handle).unwrap(), entry));
            // There are only so many numbers.
            assert_eq!(entry.is_meant_by(handle), life % 0x7fff == 0);
            assert!(entry.is_meant_by(entry.handle::<u8>()));
            assert!(std::ptr::eq(slab.of_key(entry.key()).unwrap(), entry));
        }
    }

    /// A key of the runtime's own leads to no entry, whichever its life.
    #[test]
    fn own_keys() {
        let slab = slab();
        let entry = take(&slab);
        assert!(slab.of_key(entry.key() | super::super::OWN).is_none());
    }
}
