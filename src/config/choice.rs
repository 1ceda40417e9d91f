//! Settings that are one of several.

use crate::ffi::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptMode {
    Auto,
    Token,
    Steer,
    Hash,
    Shared,
    Pass,
    Lock,
}

impl AcceptMode {
    /// DTM_ACCEPT_*.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            DTM_ACCEPT_AUTO => Self::Auto,
            DTM_ACCEPT_TOKEN => Self::Token,
            DTM_ACCEPT_STEER => Self::Steer,
            DTM_ACCEPT_HASH => Self::Hash,
            DTM_ACCEPT_SHARED => Self::Shared,
            DTM_ACCEPT_PASS => Self::Pass,
            DTM_ACCEPT_LOCK => Self::Lock,
            _ => return None,
        })
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Auto => DTM_ACCEPT_AUTO,
            Self::Token => DTM_ACCEPT_TOKEN,
            Self::Steer => DTM_ACCEPT_STEER,
            Self::Hash => DTM_ACCEPT_HASH,
            Self::Shared => DTM_ACCEPT_SHARED,
            Self::Pass => DTM_ACCEPT_PASS,
            Self::Lock => DTM_ACCEPT_LOCK,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalTable {
    Default,
    Dtm,
    Gunicorn,
    DtmUpgrade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    Drain,
    Exit,
}

/// What a drain does with idle clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainIdle {
    Close,
    Keep,
}
