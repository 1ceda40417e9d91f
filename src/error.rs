//! Errors: a result code and one line that says what, where and how to mend it.

use crate::ffi::*;
use std::borrow::Cow;
use std::fmt;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failure. `code` is 0 > code: a negated errno or one of libdtm's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: i32,
    pub(crate) text: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(code: i32, text: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(code < 0);
        Self {
            code,
            text: text.into(),
        }
    }

    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(DTM_EINVAL, text)
    }

    pub(crate) fn config(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(DTM_ECONFIG, text)
    }

    /// A failed system call: `what` names the call and its object.
    pub(crate) fn os(errno: nix::errno::Errno, what: impl fmt::Display) -> Self {
        Self::new(-(errno as i32), format!("{what}: {}", errno.desc()))
    }

    /// The failed system call that just set errno.
    pub(crate) fn last_os(what: impl fmt::Display) -> Self {
        Self::os(nix::errno::Errno::last(), what)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, name(self.code).to_string_lossy())
    }
}

/// Adds the failed call's name to a nix result.
pub(crate) trait Context<T> {
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::os(e, what))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| {
            let errno = e.raw_os_error().unwrap_or(libc::EIO);
            Error::os(nix::errno::Errno::from_raw(errno), what)
        })
    }
}

/// libdtm's own codes, their names and texts: the one place.
const CODES: &[(i32, &std::ffi::CStr, &std::ffi::CStr)] = &[
    (DTM_OK, c"DTM_OK", c"success"),
    (
        DTM_EABI,
        c"DTM_EABI",
        c"a struct's size or alignment is none that this library can read",
    ),
    (
        DTM_ENOTSUP,
        c"DTM_ENOTSUP",
        c"not available in this version of libdtm",
    ),
    (
        DTM_EROLE,
        c"DTM_EROLE",
        c"the call is not allowed from this process, thread or callback",
    ),
    (
        DTM_EFORKED,
        c"DTM_EFORKED",
        c"this process was not forked by libdtm: the handle is not valid here",
    ),
    (
        DTM_ESTATE,
        c"DTM_ESTATE",
        c"the call comes too early, too late or for the second time",
    ),
    (DTM_ECONFIG, c"DTM_ECONFIG", c"wrong configuration"),
    (
        DTM_ETHREADS,
        c"DTM_ETHREADS",
        c"forking is unsafe: the process has more than one thread",
    ),
    (
        DTM_EPANIC,
        c"DTM_EPANIC",
        c"internal error in libdtm: this process's runtime is unusable",
    ),
    (DTM_EGONE, c"DTM_EGONE", c"it is gone"),
    (DTM_EREFUSED, c"DTM_EREFUSED", c"refused by the other side"),
    (
        DTM_ENOFORK,
        c"DTM_ENOFORK",
        c"forking is forbidden by the controller",
    ),
    (
        DTM_EFAILED,
        c"DTM_EFAILED",
        c"tried without success: the old state is in force",
    ),
    (DTM_EUSER, c"DTM_EUSER", c"error of the service's own"),
];

/// The name of a code, such as DTM_ECONFIG or EAGAIN.
pub(crate) fn name(code: i32) -> &'static std::ffi::CStr {
    if let Some((_, name, _)) = CODES.iter().find(|(c, _, _)| *c == code) {
        return name;
    }
    // SAFETY: strerrorname_np returns NULL or a static string.
    let known = unsafe { strerrorname_np(code.checked_neg().unwrap_or(0)) };
    if known.is_null() || code >= 0 {
        return c"UNKNOWN";
    }
    // SAFETY: not NULL, static, terminated.
    unsafe { std::ffi::CStr::from_ptr(known) }
}

/// One line about a code.
pub(crate) fn message(code: i32) -> &'static std::ffi::CStr {
    if let Some((_, _, text)) = CODES.iter().find(|(c, _, _)| *c == code) {
        return text;
    }
    // SAFETY: strerrordesc_np returns NULL or a static string.
    let known = unsafe { strerrordesc_np(code.checked_neg().unwrap_or(0)) };
    if known.is_null() || code >= 0 {
        return c"unknown error";
    }
    // SAFETY: not NULL, static, terminated.
    unsafe { std::ffi::CStr::from_ptr(known) }
}

// glibc 2.32; unlike strerror() these are async-signal-safe and untranslated.
unsafe extern "C" {
    fn strerrorname_np(errnum: i32) -> *const libc::c_char;
    fn strerrordesc_np(errnum: i32) -> *const libc::c_char;
}
