//! The modes there are, and what a listener can have of them.

use crate::config::AcceptMode;
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

/// What was found out about this machine and these listeners.
pub(super) struct Abilities {
    /// Listeners that can be a group of sockets.
    pub(super) inet: usize,
    pub(super) listeners: usize,
    /// Why the program that steers cannot be had.
    pub(super) no_steer: Option<String>,
}

/// The mode, and a word for the log; or why it cannot be had. Pure.
pub(super) fn resolve(wanted: AcceptMode, can: &Abilities) -> Result<(Mode, String), String> {
    let own = |mode: Mode| {
        if can.inet == 0 && can.listeners > 0 {
            return Err(format!(
                "accept_mode {}: Unix listeners have one queue each; use token",
                mode.name()
            ));
        }
        let mixed = can.inet < can.listeners;
        let rest = if mixed {
            ", Unix listeners by token"
        } else {
            ""
        };
        Ok((mode, format!("{}{rest}", mode.name())))
    };
    let steer = match &can.no_steer {
        Some(why) => Err(format!("accept_mode steer: {why}")),
        None => own(Mode::Steer),
    };
    match wanted {
        AcceptMode::Auto => Ok(match steer {
            _ if can.inet == 0 => (Mode::Token, "token (auto: no TCP listener)".to_owned()),
            Ok((mode, text)) => (mode, format!("{text} (auto)")),
            Err(why) => (Mode::Token, format!("token (auto: {why})")),
        }),
        AcceptMode::Steer => steer,
        AcceptMode::Hash => own(Mode::Hash),
        AcceptMode::Token => Ok((Mode::Token, "token".to_owned())),
        AcceptMode::Shared => Ok((Mode::Shared, "shared".to_owned())),
        AcceptMode::Pass => Ok((Mode::Pass, "pass".to_owned())),
        AcceptMode::Lock => Ok((Mode::Lock, "lock".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can(inet: usize, listeners: usize, no_steer: Option<&str>) -> Abilities {
        Abilities {
            inet,
            listeners,
            no_steer: no_steer.map(str::to_owned),
        }
    }

    fn text(wanted: AcceptMode, can: &Abilities) -> String {
        match resolve(wanted, can) {
            Ok((_, text)) => text,
            Err(why) => format!("refused: {why}"),
        }
    }

    #[test]
    fn auto_takes_the_best_and_says_why() {
        assert_eq!(text(AcceptMode::Auto, &can(1, 1, None)), "steer (auto)");
        assert_eq!(
            text(AcceptMode::Auto, &can(1, 2, None)),
            "steer, Unix listeners by token (auto)"
        );
        assert_eq!(
            text(AcceptMode::Auto, &can(1, 1, Some("no right"))),
            "token (auto: accept_mode steer: no right)"
        );
        assert_eq!(
            text(AcceptMode::Auto, &can(0, 1, None)),
            "token (auto: no TCP listener)"
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let refused = |wanted, can| resolve(wanted, &can).is_err();
        assert!(refused(AcceptMode::Steer, can(1, 1, Some("no right"))));
        assert!(refused(AcceptMode::Steer, can(0, 1, None)));
        assert!(refused(AcceptMode::Hash, can(0, 2, None)));
        assert!(!refused(AcceptMode::Hash, can(1, 2, Some("no right"))));
        assert!(!refused(AcceptMode::Lock, can(0, 1, Some("no right"))));
    }

    #[test]
    fn numbers_name_modes() {
        use Mode::*;
        for mode in [Token, Steer, Hash, Shared, Pass, Lock] {
            assert_eq!(Mode::of_number(mode.number().into()), mode);
        }
        assert_eq!(Mode::of_number(99), Mode::Token);
    }
}
