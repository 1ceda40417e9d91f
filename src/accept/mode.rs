//! The modes there are.

use crate::ffi::*;

/// A mode in force at one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Token,
    Steer,
    Hash,
    Shared,
    Pass,
    Lock,
}

impl Mode {
    /// DTM_ACCEPT_*.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Token => DTM_ACCEPT_TOKEN,
            Self::Steer => DTM_ACCEPT_STEER,
            Self::Hash => DTM_ACCEPT_HASH,
            Self::Shared => DTM_ACCEPT_SHARED,
            Self::Pass => DTM_ACCEPT_PASS,
            Self::Lock => DTM_ACCEPT_LOCK,
        }
    }

    /// What the shared word says; a word that says nothing is token.
    #[inline(always)]
    pub(super) fn of_number(number: u64) -> Self {
        match u32::try_from(number) {
            Ok(DTM_ACCEPT_STEER) => Self::Steer,
            Ok(DTM_ACCEPT_HASH) => Self::Hash,
            Ok(DTM_ACCEPT_SHARED) => Self::Shared,
            Ok(DTM_ACCEPT_PASS) => Self::Pass,
            Ok(DTM_ACCEPT_LOCK) => Self::Lock,
            _ => Self::Token,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Steer => "steer",
            Self::Hash => "hash",
            Self::Shared => "shared",
            Self::Pass => "pass",
            Self::Lock => "lock",
        }
    }

    /// Each worker has a socket of its own.
    pub(super) fn is_own(self) -> bool {
        matches!(self, Self::Steer | Self::Hash)
    }

    /// Workers stand in the queue of a socket that they share.
    pub(super) fn is_queue(self) -> bool {
        matches!(self, Self::Token | Self::Shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_modes() {
        use Mode::*;
        for mode in [Token, Steer, Hash, Shared, Pass, Lock] {
            assert_eq!(Mode::of_number(mode.number().into()), mode);
        }
        assert_eq!(Mode::of_number(99), Mode::Token);
    }
}
