//! The vocabulary of the policy: what it is told, what it asks for.

use super::{Demand, Note, Settings, Usage};

/// CLOCK_MONOTONIC in milliseconds.
pub(crate) type Ms = u64;

/// What a slot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Controller,
    Worker { index: u32 },
    Func { func: u32, index: u32 },
}

impl Job {
    /// "worker 3", by its index in the generation.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Controller => "the controller".to_owned(),
            Self::Worker { index } => format!("worker {index}"),
            Self::Func { func, index } => format!("copy {index} of func {func}"),
        }
    }

    /// DTM_ROLE_*
    pub(crate) fn role(self) -> u32 {
        match self {
            Self::Controller => crate::ffi::DTM_ROLE_CONTROLLER,
            Self::Worker { .. } => crate::ffi::DTM_ROLE_WORKER,
            Self::Func { .. } => crate::ffi::DTM_ROLE_FUNC,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal {
        number: i32,
        core: bool,
    },
    /// Somebody else took the status (the host waits for any child).
    Unknown,
}

/// Why a process ended, as the table tells it (DTM_REASON_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Exit = 1,
    Signal = 2,
    /// It was not ready within the start timeout.
    Start = 3,
    /// It made no progress for the hang timeout.
    Hang = 4,
    /// It was told to leave, and did not in time.
    Deadline = 5,
    Memory = 6,
    /// As told: it was not wanted any more.
    Told = 7,
    /// As told: its successor serves.
    Recycle = 8,
    Unknown = 9,
}

/// Storm's sync-processes: how a slot stands to what is wanted of it (DTM_CLASS_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Wanted, and nobody serves there yet.
    NotStarted = 1,
    Valid = 2,
    /// It runs, and its generation or place is not wanted any more.
    Disallowed = 3,
    /// It was given up, and is about to be killed.
    TimedOut = 4,
}

/// What a slot has seen, over all its processes. Never falls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) forks: u32,
    /// Ends that nobody had asked for.
    pub(crate) deaths: u32,
    /// Those of them by a signal that the master did not send.
    pub(crate) crashes: u32,
    /// Killed because they did not start, go on or leave in time.
    pub(crate) timeouts: u32,
    /// Told to leave because they were not wanted any more.
    pub(crate) disallowed: u32,
    pub(crate) recycled: u32,
}

/// Who asked, and is owed an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// A command of the controller with this spawn.
    Controller { spawn: u64, id: u64 },
    /// A signal to the master, or dtm_request(): the log is the answer.
    Signal(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    LoadConfig,
    Reload,
    Start,
    Stop,
    Scale(u32),
    /// More than are wanted when its turn comes, or fewer.
    ScaleBy(i32),
    /// Another chance for slots that were given up, and no more back-off.
    Reset,
    /// Replace the worker with this spawn.
    Recycle(u64),
    Shutdown,
    ShutdownNow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The loop starts; the configuration is loaded.
    Begin,
    Forked {
        slot: usize,
        spawn: u64,
        pid: i32,
    },
    /// fork() failed for want of something; `banned`: it was not even tried.
    ForkFailed {
        slot: usize,
        banned: bool,
    },
    /// The child finished its init.
    Ready {
        slot: usize,
        spawn: u64,
    },
    /// The worker handled every update and refused none.
    Updated {
        slot: usize,
        spawn: u64,
    },
    /// The child ended; it is still a zombie.
    Died {
        slot: usize,
        spawn: u64,
        exit: Exit,
    },
    /// It has made no progress for so long.
    Hung {
        slot: usize,
        spawn: u64,
        stuck: Ms,
    },
    /// What the open workers have done and use.
    Looked(Vec<Usage>),
    /// How busy they are.
    Demand(Demand),
    /// It asks for so much more time to start; `None`: for ever.
    Extended {
        slot: usize,
        spawn: u64,
        ms: Option<Ms>,
    },
    /// Forking was forbidden or allowed.
    Ban(bool),
    Command {
        asker: Asker,
        command: Command,
    },
    /// Outcome of [`Action::LoadConfig`]; `Ok` brings the settings now in force.
    Config(Result<Box<Settings>, (i32, String)>),
    /// The other binary of an upgrade has more, or less, than before.
    Hold(super::Hold),
    /// It serves: this one drains and leaves.
    Retire,
    /// So many workers of the binary before this one drain yet: this master's to see off.
    Adopted(usize),
    /// All that was said until then has been heard: whose time was over is late.
    Tick {
        heard: Ms,
    },
}

/// How a child is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Take no new client, finish the busy ones.
    Drain,
    /// The time for that is over: close what is left.
    Expire,
    /// Close everything now.
    Stop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Fork {
        slot: usize,
        job: Job,
        generation: u32,
        spawn: u64,
    },
    /// Publish the order and nudge the child with this signal.
    Order {
        slot: usize,
        order: Order,
        signal: i32,
    },
    Kill {
        slot: usize,
        signal: i32,
    },
    /// Keep what there is to know of a process that is about to be killed.
    Report {
        slot: usize,
        why: Reason,
        stuck: Ms,
    },
    /// Open the worker's gate, or give the controller the control lock.
    Open {
        slot: usize,
    },
    /// Wait for the zombie; afterwards nothing of the dead may reach the slot's next process.
    Reap {
        slot: usize,
        pid: i32,
    },
    LoadConfig,
    /// The reload for which it was loaded is cancelled.
    RevertConfig,
    /// The reload for which it was loaded has opened: no way back.
    KeepConfig,
    /// Clients get at the listeners that the configuration brings.
    ShowListeners,
    /// When everybody can see what it says.
    Reply {
        asker: Asker,
        code: i32,
        text: String,
    },
    /// Before what follows, by which the asker may end.
    ReplyNow {
        asker: Asker,
        code: i32,
        text: String,
    },
    /// A reload is over. `blame`: the slot of the process that it failed of, whose
    /// last words belong to the answer.
    EndReload {
        askers: Vec<Asker>,
        generation: u32,
        code: i32,
        text: String,
        blame: Option<usize>,
    },
    Note(Note),
    /// Everything is over; leave the loop.
    Finish {
        fast: bool,
        signal: i32,
    },
}
