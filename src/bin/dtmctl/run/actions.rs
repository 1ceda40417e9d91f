//! `actions`: how the store is, and every durable action.

use super::{Session, columns};
use crate::commands::translate;
use crate::fail::{Code, Result};
use crate::human::ago;
use crate::show::table;
use crate::text::{Colour, Line, pad};
use crate::value::Value;

pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    let words = [&["actions".to_owned()], args].concat();
    let answer = session.ask(&translate(&words))?;
    if session.options.json {
        return session.show(&answer, &[]);
    }
    let paper = session.paper();
    let lines = match &answer {
        Value::Map(_) => {
            let mut lines = vec![head(&answer)];
            let actions = answer.get("actions").items();
            if !actions.is_empty() {
                let columns = match session.out.terminal {
                    true => columns::actions(),
                    false => crate::table::columns_of(actions),
                };
                lines.extend(table(actions, &columns, paper));
            }
            lines
        }
        Value::List(changes) if !changes.is_empty() => changes
            .iter()
            .map(|c| change(&c.shown(), paper.now))
            .collect(),
        _ => return session.show(&answer, &[]),
    };
    session.out.lines(&lines)?;
    Ok(Code::Done)
}

/// `store OPEN, 2 unfinished`
fn head(answer: &Value) -> Line {
    let store = answer.get("store").shown();
    let good = store == "OPEN";
    let colour = if good { Colour::Good } else { Colour::Bad };
    let mut line = Line::of(Colour::Dim, "store ").and(colour, store);
    let trouble = answer.get("trouble").shown();
    if !trouble.is_empty() {
        line = line.and(Colour::Plain, format!(": {trouble}"));
    }
    let unfinished = answer.get("unfinished").int().unwrap_or(0);
    line.and(Colour::Plain, format!(", {unfinished} unfinished"))
}

/// A line of the history begins with the moment in ms.
fn change(text: &str, now: f64) -> Line {
    let (first, rest) = text.split_once(' ').unwrap_or(("", text));
    match first.parse::<u64>() {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        Ok(ms) => Line::of(Colour::Dim, pad(&ago(ms as f64 / 1e3, now), 12, false))
            .and(Colour::Plain, format!("  {rest}")),
        Err(_) => Line::plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    #[test]
    fn store_and_history() {
        let answer = map([
            ("store", Value::text("LOCKED")),
            ("trouble", Value::text("somebody has it")),
            ("unfinished", Value::Int(2)),
        ]);
        let text = |line: &Line| line.paint(false, None);
        assert_eq!(
            text(&head(&answer)),
            "store LOCKED: somebody has it, 2 unfinished"
        );
        assert_eq!(
            text(&change("60000 done action phase 1", 65.0)),
            "5s ago        done action phase 1"
        );
        assert_eq!(text(&change("dtm-restart", 0.0)), "dtm-restart");
    }
}
