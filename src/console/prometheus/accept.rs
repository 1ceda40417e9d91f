//! The accept schedule.

use super::super::names::mode_name;
use super::super::status::{Status, ratio};
use super::text::Text;

pub(super) fn write(s: &Status, out: &mut Text) {
    let a = &s.accept;
    out.each(
        (
            "dtm_accept_mode",
            "gauge",
            "1 for the accept mode in force.",
        ),
        "mode",
        [(mode_name(a.mode).as_str(), 1)],
    );
    for (name, help, value) in [
        (
            "dtm_accept_willing_workers",
            "Open workers that take clients now.",
            f64::from(a.willing),
        ),
        (
            "dtm_accept_tokens",
            "Accept tokens of each queue; 0 in modes without.",
            f64::from(a.tokens),
        ),
        (
            "dtm_accept_queues",
            "Sockets that listen.",
            f64::from(a.queues),
        ),
        (
            "dtm_accept_queue_connections",
            "Connections that waited at the master's last look.",
            f64::from(a.depth),
        ),
        (
            "dtm_accept_waiting_seconds",
            "For how long connections have waited for a worker that takes them.",
            ratio(a.waiting_ms.into(), 1000),
        ),
        (
            "dtm_accept_skew_ratio",
            "Largest load of a worker by the mean.",
            ratio(a.skew.into(), 1000),
        ),
    ] {
        out.gauge(name, help, value);
    }
    for (name, help, value) in [
        ("dtm_accepted_total", "Clients accepted.", a.accepted),
        (
            "dtm_accept_moves_total",
            "Tokens handed from one worker to another.",
            a.moves,
        ),
        (
            "dtm_accept_passed_total",
            "Connections passed by the master.",
            a.passed,
        ),
        (
            "dtm_accept_repassed_total",
            "Passed connections that were passed again.",
            a.repassed,
        ),
        (
            "dtm_accept_rescues_total",
            "Queues rescued because nobody served them.",
            a.rescues,
        ),
        (
            "dtm_accept_empty_total",
            "Wake-ups that found no connection.",
            a.empty,
        ),
        ("dtm_accept_errors_total", "Failed accepts.", a.errors),
        (
            "dtm_accept_switches_total",
            "Changes of the accept mode.",
            a.switches,
        ),
        (
            "dtm_accept_late_total",
            "Accept locks given back after they had been taken away.",
            a.late,
        ),
        (
            "dtm_accept_drops_total",
            "Connections that the kernel dropped because a queue was full.",
            a.drops,
        ),
    ] {
        out.counter(name, help, value);
    }
}
