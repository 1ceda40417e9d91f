//! What the functions of the C API answer, and dtm_last_error().

use crate::error::{Error, Result};
use crate::ffi::DTM_OK;
use std::cell::RefCell;
use std::ffi::CString;

thread_local! {
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// What a C function answers, and what it answers on failure.
pub(crate) trait Answer {
    type C;
    fn done(self) -> Self::C;
    fn failed(code: i32) -> Self::C;
}

impl Answer for i32 {
    type C = i32;
    fn done(self) -> i32 {
        self
    }
    fn failed(code: i32) -> i32 {
        code
    }
}

impl Answer for () {
    type C = i32;
    fn done(self) -> i32 {
        DTM_OK
    }
    fn failed(code: i32) -> i32 {
        code
    }
}

impl Answer for u64 {
    type C = u64;
    fn done(self) -> u64 {
        self
    }
    fn failed(_: i32) -> u64 {
        0
    }
}

impl Answer for *mut std::ffi::c_void {
    type C = Self;
    fn done(self) -> Self {
        self
    }
    fn failed(_: i32) -> Self {
        std::ptr::null_mut()
    }
}

#[inline(always)]
pub(crate) fn answer<T: Answer>(result: Result<T>) -> T::C {
    match result {
        Ok(value) => value.done(),
        Err(error) => T::failed(remembered(error)),
    }
}

/// The first use of it asks the C library for memory: now, while there is some.
pub(crate) fn make_room() {
    LAST.with(|_| ());
}

/// Keep an error's text for dtm_last_error(). Returns its code.
#[cold]
#[inline(never)]
pub(crate) fn remembered(error: Error) -> i32 {
    let text = CString::new(error.text.replace('\0', "?")).unwrap_or_default();
    // Borrowed already: a signal handler's call has failed in the middle of ours.
    LAST.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some(text);
        }
    });
    error.code
}

pub(crate) fn last_error() -> *const std::ffi::c_char {
    LAST.with_borrow(|last| last.as_deref().unwrap_or_default().as_ptr())
}
