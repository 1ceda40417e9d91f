//! Any answer of the console, shown: those without a layout of their own as well. Pure.

use crate::human::{Kind, state_colour};
use crate::table::{Column, Table, columns_of};
use crate::text::{Colour, Line, pad, width};
use crate::value::Value;

/// Where it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paper {
    pub(crate) room: Option<usize>,
    pub(crate) utf8: bool,
    /// Seconds since 1970.
    pub(crate) now: f64,
}

/// `columns`: for a list of maps; empty: all that there are.
pub(crate) fn show(value: &Value, columns: &[Column], paper: Paper) -> Vec<Line> {
    match value {
        Value::Null => vec![Line::of(Colour::Dim, "(nothing)")],
        Value::Text(bytes) => text(&String::from_utf8_lossy(bytes)),
        Value::List(items) if items.is_empty() => vec![Line::of(Colour::Dim, "(none)")],
        Value::List(items) if items.iter().any(|i| matches!(i, Value::Map(_))) => {
            let all = columns_of(items);
            let columns = if columns.is_empty() { &all } else { columns };
            table(items, columns, paper)
        }
        Value::List(items) | Value::Push(items) => items
            .iter()
            .flat_map(|item| show(item, &[], paper))
            .collect(),
        Value::Map(pairs) => map(pairs, paper),
        other => vec![Line::plain(other.shown())],
    }
}

pub(crate) fn table(rows: &[Value], columns: &[Column], paper: Paper) -> Vec<Line> {
    let table = Table {
        columns,
        rows,
        sorted: None,
        room: paper.room,
        utf8: paper.utf8,
        now: paper.now,
    };
    table.lines()
}

fn text(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| Line::plain(line.replace('\t', "    ")))
        .collect()
}

fn map(pairs: &[(Value, Value)], paper: Paper) -> Vec<Line> {
    let names: Vec<String> = pairs
        .iter()
        .map(|(key, _)| key.shown().replace('_', " "))
        .collect();
    let widest = names.iter().map(|n| width(n)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for ((key, value), name) in pairs.iter().zip(&names) {
        match value {
            Value::Map(_) | Value::List(_) if !is_empty(value) => {
                lines.push(Line::of(Colour::Dim, name.as_str()));
                let room = paper.room.map(|room| room.saturating_sub(2));
                let inner = show(value, &[], Paper { room, ..paper });
                lines.extend(inner.into_iter().map(|line| Line::plain("  ").append(line)));
            }
            _ => {
                let key = key.shown();
                let shown = match is_empty(value) {
                    true => "-".into(),
                    false => Kind::of(&key).show(value, paper.now),
                };
                let mut parts = shown.lines();
                let colour = if key == "state" {
                    state_colour(&shown)
                } else {
                    Colour::Plain
                };
                let label = pad(name, widest + 2, false);
                lines.push(Line::of(Colour::Dim, label).and(colour, parts.next().unwrap_or("")));
                let indent = " ".repeat(widest + 2);
                lines.extend(parts.map(|part| Line::plain(indent.as_str()).and(colour, part)));
            }
        }
    }
    lines
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Map(pairs) => pairs.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map as of;

    fn shown(value: &Value) -> Vec<String> {
        let paper = Paper {
            room: None,
            utf8: true,
            now: 0.0,
        };
        show(value, &[], paper)
            .iter()
            .map(|l| l.paint(false, None))
            .collect()
    }

    #[test]
    fn any_answer() {
        assert_eq!(shown(&Value::text("a\r\nb")), ["a", "b"]);
        assert_eq!(shown(&Value::Int(5)), ["5"]);
        assert_eq!(shown(&Value::List(vec![])), ["(none)"]);
        assert_eq!(
            shown(&Value::List(vec![Value::text("a"), Value::Int(1)])),
            ["a", "1"]
        );
        let value = of([
            ("rss_bytes", Value::Int(2048)),
            ("inner", of([("a", Value::Int(1))])),
            ("none", Value::Map(vec![])),
            ("list", Value::List(vec![of([("pid", Value::Int(7))])])),
        ]);
        let expected = [
            "rss bytes  2.0K",
            "inner",
            "  a  1",
            "none       -",
            "list",
            "  PID",
            "    7",
        ];
        assert_eq!(shown(&value), expected);
    }
}
