//! The columns of the tables that have a layout of their own. Those of the highest rank
//! go first where there is no room; 80 columns hold what an operator looks at first.

use crate::table::{Column, column};

pub(crate) fn of(command: &str) -> Vec<Column> {
    match command.to_lowercase().as_str() {
        "workers" => workers(),
        _ => Vec::new(),
    }
}

pub(crate) fn workers() -> Vec<Column> {
    [
        ("slot", "SLOT", 0),
        ("pid", "PID", 1),
        ("generation", "GEN", 2),
        ("state", "STATE", 0),
        ("age_seconds", "AGE", 1),
        ("clients", "CLIENTS", 0),
        ("load", "LOAD", 6),
        ("accepted", "ACCEPTED", 3),
        ("share", "SHARE", 4),
        ("total_requests", "REQUESTS", 5),
        ("cpu_seconds", "CPU", 3),
        ("rss_bytes", "RSS", 2),
        ("deaths", "DEATHS", 4),
        ("crashes", "CRASHES", 7),
        ("timeouts", "TIMEOUTS", 8),
        ("recycled", "RECYCLED", 8),
        ("last_end", "LAST END", 6),
        ("binary", "BINARY", 9),
    ]
    .map(|(key, title, rank)| column(key, title, rank))
    .into()
}

/// With the rates that `sample` adds.
pub(crate) fn top() -> Vec<Column> {
    [
        ("slot", "SLOT", 0),
        ("pid", "PID", 1),
        ("generation", "GEN", 2),
        ("state", "STATE", 0),
        ("age_seconds", "AGE", 2),
        ("clients", "CLIENTS", 0),
        ("accepts_per_second", "ACC/S", 0),
        ("requests_per_second", "REQ/S", 1),
        ("cpu", "CPU", 0),
        ("rss_bytes", "RSS", 1),
        ("share", "SHARE", 3),
        ("bar", "", 9),
        ("accepted", "ACCEPTED", 5),
        ("load", "LOAD", 6),
        ("deaths", "DEATHS", 6),
        ("crashes", "CRASHES", 7),
        ("recycled", "RECYCLED", 8),
        ("last_end", "LAST END", 7),
    ]
    .map(|(key, title, rank)| column(key, title, rank))
    .into()
}

/// WORKERS, with what CLIENTS adds.
pub(crate) fn draining() -> Vec<Column> {
    [
        ("slot", "SLOT", 0),
        ("pid", "PID", 1),
        ("generation", "GEN", 2),
        ("clients", "CLIENTS", 0),
        ("busy", "BUSY", 0),
        ("age_seconds", "AGE", 4),
        ("rss_bytes", "RSS", 5),
        ("drain_left_seconds", "LEFT", 0),
        ("drain_waits_for", "WAITS FOR", 0),
    ]
    .map(|(key, title, rank)| column(key, title, rank))
    .into()
}

/// Durable actions.
pub(crate) fn actions() -> Vec<Column> {
    [
        ("id", "ID", 0),
        ("name", "NAME", 0),
        ("args", "ARGS", 4),
        ("state", "STATE", 0),
        ("phase", "PHASE", 1),
        ("step", "STEP", 6),
        ("attempt", "ATTEMPT", 3),
        ("wait", "WAIT", 2),
        ("started_ms", "STARTED", 5),
        ("changed_ms", "CHANGED", 1),
        ("text", "TEXT", 0),
    ]
    .map(|(key, title, rank)| column(key, title, rank))
    .into()
}

/// The clients of a worker.
pub(crate) fn clients() -> Vec<Column> {
    [
        ("id", "CLIENT", 0),
        ("peer", "PEER", 0),
        ("age_seconds", "AGE", 1),
        ("quiet_seconds", "QUIET", 2),
        ("busy", "BUSY", 0),
        ("waits_for", "WAITS TO", 3),
        ("listener", "LISTENER", 4),
        ("state", "STATE", 0),
    ]
    .map(|(key, title, rank)| column(key, title, rank))
    .into()
}
