//! Why a child is told to leave, and why a worker is replaced: in words for the log, and
//! as what is counted.

use super::Reason;
use crate::shm::Count;

/// Why a child is told to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// A newer generation serves.
    Reload,
    /// Of too many old generations it is of the oldest.
    TooOld,
    /// The reload that it was forked for has failed.
    Cancelled,
    /// Fewer workers are wanted.
    Scale,
    /// Its successor is open.
    Recycle,
    /// All children are to stop.
    Stop,
    /// The service is ending.
    End,
}

impl Leave {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Reload => "a newer generation serves",
            Self::TooOld => "too many old generations are alive, and this is the oldest",
            Self::Cancelled => "its reload is cancelled",
            Self::Scale => "fewer workers are wanted",
            Self::Recycle => "its successor is open",
            Self::Stop => "all children are to stop",
            Self::End => "the service is ending",
        }
    }

    /// As what its drain is counted; None: that was no drain.
    pub(super) fn count(self) -> Option<Count> {
        Some(match self {
            Self::Reload => Count::DrainReload,
            Self::Scale => Count::DrainScale,
            Self::Recycle => Count::DrainRecycle,
            Self::Stop => Count::DrainStop,
            Self::End => Count::DrainEnd,
            Self::TooOld | Self::Cancelled => return None,
        })
    }
}

/// Why a worker is replaced although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worn {
    Clients,
    Requests,
    Age,
    Idle,
    Memory,
    Asked,
}

impl Worn {
    /// The setting that says so.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Clients => "recycle_clients",
            Self::Requests => "recycle_requests",
            Self::Age => "recycle_age",
            Self::Idle => "recycle_idle",
            Self::Memory => "memory_soft",
            Self::Asked => "an operator asked",
        }
    }

    pub(super) fn count(self) -> Count {
        match self {
            Self::Clients => Count::RecycleClients,
            Self::Requests => Count::RecycleRequests,
            Self::Age => Count::RecycleAge,
            Self::Idle => Count::RecycleIdle,
            Self::Memory => Count::RecycleMemory,
            Self::Asked => Count::RecycleAsked,
        }
    }
}

/// As what the end of a process is counted.
pub(super) fn count_of_end(reason: Reason) -> Count {
    match reason {
        Reason::Exit => Count::EndExit,
        Reason::Signal => Count::EndCrash,
        Reason::Start => Count::EndStart,
        Reason::Hang => Count::EndHang,
        Reason::Deadline => Count::EndDeadline,
        Reason::Memory => Count::EndMemory,
        Reason::Told => Count::EndTold,
        Reason::Recycle => Count::EndRecycle,
        Reason::Unknown => Count::EndUnknown,
    }
}
