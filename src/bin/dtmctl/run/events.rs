//! `events`: what happens, line by line.

use super::Session;
use crate::fail::{Code, Fail, Result};
use crate::human::state_colour;
use crate::json;
use crate::text::{Colour, Line, pad};
use crate::value::Value;
use crate::wait;

pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    let words: Vec<String> = match args {
        [] => ["PSUBSCRIBE", "*"].map(str::to_owned).into(),
        names => std::iter::once("SUBSCRIBE".to_owned())
            .chain(names.iter().cloned())
            .collect(),
    };
    wait::catch_signals();
    session.link()?.send(&words, None)?;
    let mut left = session.options.count;
    while left != Some(0) {
        let told = match session.link()?.next(None) {
            Ok(told) => told,
            Err(fail) if fail.code == Code::Interrupted => return Ok(Code::Done),
            Err(fail) => {
                return Err(Fail::new(
                    fail.code,
                    fail.text.replace(" before it answered", ""),
                ));
            }
        };
        if let Value::Error(text) = &told {
            return Err(Fail::answered(text));
        }
        if let Some(event) = event_of(&told) {
            match session.options.json {
                true => session.json(&event)?,
                false => session.out.lines(&[line(&event)])?,
            }
            left = left.map(|n| n - 1);
        }
    }
    Ok(Code::Done)
}

/// The event that a push holds: of a subscription, or progress of a command.
pub(crate) fn event_of(push: &Value) -> Option<Value> {
    let parts = push.items();
    let kind = ["message", "pmessage", "progress"];
    let is_event = parts
        .first()
        .is_some_and(|first| kind.iter().any(|k| first.is(k)));
    let event = parts.last().filter(|_| is_event)?;
    json::parse(&event.shown()).filter(|event| matches!(event, Value::Map(_)))
}

/// `exit      worker slot 3 generation 1 pid 77: killed by SIGKILL`
pub(crate) fn line(event: &Value) -> Line {
    let name = event.get("event").shown();
    let begins = event.get("phase").is("begin");
    let colour = match name.as_str() {
        "reload" | "upgrade" if begins => Colour::Bold,
        "reload" | "upgrade" | "config" if event.get("status").int().is_some_and(|s| s != 0) => {
            Colour::Bad
        }
        "reload" | "upgrade" | "config" => Colour::Good,
        "exit" | "fork" => Colour::Name,
        "hang" => Colour::Bad,
        other => state_colour(other),
    };
    let mut who = event.get("role").shown();
    for (key, label) in [
        ("slot", "slot"),
        ("generation", "generation"),
        ("pid", "pid"),
    ] {
        // The service has no generation at first.
        if let Some(n) = event
            .get(key)
            .int()
            .filter(|n| *n > 0 || key != "generation")
        {
            who += &format!(" {label} {n}");
        }
    }
    let mut text = event.get("text").shown();
    if begins && text.is_empty() {
        text = "begins".into();
    }
    if ["forked", "ready", "open for business"].contains(&text.as_str()) {
        text.clear(); // its name says it
    }
    let colon = match who.is_empty() || text.is_empty() {
        true => "",
        false => ": ",
    };
    Line::of(colour, pad(&name, 9, false))
        .and(Colour::Plain, format!(" {}", who.trim_start()))
        .and(Colour::Dim, format!("{colon}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_pushes() {
        let push = |words: &[&str]| Value::Push(words.iter().map(|w| Value::text(w)).collect());
        let json =
            r#"{"event":"exit","role":"worker","slot":3,"generation":1,"pid":77,"text":"code 1"}"#;
        let event = event_of(&push(&["pmessage", "*", "exit", json])).unwrap();
        assert_eq!(
            line(&event).paint(false, None),
            "exit      worker slot 3 generation 1 pid 77: code 1"
        );
        assert!(event_of(&push(&["progress", "exit", json])).is_some());
        assert_eq!(event_of(&push(&["subscribe", "exit", "1"])), None);
        assert_eq!(event_of(&push(&["message", "exit", "no json"])), None);
        assert_eq!(event_of(&Value::Push(vec![])), None);
    }
}
