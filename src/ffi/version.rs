//! Version, error names and texts.

use super::consts::*;
use crate::answer;
use std::ffi::{CStr, c_char};

/// The library's version, such as "0.1.0".
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: static string
#[unsafe(no_mangle)]
pub extern "C" fn dtm_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// The library's DTM_ABI_VERSION. A program may compare it with the header's.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub extern "C" fn dtm_abi_version() -> u32 {
    DTM_ABI_VERSION
}

/// One line for people about a result code: libdtm's own, or a negated errno.
/// Unknown codes give "unknown error".
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: static string
#[unsafe(no_mangle)]
pub extern "C" fn dtm_strerror(code: i32) -> *const c_char {
    crate::error::message(code).as_ptr()
}

/// The name of a result code, such as "DTM_ECONFIG" or "EAGAIN"; "UNKNOWN" otherwise.
///
/// Process: any
/// Thread: any
/// Signal: safe
/// Fork: valid everywhere
/// Owns: static string
#[unsafe(no_mangle)]
pub extern "C" fn dtm_errname(code: i32) -> *const c_char {
    crate::error::name(code).as_ptr()
}

/// What went wrong in the last failed call of this thread: what, where, and how to
/// mend it. Empty when nothing failed yet.
///
/// Process: any
/// Thread: any
/// Signal: unsafe
/// Fork: valid everywhere
/// Owns: library; valid until the next failed call in this thread
#[unsafe(no_mangle)]
pub extern "C" fn dtm_last_error() -> *const c_char {
    answer::last_error()
}
