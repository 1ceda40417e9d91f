//! A piece of memory shared by all processes of a runtime.
//!
//! It is an anonymous memory file: there is no name that anybody could open,
//! remove or find left behind. Its pages are allocated at once and its size is
//! sealed, so no later access can fail with SIGBUS. It holds nothing but atomics.

use crate::bpf::Row;
use crate::error::{Context, Result};
use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use std::any::Any;
use std::num::NonZeroUsize;
use std::ops::{Deref, Range};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

pub(crate) struct Region {
    memory: MmapRaw,
    file: OwnedFd,
}

impl Region {
    /// Zeroed memory that the maker and every process forked later may write.
    pub(crate) fn new(name: &str, len: usize) -> Result<Self> {
        Self::sealed(name, len, SealFlag::empty())
    }

    /// Zeroed memory that nobody can map writable any more, but for this very
    /// mapping: a child that gave it up by [`Region::make_read_only`] has lost
    /// the right to write for good.
    pub(crate) fn published(name: &str, len: usize) -> Result<Self> {
        Self::sealed(name, len, SealFlag::F_SEAL_FUTURE_WRITE)
    }

    fn sealed(name: &str, len: usize, writers: SealFlag) -> Result<Self> {
        let what = |call: &str| format!("{call} of the shared memory {name} ({len} bytes)");
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(name, flags).context(what("memfd_create"))?;
        let size = libc::off_t::try_from(len)
            .map_err(|_| Errno::EFBIG)
            .context(what("size"))?;
        fallocate(&file, FallocateFlags::empty(), 0, size).context(what("fallocate"))?;
        let memory = MmapOptions::new()
            .len(len)
            .map_raw(&file)
            .context(what("mmap"))?;
        match fcntl(&file, FcntlArg::F_ADD_SEALS(writers)) {
            // Linux 5.0 and older: the children still map it read-only.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno).context(what("fcntl(F_ADD_SEALS)")),
        }
        let size_seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(size_seals)).context(what("fcntl(F_ADD_SEALS)"))?;
        Ok(Self { memory, file })
    }

    /// Called in a child: from now on a stray store into this memory faults.
    /// The addresses stay the same.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        let what = "mmap of shared memory as read-only";
        let (Some(address), Some(len)) = (
            NonZeroUsize::new(self.memory.as_mut_ptr().addr()),
            NonZeroUsize::new(self.memory.len()),
        ) else {
            return Err(Errno::EINVAL).context(what);
        };
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // Not mprotect(), which the next mprotect() could undo.
        // SAFETY: replaces exactly our own mapping by the same pages of the same
        // file; references into it stay valid and hold atomics only.
        unsafe {
            mmap(
                Some(address),
                len,
                ProtFlags::PROT_READ,
                flags,
                &self.file,
                0,
            )
        }
        .context(what)?;
        Ok(())
    }

    /// `n` words from byte `offset` on.
    pub(crate) fn u64s(&self, offset: usize, n: usize) -> &[AtomicU64] {
        self.words(offset, n)
    }

    /// `n` half words from byte `offset` on.
    pub(crate) fn u32s(&self, offset: usize, n: usize) -> &[AtomicU32] {
        self.words(offset, n)
    }

    /// The same, looked up once, for those who need it at each client.
    pub(crate) fn piece<T: Word>(self: &Arc<Self>, offset: usize, n: usize) -> Piece<T> {
        // SAFETY: mapped as long as the region, which the piece keeps.
        unsafe { Piece::of(self.words(offset, n), Arc::clone(self) as Arc<Owner>) }
    }

    fn words<T: Word>(&self, offset: usize, n: usize) -> &[T] {
        let end = n
            .checked_mul(size_of::<T>())
            .and_then(|len| len.checked_add(offset));
        assert!(
            offset.is_multiple_of(align_of::<T>()) && end.is_some_and(|e| e <= self.memory.len()),
            "outside of the shared memory"
        );
        // SAFETY: inside of the mapping, as just checked.
        let first = unsafe { self.memory.as_mut_ptr().add(offset) };
        // SAFETY: mapped as long as self, aligned (the mapping starts at a page),
        // initialised (zeros), any bit pattern is valid, and shared as atomics.
        unsafe { std::slice::from_raw_parts(first.cast(), n) }
    }
}

/// Whatever keeps memory mapped.
pub(crate) type Owner = dyn Any + Send + Sync;

/// A part of shared memory, for as long as it likes.
pub(crate) struct Piece<T: 'static> {
    /// Only lent out: see [`Piece::deref`].
    words: &'static [T],
    owner: Arc<Owner>,
}

impl<T> Piece<T> {
    /// # Safety
    /// `words` are valid as long as `owner` lives.
    pub(crate) unsafe fn of(words: *const [T], owner: Arc<Owner>) -> Self {
        Self {
            // SAFETY: the caller says so, and the piece keeps the owner.
            words: unsafe { &*words },
            owner,
        }
    }

    /// One word of it.
    pub(crate) fn one(&self, index: usize) -> One<T> {
        One {
            word: &self.words[index],
            _owner: Arc::clone(&self.owner),
        }
    }

    /// A part of the part.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self {
            words: &self.words[range],
            owner: Arc::clone(&self.owner),
        }
    }
}

impl<T> Deref for Piece<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        self.words
    }
}

impl<T> Clone for Piece<T> {
    fn clone(&self) -> Self {
        self.part(0..self.words.len())
    }
}

/// A word, for those who need no other: there is nothing to look up any more.
pub(crate) struct One<T: 'static> {
    /// Only lent out, too.
    word: &'static T,
    _owner: Arc<Owner>,
}

impl<T> Deref for One<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.word
    }
}

/// Add to a word that has one writer: so there is no need for a locked addition. It wraps.
#[inline(always)]
pub(crate) fn add(word: &AtomicU64, n: u64) {
    word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
}

/// What a region may be divided into: types for which every bit pattern, and
/// every concurrent store by another process, is fine.
pub(crate) trait Word {}
impl Word for AtomicU32 {}
impl Word for AtomicU64 {}
impl Word for Row {}
impl Word for super::BoardRow {}

#[cfg(test)]
mod tests {
    use super::*;

    /// B09: nobody cuts the memory off under a reader.
    #[test]
    fn size_is_sealed() {
        let region = Region::new("test", 8192).unwrap();
        for len in [0, 100, 1 << 20] {
            assert_eq!(nix::unistd::ftruncate(&region.file, len), Err(Errno::EPERM));
        }
    }

    #[test]
    fn words_overlap_as_the_offsets_say() {
        let region = Region::new("test", 64).unwrap();
        region.u64s(8, 1)[0].store(0x1_0000_0002, Relaxed);
        let halves: u64 = region
            .u32s(8, 2)
            .iter()
            .map(|w| u64::from(w.load(Relaxed)))
            .sum();
        assert_eq!(halves, 3);
        assert_eq!(
            region
                .u64s(0, 8)
                .iter()
                .filter(|w| w.load(Relaxed) != 0)
                .count(),
            1
        );
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn no_words_past_the_end() {
        Region::new("test", 64).unwrap().u64s(8, 8);
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn no_words_at_an_overflowing_offset() {
        Region::new("test", 64).unwrap().u64s(8, usize::MAX / 8);
    }

    #[test]
    fn an_error_names_the_memory() {
        let error = Region::new("huge", usize::MAX).err().unwrap();
        assert!(error.text.contains("huge"), "{error}");
    }

    /// The pages stay readable and follow the writer, and the kernel refuses
    /// every way back to a writable mapping.
    #[test]
    fn read_only_is_for_good() {
        let region = Region::published("test", 4096).unwrap();
        region.u64s(0, 1)[0].store(7, Relaxed);
        region.make_read_only().unwrap();
        assert_eq!(region.u64s(0, 1)[0].load(Relaxed), 7);

        assert!(MmapOptions::new().len(4096).map_raw(&region.file).is_err());
        assert_eq!(nix::unistd::write(&region.file, b"x"), Err(Errno::EPERM));
        let start = region.memory.as_mut_ptr().cast();
        // SAFETY: only asks for a right on our own mapping.
        let undone = unsafe { libc::mprotect(start, 4096, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!((undone, Errno::last()), (-1, Errno::EACCES));
    }
}
