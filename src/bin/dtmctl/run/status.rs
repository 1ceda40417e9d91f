//! `status`: the service on one page.

use super::{Session, columns};
use crate::fail::{Code, Result};
use crate::human::{age, ago, bytes, count, state_colour};
use crate::show::table;
use crate::text::{Colour, Line};
use crate::value::Value;

pub(crate) fn run(session: &mut Session, _: &[String]) -> Result<Code> {
    let status = session.ask(&["STATUS"])?;
    let code = match session.options.check && !is_ready(&status) {
        true => Code::Failed,
        false => Code::Done,
    };
    if session.options.json {
        let mut whole = status;
        let workers = session.ask(&["WORKERS"])?;
        whole.set("workers", workers);
        session.json(&whole)?;
        return Ok(code);
    }
    if !session.options.quiet {
        let workers = session.ask(&["WORKERS"])?;
        let paper = session.paper();
        let mut lines = head(&status, paper.now);
        lines.extend(adopted(workers.items()));
        lines.push(Line::default());
        lines.extend(table(workers.items(), &columns::workers(), paper));
        session.out.lines(&lines)?;
    }
    Ok(code)
}

/// All workers that are wanted are open: in a reload, too, as the old ones serve until the
/// new ones do. A server that does not say so has only its state.
fn is_ready(status: &Value) -> bool {
    match status.get("ready") {
        Value::Null => status.get("state").is("serving"),
        Value::Bool(ready) => *ready,
        told => told.int() == Some(1),
    }
}

/// Label, then facts.
fn fact(label: &str, text: String) -> Line {
    Line::of(Colour::Dim, format!("{label:<12}")).and(Colour::Plain, text)
}

/// The workers of the binary before this one, as long as there are any.
fn adopted(workers: &[Value]) -> Option<Line> {
    let of_old = |w: &&Value| w.get("binary").is("old");
    let old: Vec<&Value> = workers.iter().filter(of_old).collect();
    let pids: Vec<String> = old.iter().map(|w| w.get("pid").shown()).collect();
    let known: Vec<i64> = old.iter().filter_map(|w| w.get("clients").int()).collect();
    let clients = match known.is_empty() {
        true => "clients unknown".into(),
        false => format!("{} clients", count(known.iter().sum())),
    };
    let left = old.iter().map(|w| w.get("drain_left_seconds").number());
    let deadline = match left.collect::<Option<Vec<f64>>>() {
        Some(left) => format!("deadline in {}", age(left.into_iter().fold(0.0, f64::max))),
        None => "no deadline".into(),
    };
    let text = format!(
        "{} draining, pid {}, {clients}, {deadline}",
        old.len(),
        pids.join(" ")
    );
    (!old.is_empty()).then(|| Line::of(Colour::Warn, format!("{:<12}{text}", "old binary")))
}

/// Name, state and the numbers that matter.
fn head(s: &Value, now: f64) -> Vec<Line> {
    let int = |key: &str| s.get(key).int().unwrap_or(0);
    let number = |key: &str| s.get(key).number().unwrap_or(0.0);
    let shown = |key: &str| s.get(key).shown();
    let state = shown("state");
    let mut title = Line::of(Colour::Bold, shown("name"))
        .and(Colour::Plain, "  ")
        .and(state_colour(&state), state.as_str())
        .and(
            Colour::Plain,
            format!("  up {}", age(number("uptime_seconds"))),
        )
        .and(Colour::Dim, format!("  libdtm {}", shown("version")));
    if let Some(left) = s.get("nofork_seconds").number() {
        title = title.and(Colour::Warn, format!("  no forks for {}", age(left)));
    }
    let mut workers = fact(
        "workers",
        format!("{} of {} open", int("workers_open"), int("workers_wanted")),
    );
    for (key, label, colour) in [
        ("workers_draining", "draining", Colour::Warn),
        ("workers_dead", "dead", Colour::Bad),
        ("workers_failed", "failed", Colour::Bad),
    ] {
        if int(key) > 0 {
            workers = workers.and(colour, format!(", {} {label}", int(key)));
        }
    }
    let mut generation = fact("generation", int("generation").to_string());
    if let Some(next) = s.get("reloading").int() {
        generation = generation.and(Colour::Warn, format!(", {next} comes up"));
    }
    let config = format!(
        ", configuration loaded {}",
        ago(number("config_loaded_at"), now)
    );
    let mut reloads = fact(
        "reloads",
        format!(
            "{}, {} failed",
            count(int("reloads")),
            count(int("reload_failures"))
        ),
    );
    let last = s.get("last_reload");
    if last != &Value::Null {
        let result = last.get("result").shown();
        let when = ago(last.get("time").number().unwrap_or(0.0), now);
        reloads = reloads.and(Colour::Plain, ", the last ").and(
            if result == "ok" {
                Colour::Good
            } else {
                Colour::Bad
            },
            result,
        );
        reloads = reloads.and(Colour::Plain, format!(" {when}"));
    }
    let memory = format!(
        "{} in all, {:.1}s of CPU in the workers",
        bytes(number("rss_bytes")),
        number("worker_cpu_seconds")
    );
    let clients = format!(
        "{} now, {} accepted, mode {}",
        count(int("clients")),
        count(int("accepted")),
        shown("accept_mode")
    );
    let forks = format!(
        "{} forks, {} deaths, {} killed",
        count(int("forks")),
        count(int("deaths")),
        count(int("killed"))
    );
    vec![
        title,
        workers,
        generation.and(Colour::Plain, config),
        reloads,
        fact("clients", clients),
        fact("memory", memory),
        fact(
            "processes",
            format!(
                "master {}, controller {}; {forks}",
                int("master_pid"),
                int("controller_pid")
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    #[test]
    fn ready_in_a_reload_but_not_without_workers() {
        let ready = |state: &str, told: Value| {
            is_ready(&map([("state", Value::text(state)), ("ready", told)]))
        };
        assert!(ready("serving", Value::Null) && !ready("reloading", Value::Null));
        for (yes, no) in [
            (Value::Bool(true), Value::Bool(false)),
            (Value::Int(1), Value::Int(0)),
        ] {
            assert!(ready("reloading", yes.clone()) && ready("serving", yes));
            assert!(!ready("reloading", no.clone()) && !ready("degraded", no));
        }
    }
}
