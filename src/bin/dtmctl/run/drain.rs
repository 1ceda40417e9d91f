//! `drain`: the workers that drain, until none does.

use super::{Session, columns};
use crate::fail::{Code, Result};
use crate::show::table;
use crate::text::{Colour, Line};
use crate::value::{Value, map};
use crate::wait;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(session: &mut Session, _: &[String]) -> Result<Code> {
    wait::catch_signals();
    let once = session.options.count == Some(1);
    let began = Instant::now();
    let mut seen: Option<Vec<Value>> = None;
    let mut drawn = 0;
    loop {
        let draining = look(session)?;
        let changed = seen.as_ref().map(|s| keys(s)) != Some(keys(&draining));
        if session.out.terminal && !session.options.json && !session.options.quiet {
            // On a terminal the same lines are drawn again.
            if drawn > 0 {
                session
                    .out
                    .bytes(format!("\x1b[{drawn}A\x1b[J").as_bytes())?;
            }
            drawn = show(session, &draining)?;
        } else if changed && !session.options.quiet {
            show(session, &draining)?;
        }
        if draining.is_empty() || once {
            return Ok(Code::Done);
        }
        seen = Some(draining);
        if session
            .options
            .timeout
            .is_some_and(|t| began.elapsed() >= t)
        {
            return Err(crate::fail::Fail::new(Code::Timeout, "workers still drain"));
        }
        let until = Instant::now() + LOOK;
        wait::wait([], Some(until));
        if wait::stopped() {
            return Err(crate::fail::Fail::new(Code::Interrupted, ""));
        }
    }
}

/// Those that drain, with what each says that it waits for.
fn look(session: &mut Session) -> Result<Vec<Value>> {
    let workers = session.ask(&["WORKERS"])?;
    let is_draining = |w: &&Value| w.get("state").is("draining");
    let mut draining: Vec<Value> = workers
        .items()
        .iter()
        .filter(is_draining)
        .cloned()
        .collect();
    for worker in &mut draining {
        let spawn = worker.get("spawn").shown();
        let asked = session.ask(&["CLIENTS", "SPAWN", &spawn]);
        // It may have left meanwhile, or hang.
        let Some(said) = asked.ok().and_then(|a| a.items().first().cloned()) else {
            continue;
        };
        for key in ["busy", "drain_left_seconds", "drain_waits_for", "list"] {
            worker.set(key, said.get(key).clone());
        }
        if let Value::Text(_) = said.get("error") {
            worker.set("drain_waits_for", said.get("error").clone());
        }
    }
    Ok(draining)
}

/// What is worth a new line in a pipe: who drains, and for how many.
fn keys(workers: &[Value]) -> Vec<(Option<i64>, Option<i64>)> {
    workers
        .iter()
        .map(|w| (w.get("spawn").int(), w.get("clients").int()))
        .collect()
}

/// How many lines that took.
fn show(session: &Session, draining: &[Value]) -> Result<usize> {
    if session.options.json {
        session.json(&map([("draining", Value::List(draining.to_vec()))]))?;
        return Ok(0);
    }
    let clients: i64 = draining.iter().filter_map(|w| w.get("clients").int()).sum();
    let mut lines = match draining.len() {
        0 => vec![Line::of(Colour::Good, "no worker drains")],
        n => vec![
            Line::of(Colour::Warn, format!("{n} draining"))
                .and(Colour::Plain, format!(", {clients} clients")),
        ],
    };
    if !draining.is_empty() {
        let columns = columns::draining();
        lines.extend(table(draining, &columns, session.paper()));
    }
    session.out.lines(&lines)?;
    Ok(lines.len())
}
