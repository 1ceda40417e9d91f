//! `clients`: the service's clients, worker by worker.

use super::{Session, columns};
use crate::commands::translate;
use crate::fail::{Code, Result};
use crate::human::{age, state_colour};
use crate::show::{Paper, show, table};
use crate::text::{Colour, Line};
use crate::value::Value;

pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    let words: Vec<String> = std::iter::once("clients".to_owned())
        .chain(args.iter().cloned())
        .collect();
    let answer = session.ask(&translate(&words))?;
    if session.options.json || !matches!(answer, Value::List(_)) {
        return session.show(&answer, &[]);
    }
    let paper = session.paper();
    let workers: Vec<Vec<Line>> = answer.items().iter().map(|w| lines(w, paper)).collect();
    session.out.lines(&workers.join(&Line::default()))?;
    Ok(Code::Done)
}

/// One worker: what it does, what its drain waits for, its clients.
pub(crate) fn lines(worker: &Value, paper: Paper) -> Vec<Line> {
    let int = |key: &str| worker.get(key).int().unwrap_or(0);
    let state = worker.get("state").shown();
    let title = format!(
        "worker slot {} pid {} generation {}  ",
        int("slot"),
        int("pid"),
        int("generation")
    );
    let mut title = Line::of(Colour::Bold, title).and(state_colour(&state), state.as_str());
    if let Value::Text(_) = worker.get("error") {
        let why = format!("  does not say: {}", worker.get("error").shown());
        return vec![title.and(Colour::Bad, why)];
    }
    let counts = format!(
        "  {} clients, {} busy, {} watches",
        int("clients"),
        int("busy"),
        int("watches")
    );
    title = title.and(Colour::Plain, counts);
    let mut lines = vec![title];
    if let Value::Text(_) = worker.get("drain_waits_for") {
        let mut line = Line::of(
            Colour::Warn,
            format!("  waits for {}", worker.get("drain_waits_for").shown()),
        );
        if let Some(left) = worker.get("drain_left_seconds").number() {
            line = line.and(Colour::Plain, format!(", {} left", age(left)));
        }
        lines.push(line);
    }
    let clients = worker.get("list").items();
    if !clients.is_empty() {
        lines.extend(table(clients, &columns::clients(), paper));
    }
    if let Value::Int(most) = worker.get("list_is_cut_at") {
        lines.push(Line::of(
            Colour::Dim,
            format!("only the first {most} are listed"),
        ));
    }
    if let Value::Map(_) = worker {
        lines
    } else {
        show(worker, &[], paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    #[test]
    fn a_worker_that_drains_and_one_that_does_not_say() {
        let paper = Paper {
            room: None,
            utf8: true,
            now: 0.0,
        };
        let shown = |worker: &Value| -> Vec<String> {
            lines(worker, paper)
                .iter()
                .map(|l| l.paint(false, None))
                .collect()
        };
        let client = map([
            ("id", Value::Int(7)),
            ("peer", Value::text("unix")),
            ("busy", Value::Bool(true)),
        ]);
        let mut worker = map([
            ("slot", Value::Int(1)),
            ("pid", Value::Int(12_345)),
            ("generation", Value::Int(2)),
            ("state", Value::text("draining")),
            ("clients", Value::Int(1)),
            ("busy", Value::Int(1)),
            ("drain_waits_for", Value::text("1 busy clients")),
            ("drain_left_seconds", Value::Double(12.0)),
            ("list", Value::List(vec![client])),
        ]);
        let all = shown(&worker);
        assert_eq!(
            all[0],
            "worker slot 1 pid 12345 generation 2  draining  1 clients, 1 busy, 0 watches"
        );
        assert_eq!(all[1], "  waits for 1 busy clients, 12s left");
        assert!(
            all[3].contains("unix") && all[3].contains("yes"),
            "{}",
            all[3]
        );
        worker.set("error", Value::text("it hangs"));
        assert!(shown(&worker)[0].ends_with("does not say: it hangs"));
    }
}
