//! The table role x signal. flow: S1, W9, C13, L1
//!
//! | signal | master | controller, worker, func |
//! |---|---|---|
//! | TERM, QUIT | shutdown, graceful | drain and leave |
//! | INT | shutdown, fast | nothing: a terminal sends it to the whole group, the master decides |
//! | HUP | reload | nothing |
//! | USR1 | reopen logs | drain and leave |
//! | USR2 | upgrade | nothing |
//! | WINCH | reload, when there is no terminal | nothing |
//! | ALRM | loadconf | nothing |
//! | TTIN, TTOU | one worker more, less | nothing |
//! | CHLD | look for deaths | the service's own |
//!
//! The table of the old service knows of these only TERM, WINCH, ALRM (and CHLD) in the
//! master, and WINCH may be an upgrade there, as it was; gunicorn's takes QUIT for a fast shutdown and WINCH for a stop of the workers.
//!
//! "Nothing" is ignored and logged, never half done.

use crate::config::SignalTable;
use crate::ffi::DTM_ROLE_MASTER;
use libc::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
    SIGWINCH,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Shutdown,
    ShutdownNow,
    Reload,
    Stop,
    LoadConfig,
    ReopenLog,
    Upgrade,
    OneMore,
    OneLess,
    /// A child: look at the order in the table; without one, drain and leave.
    Leave,
    ChildDied,
    Nothing,
}

/// Every signal the runtime takes over, in any role.
pub(crate) const TAKEN: &[i32] = &[
    SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM, SIGTTIN, SIGTTOU,
    SIGCHLD,
];

/// The ones taken over in this role: children leave SIGCHLD to the service.
pub(crate) fn taken(role: u32) -> impl Iterator<Item = i32> {
    TAKEN
        .iter()
        .copied()
        .filter(move |s| role == DTM_ROLE_MASTER || *s != SIGCHLD)
}

pub(crate) fn meaning(style: SignalTable, role: u32, signal: i32, terminal: bool) -> Meaning {
    if role != DTM_ROLE_MASTER {
        return match signal {
            SIGTERM | SIGQUIT | SIGUSR1 => Meaning::Leave,
            _ => Meaning::Nothing,
        };
    }
    match signal {
        SIGCHLD => Meaning::ChildDied,
        SIGTERM => Meaning::Shutdown,
        SIGWINCH if style == SignalTable::Gunicorn && !terminal => Meaning::Stop,
        SIGWINCH if style == SignalTable::DtmUpgrade && !terminal => Meaning::Upgrade,
        // A terminal sends it with every change of its size.
        SIGWINCH if !terminal => Meaning::Reload,
        SIGALRM => Meaning::LoadConfig,
        _ if matches!(style, SignalTable::Dtm | SignalTable::DtmUpgrade) => Meaning::Nothing,
        SIGQUIT if style == SignalTable::Gunicorn => Meaning::ShutdownNow,
        SIGQUIT => Meaning::Shutdown,
        SIGINT => Meaning::ShutdownNow,
        SIGHUP => Meaning::Reload,
        SIGUSR1 => Meaning::ReopenLog,
        SIGUSR2 => Meaning::Upgrade,
        SIGTTIN => Meaning::OneMore,
        SIGTTOU => Meaning::OneLess,
        _ => Meaning::Nothing,
    }
}

/// "SIGTERM"
pub(crate) fn name(signal: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(signal).map_or("unknown signal", |s| s.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::*;

    #[test]
    fn a_signal_to_the_group_keeps_the_order_of_things() {
        for role in [DTM_ROLE_WORKER, DTM_ROLE_CONTROLLER, DTM_ROLE_FUNC] {
            for signal in [SIGINT, SIGHUP, SIGUSR2, SIGWINCH, SIGALRM, SIGTTIN] {
                assert_eq!(
                    meaning(SignalTable::Default, role, signal, false),
                    Meaning::Nothing
                );
            }
            assert_eq!(
                meaning(SignalTable::Default, role, SIGTERM, false),
                Meaning::Leave
            );
            assert!(taken(role).all(|s| s != SIGCHLD));
        }
    }

    #[test]
    fn who_is_used_to_gunicorn() {
        let of = |s| meaning(SignalTable::Gunicorn, DTM_ROLE_MASTER, s, false);
        assert_eq!(of(SIGTERM), Meaning::Shutdown);
        assert_eq!(
            (of(SIGINT), of(SIGQUIT)),
            (Meaning::ShutdownNow, Meaning::ShutdownNow)
        );
        assert_eq!((of(SIGHUP), of(SIGWINCH)), (Meaning::Reload, Meaning::Stop));
        assert_eq!(
            (of(SIGUSR1), of(SIGUSR2)),
            (Meaning::ReopenLog, Meaning::Upgrade)
        );
        assert_eq!(
            (of(SIGTTIN), of(SIGTTOU)),
            (Meaning::OneMore, Meaning::OneLess)
        );
        let terminal = meaning(SignalTable::Gunicorn, DTM_ROLE_MASTER, SIGWINCH, true);
        assert_eq!(terminal, Meaning::Nothing);
        let child = meaning(SignalTable::Gunicorn, DTM_ROLE_WORKER, SIGQUIT, false);
        assert_eq!(child, Meaning::Leave);
    }

    #[test]
    fn the_old_service_keeps_its_three_signals() {
        for style in [SignalTable::Default, SignalTable::Dtm] {
            let of = |s| meaning(style, DTM_ROLE_MASTER, s, false);
            assert_eq!(of(SIGTERM), Meaning::Shutdown);
            assert_eq!(of(SIGWINCH), Meaning::Reload);
            assert_eq!(of(SIGALRM), Meaning::LoadConfig);
        }
        let upgrade = |s, terminal| {
            let table = SignalTable::DtmUpgrade;
            meaning(table, DTM_ROLE_MASTER, s, terminal)
        };
        assert_eq!(upgrade(SIGWINCH, false), Meaning::Upgrade);
        assert_eq!(upgrade(SIGWINCH, true), Meaning::Nothing);
        assert_eq!(upgrade(SIGHUP, false), Meaning::Nothing);
        assert_eq!(upgrade(SIGALRM, false), Meaning::LoadConfig);
        assert_eq!(
            meaning(SignalTable::Default, DTM_ROLE_MASTER, SIGWINCH, true),
            Meaning::Nothing
        );
        assert_eq!(
            meaning(SignalTable::Dtm, DTM_ROLE_MASTER, SIGHUP, false),
            Meaning::Nothing
        );
    }
}
