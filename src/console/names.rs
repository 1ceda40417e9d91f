//! Numbers of the API by their names.

use crate::ffi::*;

pub(super) fn state_name(state: u32) -> &'static str {
    match state {
        DTM_WORKER_STARTING => "starting",
        DTM_WORKER_READY => "ready",
        DTM_WORKER_UPDATED => "updated",
        DTM_WORKER_OPEN => "open",
        DTM_WORKER_DRAINING => "draining",
        DTM_WORKER_DEAD => "dead",
        DTM_WORKER_FAILED => "failed",
        _ => "unknown",
    }
}

/// How a slot stands to what the master wants of it.
pub(super) const CLASSES: [(u32, &str); 4] = [
    (DTM_CLASS_NOT_STARTED, "not-started"),
    (DTM_CLASS_VALID, "valid"),
    (DTM_CLASS_DISALLOWED, "disallowed"),
    (DTM_CLASS_TIMED_OUT, "timed-out"),
];

pub(super) fn class_name(class: u32) -> &'static str {
    let found = CLASSES.iter().find(|(number, _)| *number == class);
    found.map_or("unknown", |(_, name)| name)
}

/// How a slot's last process ended; None: none has.
pub(super) fn reason_name(reason: u32) -> Option<&'static str> {
    Some(match reason {
        0 => return None,
        DTM_REASON_EXIT => "exit",
        DTM_REASON_SIGNAL => "signal",
        DTM_REASON_START => "start timeout",
        DTM_REASON_HANG => "hang",
        DTM_REASON_DEADLINE => "deadline",
        DTM_REASON_MEMORY => "memory",
        DTM_REASON_TOLD => "told",
        DTM_REASON_RECYCLE => "recycle",
        _ => "unknown",
    })
}

pub(super) fn mode_name(mode: u32) -> String {
    crate::config::Config::show_value("accept_mode", mode)
}
