//! INFO: sections of key:value lines, as Redis and Stark have them.

use super::super::names::{mode_name, state_name};
use super::super::status::{Status, ratio};
use super::*;
use crate::ffi::{DTM_WORKER_DRAINING, DTM_WORKER_OPEN};
use crate::shm::Count;
use crate::upgrade::draining::Draining;
use std::fmt::Write;

type Section = fn(&Status, &mut String);

/// Names of the sections, in their order.
const SECTIONS: &[(&str, Section)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Master", master),
    ("Memory", memory),
    ("Worker", worker),
    ("Stats", stats),
    ("Reload", reload),
    ("Accept", accept),
    ("Generations", generations),
    ("Counters", counters),
];

/// INFO [section ...]; `all`, `everything` and `default` are all of them.
pub(in crate::console) fn info(call: &mut Call<'_>) -> Answered {
    let status = call.console.status(call.controller);
    let wanted: Vec<String> = (0..call.args.len())
        .map(|at| call.text(at).to_lowercase())
        .collect();
    let is_wanted = |name: &str| {
        let all = ["all", "everything", "default"];
        wanted.is_empty()
            || wanted
                .iter()
                .any(|w| w == &name.to_lowercase() || all.contains(&w.as_str()))
    };
    let mut text = String::new();
    for (name, write) in SECTIONS.iter().filter(|(name, _)| is_wanted(name)) {
        if !text.is_empty() {
            text += "\r\n";
        }
        let _ = write!(text, "# {name}\r\n");
        write(&status, &mut text);
    }
    reply(Value::Text(text))
}

macro_rules! lines {
    ($out:expr, $($key:literal: $value:expr,)*) => {
        $(let _ = write!($out, concat!($key, ":{}\r\n"), $value);)*
    };
}

fn server(s: &Status, out: &mut String) {
    lines! { out,
        "libdtm_version": env!("CARGO_PKG_VERSION"),
        "name": s.name,
        "state": s.state(),
        "process_id": s.master.0,
        "controller_process_id": s.controller.0,
        "uptime_in_seconds": s.uptime(),
        "uptime_in_days": s.uptime() / 86_400,
        "config_loaded_at": s.facts.config_at,
    }
}

/// Connections to the console; those to the service stand under Worker.
fn clients(s: &Status, out: &mut String) {
    lines! { out,
        "connected_clients": s.console.open,
        "maxclients": s.console.limit,
        "total_connections_received": s.console.accepted,
        "rejected_connections": s.console.refused,
        "total_commands_processed": s.console.commands,
    }
}

/// Stark's
fn master(s: &Status, out: &mut String) {
    lines! { out,
        "name": s.name,
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": s.facts.started_at,
        "uptime_in_seconds": s.uptime(),
        "uptime_human": human_time(s.uptime()),
    }
}

fn memory(s: &Status, out: &mut String) {
    let master = s.master.1.map_or(0, |p| p.rss_bytes);
    lines! { out,
        "used_memory": s.rss_bytes(),
        "used_memory_human": human_size(s.rss_bytes()),
        "used_memory_master": master,
    }
}

/// Stark's, and the states. worker_total: workers ever forked.
fn worker(s: &Status, out: &mut String) {
    lines! { out,
        "worker_max": s.facts.workers,
        "worker_total": s.counted(Count::WorkerForks),
        "worker_open": s.in_state(DTM_WORKER_OPEN),
        "worker_draining": s.in_state(DTM_WORKER_DRAINING),
        "worker_adopted": s.adopted_in_all,
        "worker_clients": s.clients(),
    }
    for w in &s.workers {
        let _ = write!(
            out,
            "worker_{}:pid={},generation={},state={},clients={},accepted={},load={}",
            w.told.slot,
            w.told.pid,
            w.told.generation,
            state_name(w.told.state),
            w.told.clients,
            w.told.accepted,
            w.told.load
        );
        if let Some(p) = &w.process {
            let _ = write!(
                out,
                ",age={:.0},cpu={:.2},rss={}",
                p.age, p.cpu, p.rss_bytes
            );
        }
        *out += "\r\n";
    }
    for a in &s.adopted {
        let Draining {
            slot,
            generation,
            spawn,
            pid,
            clients,
            ..
        } = a.told;
        let _ = write!(
            out,
            "adopted_{spawn}:binary=old,pid={pid},slot={slot},generation={generation},state=draining,clients={},deadline_in={}\r\n",
            clients.map_or_else(|| "unknown".into(), |n| n.to_string()),
            a.left_ms()
                .map_or_else(|| "never".into(), |ms| format!("{:.1}", ratio(ms, 1000)))
        );
    }
}

/// Stark's: run_count, and run_qps by the time that workers were busy, which is their
/// CPU time here; both of the workers that live.
fn stats(s: &Status, out: &mut String) {
    let living: u64 = s.workers.iter().map(|w| w.told.accepted).sum();
    let cpu = s.worker_cpu();
    let qps = if cpu > 0.0 {
        ratio(living, 1) / cpu
    } else {
        0.0
    };
    let ban = s
        .nofork
        .map_or_else(|| "off".into(), |left| format!("{left:.1}"));
    lines! { out,
        "run_count": s.accept.accepted,
        "run_qps": format!("{qps:.2}"),
        "forks": s.counted(Count::Forks),
        "deaths": s.counted(Count::Deaths),
        "killed": s.counted(Count::Killed),
        "funcs": s.funcs,
        "worker_cpu_seconds": format!("{cpu:.2}"),
        "nofork_seconds": ban,
    }
}

fn reload(s: &Status, out: &mut String) {
    let code = i32::try_from(s.facts.reload_code).unwrap_or(i32::MAX);
    let result = match (s.facts.reload_at, code) {
        (0, _) => "none".into(),
        (_, 0) => "ok".into(),
        (_, code) => crate::error::name(-code).to_string_lossy(),
    };
    lines! { out,
        "generation": s.facts.serving,
        "reload_in_progress": u8::from(s.facts.reloading > 0),
        "reloads": s.counted(Count::Reloads),
        "reload_failures": s.counted(Count::FailedReloads),
        "last_reload_at": s.facts.reload_at,
        "last_reload_result": result,
    }
}

fn accept(s: &Status, out: &mut String) {
    let a = &s.accept;
    lines! { out,
        "accept_mode": mode_name(a.mode),
        "accept_mode_wanted": mode_name(a.wanted),
        "accept_tokens": a.tokens,
        "accepted": a.accepted,
        "accept_waiting_ms": a.waiting_ms,
        "accept_skew": format!("{:.3}", ratio(a.skew.into(), 1000)),
        "accept_moves": a.moves,
        "accept_passed": a.passed,
        "accept_rescues": a.rescues,
        "accept_errors": a.errors,
        "accept_drops": a.drops,
    }
}

fn generations(s: &Status, out: &mut String) {
    let Value::Array(all) = s.generations_value() else {
        return;
    };
    for generation in all {
        let Value::Map(pairs) = generation else {
            continue;
        };
        let mut shown = pairs.iter().map(|(name, value)| match value {
            Value::Bulk(text) => format!("{name}={}", String::from_utf8_lossy(text)),
            other => format!("{name}={}", other.json()),
        });
        let number = pairs.first().map_or(String::new(), |(_, n)| n.json());
        shown.next(); // its number stands in front
        let _ = write!(
            out,
            "generation_{number}:{}\r\n",
            shown.collect::<Vec<_>>().join(",")
        );
    }
}

fn counters(s: &Status, out: &mut String) {
    for (name, n) in &s.counters {
        let _ = write!(out, "{name}:{n}\r\n");
    }
}

/// `3d 4h 5m 6s`
fn human_time(seconds: u64) -> String {
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s}s"),
        (0, _, _) => format!("{h}h {m}m {s}s"),
        _ => format!("{d}d {h}h {m}m {s}s"),
    }
}

/// `1.50M`, as Redis
fn human_size(bytes: u64) -> String {
    const UNITS: [(u64, char); 3] = [(1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(size, name)| format!("{:.2}{name}", ratio(bytes, *size)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(human_time(5), "5s");
        assert_eq!(human_time(3_725), "1h 2m 5s");
        assert_eq!(human_time(90_061), "1d 1h 1m 1s");
        assert_eq!(human_size(512), "512B");
        assert_eq!(human_size(3 << 19), "1.50M");
    }
}
