//! What the policy needs to know of the configuration, and of the registered helpers.

use super::Ms;

/// What the policy needs to know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) workers: u32,
    pub(crate) funcs: Vec<FuncSpec>,
    pub(crate) drain_ms: Option<Ms>,
    pub(crate) grace_ms: Ms,
    pub(crate) start_ms: Option<Ms>,
    pub(crate) respawn_ms: Ms,
    pub(crate) respawn_max_ms: Ms,
    pub(crate) respawn_reset_ms: Ms,
    /// Deaths within the window after which a slot is given up; `None`: never.
    pub(crate) budget: Option<u32>,
    pub(crate) window_ms: Ms,
    pub(crate) recycle: crate::config::Recycle,
    pub(crate) scale: Option<crate::config::Scale>,
    /// Workers of a new generation that must be up to date before the rest is
    /// forked; `None`: all at once.
    pub(crate) canary: Option<u32>,
    /// Most old generations that may be alive.
    pub(crate) old_generations: u32,
}

/// One registered helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FuncSpec {
    pub(crate) count: u32,
    pub(crate) restart: Restart,
    pub(crate) after_open: bool,
    /// Wait so long before each restart, instead of the back-off.
    pub(crate) interval: Option<Ms>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Once,
    /// What it starts is not the service's; the func itself is done with that.
    Detached,
}
