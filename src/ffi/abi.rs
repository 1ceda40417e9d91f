//! Structs that grow at their end. The first member is the size that the caller
//! compiled with, so an old program and a new library understand each other, and
//! the other way round.

use super::consts::*;
use crate::error::{Error, Result};

/// Nothing that is a struct of this API is larger: a size above it is garbage.
const SIZE_MAX: usize = 64 * 1024;

fn check<T>(ptr: *const T, size: usize, min: usize) -> Result<()> {
    if !(min..=SIZE_MAX).contains(&size) {
        let known = size_of::<T>();
        return Err(Error::new(
            DTM_EABI,
            format!("struct size {size} at {ptr:p}: must be {min}..{known}; use its initialiser"),
        ));
    }
    Ok(())
}

fn check_pointer<T>(ptr: *const T) -> Result<()> {
    if ptr.is_null() {
        return Err(Error::invalid("a struct pointer is NULL"));
    }
    if !ptr.is_aligned() {
        return Err(Error::new(
            DTM_EABI,
            format!("the struct at {ptr:p} is not aligned"),
        ));
    }
    Ok(())
}

/// Read a caller's struct, whose first member is its `size: usize`. What an older
/// caller does not know yet is zero, which means the default everywhere; what a
/// newer one knows beyond us must be zero, or we would ignore what it asks for.
///
/// `min` is what says anything at all. It is never `size_of::<T>()`, which would
/// grow with the struct and shut older callers out.
///
/// # Safety
/// `ptr` is NULL, or a readable `usize` if aligned, followed by as many readable
/// bytes as that says. Any bytes must be a valid `T` (integers, raw pointers,
/// optional function pointers).
pub(crate) unsafe fn read_struct<T: Copy>(ptr: *const T, min: usize) -> Result<T> {
    check_pointer(ptr)?;
    // SAFETY: aligned for T, hence for its first member; readable by contract.
    let size = unsafe { ptr.cast::<usize>().read() };
    check(ptr, size, min.max(size_of::<usize>()))?;
    let known = size.min(size_of::<T>());
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable by contract and fit in `value`.
    unsafe { std::ptr::copy_nonoverlapping(ptr.cast::<u8>(), value.as_mut_ptr().cast(), known) };
    // SAFETY: `known <= size`, so the tail lies inside of the caller's struct.
    let tail = unsafe { std::slice::from_raw_parts(ptr.cast::<u8>().add(known), size - known) };
    if tail.iter().any(|byte| *byte != 0) {
        return Err(Error::new(
            DTM_ENOTSUP,
            format!("the program asks for more than this libdtm knows (struct size {size})"),
        ));
    }
    // SAFETY: initialised, zeroes and the caller's bytes; valid by contract.
    Ok(unsafe { value.assume_init() })
}

/// Fill a caller's struct of `dst_size` bytes and set its `size` to the number of
/// bytes that now have a meaning. Bytes beyond them are left alone.
///
/// # Safety
/// `dst` is NULL or `dst_size` writable bytes. The first member of `T` is its
/// `size: usize`.
pub(crate) unsafe fn write_struct<T: Copy>(dst: *mut T, dst_size: usize, value: &T) -> Result<()> {
    check_pointer(dst)?;
    check(dst, dst_size, size_of::<usize>())?;
    let known = dst_size.min(size_of::<T>());
    let from = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: `known` bytes are inside of both structs, which cannot overlap: one
    // is the caller's, the other is borrowed from us.
    unsafe { std::ptr::copy_nonoverlapping(from, dst.cast::<u8>(), known) };
    // SAFETY: aligned for T, and at least a usize long.
    unsafe { dst.cast::<usize>().write(known) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct V2 {
        size: usize,
        first: u64,
        second: u64,
    }
    const MIN: usize = 16;

    fn read(words: &[usize]) -> Result<V2> {
        // SAFETY: every test gives as many words as its size says, or it fails first.
        unsafe { read_struct(words.as_ptr().cast::<V2>(), MIN) }
    }

    fn code(words: &[usize]) -> i32 {
        read(words).unwrap_err().code
    }

    #[test]
    fn same_size() {
        assert_eq!(
            read(&[24, 1, 2]).unwrap(),
            V2 {
                size: 24,
                first: 1,
                second: 2
            }
        );
    }

    #[test]
    fn an_older_caller_gets_zeroes() {
        let guarded = [16, 1, usize::MAX];
        assert_eq!(
            read(&guarded).unwrap(),
            V2 {
                size: 16,
                first: 1,
                second: 0
            }
        );
    }

    #[test]
    fn a_newer_caller_may_only_say_zero() {
        assert_eq!(read(&[32, 1, 2, 0]).unwrap().second, 2);
        assert_eq!(code(&[32, 1, 2, 1 << 56]), DTM_ENOTSUP);
        // The bytes behind the struct are not its tail.
        assert!(read(&[32, 1, 2, 0, usize::MAX]).is_ok());
    }

    #[test]
    fn impossible_sizes() {
        for size in [0, 1, 8, 15, SIZE_MAX + 1, usize::MAX] {
            assert_eq!(code(&[size, 0, 0]), DTM_EABI, "{size}");
        }
    }

    #[test]
    fn bad_pointers() {
        // SAFETY: NULL is allowed.
        let null = unsafe { read_struct::<V2>(std::ptr::null(), MIN) };
        assert_eq!(null.unwrap_err().code, DTM_EINVAL);
        let words = [24usize, 0, 0, 0];
        let odd = words.as_ptr().cast::<u8>().wrapping_add(4).cast::<V2>();
        // SAFETY: unaligned is refused before anything is read.
        assert_eq!(unsafe { read_struct(odd, MIN) }.unwrap_err().code, DTM_EABI);
    }

    #[test]
    fn writes_stay_inside() {
        let value = V2 {
            size: 0,
            first: 1,
            second: 2,
        };
        for size in [8, 12, 16, 23, 24, 32] {
            let mut words = [u64::MAX; 5];
            // SAFETY: 40 writable bytes.
            unsafe { write_struct(words.as_mut_ptr().cast::<V2>(), size, &value) }.unwrap();
            let written = size.min(24);
            assert_eq!(words[0], written as u64);
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
            assert!(
                bytes[written..].iter().all(|b| *b == 0xff),
                "guard at {size}"
            );
            assert_eq!(words[1] == 1, size >= 16);
            assert_eq!(words[2] == 2, size >= 24);
        }
    }

    #[test]
    fn writes_need_a_place() {
        let value = V2 {
            size: 0,
            first: 1,
            second: 2,
        };
        let mut words = [0u64; 3];
        // SAFETY: NULL is allowed.
        let null = unsafe { write_struct(std::ptr::null_mut(), 24, &value) };
        assert_eq!(null.unwrap_err().code, DTM_EINVAL);
        // SAFETY: a size below a usize is refused before anything is written.
        let tiny = unsafe { write_struct(words.as_mut_ptr().cast::<V2>(), 7, &value) };
        assert_eq!(tiny.unwrap_err().code, DTM_EABI);
        assert_eq!(words, [0; 3]);
    }
}
