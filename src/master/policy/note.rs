//! What the policy notes: life events, for the log and the `event` callback.

use super::{Exit, Job, Ms};

/// One life event, for the log and the `event` callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    Ready {
        slot: usize,
    },
    Opened {
        slot: usize,
    },
    Draining {
        slot: usize,
        why: super::Leave,
    },
    Died {
        slot: usize,
        who: Who,
        exit: Exit,
        asked: bool,
        next: Next,
    },
    Killed {
        slot: usize,
        why: &'static str,
    },
    /// It makes no progress, and is ended by SIGABRT.
    Hung {
        slot: usize,
        stuck: Ms,
    },
    /// A successor is forked for it.
    Recycle {
        slot: usize,
        why: super::Worn,
    },
    /// Automatic scaling.
    Scale {
        from: u32,
        to: u32,
        why: &'static str,
    },
    CannotScale {
        text: String,
    },
    /// The slot is given up.
    Failed {
        slot: usize,
        who: Who,
        deaths: u32,
        window_ms: Ms,
    },
    /// A reload begins; its configuration is loaded next.
    ReloadAsked,
    ReloadBegins {
        generation: u32,
    },
    ReloadEnds {
        generation: u32,
        code: i32,
        text: String,
    },
    Deferred {
        what: &'static str,
    },
    Ending {
        fast: bool,
    },
    /// Asked once more: nobody gets any more time.
    Hurried,
}

/// A child, as a note names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) job: Job,
    pub(crate) generation: u32,
    pub(crate) spawn: u64,
    pub(crate) pid: i32,
}

/// What follows a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The slot is free.
    Free,
    /// A replacement is forked after so many milliseconds.
    Respawn(Ms),
    /// A replacement is forked when forking is allowed again.
    Deferred,
    /// A replacement is forked when it is clear which configuration holds.
    AfterReload,
    /// It asked not to be replaced, or its policy says so.
    Left,
    /// Too many deaths: nobody follows before an operator acts.
    GivenUp,
}
