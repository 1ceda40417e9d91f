//! Memory for a master that gets no more. faults: B07
//!
//! A child that malloc() refuses something dies and is replaced: that is what a master is
//! for. The master itself would take everybody with it. So what malloc() refuses the
//! library's code in the master is taken from cells that were set aside when the program
//! was loaded; pages that were never used cost nothing. When they are all in use, or too
//! small, the master ends as well.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

/// Cells of each size: enough for some hundred deaths and reloads at once; what the
/// master needs beyond that is a leak. A size is a power of two, its cells one word of bits.
const CLASSES: [(usize, u32); 5] = [
    (128, 64),
    (512, 64),
    (2 << 10, 64),
    (16 << 10, 8),
    (64 << 10, 2),
];

const fn begin_of(class: usize) -> usize {
    let mut begin = 0;
    let mut i = 0;
    // The largest first: each begins at a multiple of its size.
    while i < CLASSES.len() {
        if i > class {
            begin += CLASSES[i].0 * CLASSES[i].1 as usize;
        }
        i += 1;
    }
    begin
}

const TOTAL: usize = begin_of(0) + CLASSES[0].0 * CLASSES[0].1 as usize;
/// No cell is aligned better.
const ALIGNMENT: usize = 4096;

#[repr(C, align(4096))]
struct Cells(UnsafeCell<[u8; TOTAL]>);

/// The library's allocator: malloc(), and the reserve where that is armed.
pub(crate) struct Patient {
    cells: Cells,
    /// By class: a bit for each cell in use.
    used: [AtomicU64; CLASSES.len()],
    armed: AtomicBool,
    lent: AtomicU32,
}

// SAFETY: a cell belongs to whoever has set its bit, until the bit is cleared.
unsafe impl Sync for Patient {}

impl Patient {
    pub(crate) const fn new() -> Self {
        Self {
            cells: Cells(UnsafeCell::new([0; TOTAL])),
            used: [const { AtomicU64::new(0) }; CLASSES.len()],
            armed: AtomicBool::new(false),
            lent: AtomicU32::new(0),
        }
    }

    /// For the master while it supervises; not for children, nor for the host.
    pub(crate) fn arm(&self, on: bool) {
        self.armed.store(on, Relaxed);
    }

    /// How often malloc() has refused since this was asked last.
    pub(crate) fn take_lent(&self) -> u32 {
        match self.lent.load(Relaxed) {
            0 => 0,
            _ => self.lent.swap(0, Relaxed),
        }
    }

    #[cold]
    fn lend(&self, layout: Layout) -> *mut u8 {
        if !self.armed.load(Relaxed) || layout.align() > ALIGNMENT {
            return std::ptr::null_mut();
        }
        let need = layout.size().max(layout.align());
        for (class, (size, _)) in CLASSES.iter().enumerate() {
            if need <= *size
                && let Some(cell) = self.claim(class)
            {
                self.lent.fetch_add(1, Relaxed);
                return self.base().wrapping_add(begin_of(class) + cell * size);
            }
        }
        std::ptr::null_mut()
    }

    fn claim(&self, class: usize) -> Option<usize> {
        let cells = CLASSES[class].1;
        let mut used = self.used[class].load(Relaxed);
        loop {
            let free = used.trailing_ones();
            if free >= cells {
                return None;
            }
            match self.used[class].compare_exchange_weak(used, used | 1 << free, Acquire, Relaxed) {
                Ok(_) => return Some(free as usize),
                Err(now) => used = now,
            }
        }
    }

    /// False: it is not one of ours.
    #[inline(always)]
    fn take_back(&self, p: *mut u8) -> bool {
        let at = p.addr().wrapping_sub(self.base().addr());
        if at >= TOTAL {
            return false;
        }
        self.release(at);
        true
    }

    #[cold]
    fn release(&self, at: usize) {
        for (class, (size, cells)) in CLASSES.iter().enumerate() {
            let within = at.wrapping_sub(begin_of(class));
            if within < size * *cells as usize {
                self.used[class].fetch_and(!(1 << (within / size)), Release);
                return;
            }
        }
    }

    #[inline(always)]
    fn base(&self) -> *mut u8 {
        self.cells.0.get().cast()
    }

    /// What malloc() could not make larger moves to a cell.
    #[cold]
    fn move_to_cell(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(larger) = Layout::from_size_align(size, layout.align()) else {
            return std::ptr::null_mut();
        };
        let new = self.lend(larger);
        if !new.is_null() {
            // SAFETY: both are as large, and different; the old one is malloc()'s still.
            unsafe {
                std::ptr::copy_nonoverlapping(old, new, layout.size().min(size));
                System.dealloc(old, layout);
            }
        }
        new
    }
}

// SAFETY: malloc()'s own answers, or cells: large enough, aligned, and one owner each.
unsafe impl GlobalAlloc for Patient {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function was called.
        match unsafe { System.alloc(layout) } {
            p if p.is_null() => self.lend(layout),
            p => p,
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function was called.
        match unsafe { System.alloc_zeroed(layout) } {
            p if p.is_null() => {
                let cell = self.lend(layout);
                if !cell.is_null() {
                    // SAFETY: a cell is at least as large.
                    unsafe { cell.write_bytes(0, layout.size()) };
                }
                cell
            }
            p => p,
        }
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if !self.take_back(p) {
            // SAFETY: not one of ours, so it is malloc()'s.
            unsafe { System.dealloc(p, layout) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let at = p.addr().wrapping_sub(self.base().addr());
        if at >= TOTAL {
            // SAFETY: as this function was called; it is malloc()'s.
            return match unsafe { System.realloc(p, layout, size) } {
                new if new.is_null() => self.move_to_cell(p, layout, size),
                new => new,
            };
        }
        // SAFETY: size is not 0, and no larger than isize::MAX when rounded up.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: a layout of some size.
        let new = unsafe { self.alloc(larger) };
        if !new.is_null() {
            // SAFETY: both are as large, and different.
            unsafe { std::ptr::copy_nonoverlapping(p, new, layout.size().min(size)) };
            self.release(at);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn nothing_before_it_is_armed() {
        let reserve = Box::new(Patient::new());
        assert!(reserve.lend(layout(10, 1)).is_null());
        reserve.arm(true);
        assert!(!reserve.lend(layout(10, 1)).is_null());
        assert_eq!((reserve.take_lent(), reserve.take_lent()), (1, 0));
        assert!(reserve.lend(layout(64 << 10 | 1, 1)).is_null());
    }

    #[test]
    fn all_cells_once_and_then_again() {
        let reserve = Box::new(Patient::new());
        reserve.arm(true);
        for _ in 0..2 {
            let all: Vec<_> = std::iter::from_fn(|| {
                let p = reserve.lend(layout(100, 128));
                (!p.is_null()).then_some(p)
            })
            .collect();
            assert_eq!(all.len(), 64 * 3 + 8 + 2);
            assert!(all.into_iter().all(|p| reserve.take_back(p)));
        }
    }

    #[test]
    fn what_grows_keeps_its_contents() {
        let reserve = Box::new(Patient::new());
        reserve.arm(true);
        let small = reserve.lend(layout(128, 8));
        // SAFETY: cells of at least these sizes.
        unsafe {
            small.write_bytes(7, 128);
            let large = reserve.move_to_cell(System.alloc(layout(8, 8)), layout(8, 8), 4000);
            assert!(reserve.take_back(large));
            let grown = reserve.realloc(small, layout(128, 8), 1000);
            assert_eq!(std::slice::from_raw_parts(grown, 128), [7; 128]);
            assert!(!reserve.take_back(grown), "malloc() has memory again");
            System.dealloc(grown, layout(1000, 8));
        }
        assert!(reserve.used.iter().all(|used| used.load(Relaxed) == 0));
    }

    proptest! {
        /// No two that are in use overlap; each is aligned.
        #[test]
        fn apart(wishes in proptest::collection::vec((1..70_000usize, 0..13u32, any::<bool>()), 1..300)) {
            let reserve = Box::new(Patient::new());
            reserve.arm(true);
            let mut lent: Vec<(usize, usize)> = Vec::new();
            for (size, align, keep) in wishes {
                let p = reserve.lend(layout(size, 1 << align));
                if p.is_null() {
                    continue;
                }
                let (begin, end) = (p.addr(), p.addr() + size);
                prop_assert_eq!(begin % (1 << align), 0);
                prop_assert!(lent.iter().all(|(b, e)| end <= *b || begin >= *e));
                if keep {
                    lent.push((begin, end));
                } else {
                    prop_assert!(reserve.take_back(p));
                }
            }
        }
    }
}
