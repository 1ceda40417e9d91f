//! What a listener can have of the modes.

use super::mode::Mode;
use crate::config::AcceptMode;

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
}
