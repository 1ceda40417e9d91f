//! What can be wrong with a store, in words that an operator can act on.

use crate::error::Error;
use crate::ffi::*;
use std::fmt;

pub(crate) type Outcome<T> = std::result::Result<T, Trouble>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something a write relied on has changed: nothing was written.
    Conflict,
    /// Another process holds it: try again soon.
    Busy,
    /// No room: nothing was written.
    Full,
    /// It cannot be reached, or did not answer in time: nothing was written.
    Down,
    /// A write may have happened or not: read again before anything else.
    Unknown,
    /// It is damaged.
    Corrupt,
    /// It is something else than a store of this version, or the URI is wrong.
    Schema,
    /// It cannot be written.
    ReadOnly,
    /// It is no longer what was opened: deleted or replaced.
    Replaced,
    /// It belongs to somebody else, who is alive.
    Taken,
    /// A newer controller has taken over: this one must not act any more.
    Fenced,
}

impl Kind {
    /// As a status shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Conflict => "CONFLICT",
            Self::Busy => "DB_BUSY",
            Self::Full => "DB_FULL",
            Self::Down => "DB_DOWN",
            Self::Unknown => "DB_UNKNOWN",
            Self::Corrupt => "DB_CORRUPT",
            Self::Schema => "DB_SCHEMA",
            Self::ReadOnly => "DB_READONLY",
            Self::Replaced => "DB_REPLACED",
            Self::Taken => "DB_TAKEN",
            Self::Fenced => "FENCED",
        }
    }

    /// As a function of the C API answers it, and a plug-in says it.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Conflict | Self::Fenced => DTM_EGONE,
            Self::Busy => -libc::EBUSY,
            Self::Full => -libc::ENOSPC,
            Self::Down => -libc::ETIMEDOUT,
            Self::Unknown => DTM_EFAILED,
            Self::Corrupt => -libc::EIO,
            Self::Schema => DTM_ECONFIG,
            Self::ReadOnly => -libc::EROFS,
            Self::Replaced => -libc::ESTALE,
            Self::Taken => DTM_EREFUSED,
        }
    }

    /// What a plug-in means by a code.
    pub(crate) fn of_code(code: i32) -> Self {
        match code {
            DTM_EGONE => Self::Conflict,
            DTM_EFAILED => Self::Unknown,
            DTM_ECONFIG | DTM_EINVAL | DTM_ENOTSUP => Self::Schema,
            _ => match -code {
                libc::EBUSY | libc::EAGAIN => Self::Busy,
                libc::ENOSPC | libc::EDQUOT => Self::Full,
                libc::EROFS | libc::EACCES | libc::EPERM => Self::ReadOnly,
                libc::ESTALE => Self::Replaced,
                libc::EBADMSG => Self::Corrupt,
                _ => Self::Down,
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Trouble {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    pub(crate) fn corrupt(text: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, text)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        Error::new(trouble.kind.code(), format!("store: {trouble}"))
    }
}
