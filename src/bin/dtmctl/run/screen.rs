//! What `top` has on the screen. Pure.

use super::choice::{Choice, sortable};
use super::columns;
use super::sample::View;
use crate::human::{Kind, age, bytes, count, percent, rate, state_colour};
use crate::table::{Column, Table};
use crate::text::{Colour, Line};
use crate::value::Value;

pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) utf8: bool,
}

/// The whole screen: head, table, foot. Scrolls no further than to the last row.
pub(crate) fn lines(
    view: &View,
    choice: &mut Choice,
    note: Option<&str>,
    size: &Size,
) -> Vec<Line> {
    let mut lines = head(&view.service, size.width);
    let room_below = size.height.saturating_sub(lines.len() + 3);
    let rows = with_bars(&choice.sorted(&view.workers), size.utf8);
    choice.first = choice.first.min(rows.len().saturating_sub(room_below));
    lines.push(note.map_or_else(Line::default, |text| Line::of(Colour::Bad, text)));
    let columns = columns::top();
    let mut table = table(&rows, choice, &columns, Some(size.width), size.utf8);
    let more = table.len() - 1 > room_below + choice.first;
    lines.push(table.remove(0));
    lines.extend(table.into_iter().skip(choice.first).take(room_below));
    while lines.len() + 1 < size.height {
        lines.push(Line::default());
    }
    lines.truncate(size.height.saturating_sub(1));
    lines.push(foot(choice, more));
    lines
}

pub(crate) fn table(
    rows: &[Value],
    choice: &Choice,
    columns: &[Column],
    room: Option<usize>,
    utf8: bool,
) -> Vec<Line> {
    let table = Table {
        columns,
        rows,
        sorted: Some((&choice.sort, choice.down)),
        room,
        utf8,
        now: super::now(),
    };
    table.lines()
}

/// A bar for each worker's part of the clients that are connected now.
fn with_bars(workers: &[Value], utf8: bool) -> Vec<Value> {
    const WIDTH: f64 = 16.0;
    let clients = |w: &Value| w.get("clients").number().unwrap_or(0.0);
    let most = workers.iter().map(clients).fold(0.0, f64::max);
    let full = if utf8 { "█" } else { "#" };
    let bar = |worker: &Value| {
        let part = if most > 0.0 {
            clients(worker) / most * WIDTH
        } else {
            0.0
        };
        full.repeat((1..=16u8).filter(|n| f64::from(*n) <= part.ceil()).count())
    };
    let with = |worker: &Value| {
        let mut worker = worker.clone();
        worker.set("bar", Value::text(&format!("{:<16}", bar(&worker))));
        worker
    };
    workers.iter().map(with).collect()
}

/// Two lines; what does not fit into the width is left out from the end.
fn head(s: &Value, width: usize) -> Vec<Line> {
    let int = |key: &str| s.get(key).int().unwrap_or(0);
    let shown =
        |key: &str, show: fn(f64) -> String| s.get(key).number().map_or_else(|| "-".into(), show);
    let state = s.get("state").shown();
    let first = Line::of(Colour::Bold, s.get("name").shown())
        .and(Colour::Plain, "  ")
        .and(state_colour(&state), state.as_str());
    let mut facts = vec![
        fact("up", shown("uptime_seconds", age)),
        fact("generation", int("generation").to_string()),
        fact(
            "open",
            format!("{}/{}", int("workers_open"), int("workers_wanted")),
        ),
    ];
    for (key, label, colour) in [
        ("workers_draining", "draining", Colour::Warn),
        ("workers_dead", "dead", Colour::Bad),
        ("workers_failed", "failed", Colour::Bad),
    ] {
        if int(key) > 0 {
            facts.push(Line::of(colour, format!("{label} {}", int(key))));
        }
    }
    if s.get("nofork_seconds").number().is_some() {
        facts.push(Line::of(
            Colour::Warn,
            format!("no forks {}", shown("nofork_seconds", age)),
        ));
    }
    facts.push(fact("mode", s.get("accept_mode").shown()));
    facts.push(fact("deaths", Kind::Count.show(s.get("deaths"), 0.0)));
    let second = vec![
        fact("accepts/s", shown("accepts_per_second", rate)),
        fact("requests/s", shown("requests_per_second", rate)),
        fact("CPU", shown("cpu", percent)),
        fact("memory", shown("rss_bytes", bytes)),
        fact("accepted", count(int("accepted"))),
    ];
    let clients = fact("clients", count(int("clients")));
    vec![join(first, facts, width), join(clients, second, width)]
}

fn fact(label: &str, value: String) -> Line {
    Line::of(Colour::Dim, format!("{label} ")).and(Colour::Plain, value)
}

fn join(first: Line, rest: Vec<Line>, width: usize) -> Line {
    rest.into_iter().fold(first, |line, fact| {
        match line.width() + 2 + fact.width() <= width {
            true => line.and(Colour::Plain, "  ").append(fact),
            false => line,
        }
    })
}

fn foot(choice: &Choice, more: bool) -> Line {
    let title = sortable()
        .into_iter()
        .find(|c| c.key == choice.sort)
        .map_or(String::new(), |c| c.title);
    let more = if more { "  more below" } else { "" };
    let keys = Line::default();
    let keys = [
        ("q", "quit"),
        ("<>", "sort"),
        ("r", "reverse"),
        ("+-", "interval"),
    ]
    .into_iter()
    .fold(keys, |line, (key, what)| {
        line.and(Colour::Bold, key)
            .and(Colour::Dim, format!(" {what}  "))
    });
    keys.and(
        Colour::Dim,
        format!(
            "by {title}, every {}{more}",
            age(choice.interval.as_secs_f64())
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Key;
    use crate::value::map;
    use std::time::Duration;

    fn view(n: i64) -> View {
        let worker = |slot: i64| {
            map([
                ("slot", Value::Int(slot)),
                ("pid", Value::Int(1_000_000 + slot)),
                ("generation", Value::Int(1)),
                ("state", Value::text("open")),
                ("age_seconds", Value::Double(90_000.0)),
                ("clients", Value::Int(slot * 1000)),
                (
                    "cpu",
                    if slot == 2 {
                        Value::Null
                    } else {
                        Value::Double(0.1)
                    },
                ),
                ("rss_bytes", Value::Int(1 << 30)),
                ("accepts_per_second", Value::Double(12_345.0)),
                ("requests_per_second", Value::Double(12_345.0)),
                ("share", Value::Double(0.25)),
            ])
        };
        View {
            service: map([("name", Value::text("echo"))]),
            workers: (1..=n).map(worker).collect(),
            seconds: Some(1.0),
        }
    }

    fn choice() -> Choice {
        Choice::new(None, false, Duration::from_secs(2)).unwrap()
    }

    #[test]
    fn it_fits_every_screen() {
        for (width, height) in [(80, 24), (200, 50), (20, 4), (1, 1), (80, 7)] {
            let size = Size {
                width,
                height,
                utf8: true,
            };
            let lines = lines(&view(30), &mut choice(), Some("no connection"), &size);
            assert_eq!(lines.len(), height);
            for line in &lines {
                let painted = line.paint(false, Some(width));
                assert!(crate::text::width(&painted) <= width, "{width}: {painted}");
            }
        }
    }

    #[test]
    fn eighty_columns_hold_the_rates() {
        let size = |width| Size {
            width,
            height: 24,
            utf8: true,
        };
        let head = |width| lines(&view(3), &mut choice(), None, &size(width))[3].paint(false, None);
        for title in [
            "SLOT", "PID", "STATE", "CLIENTS", "ACC/S", "REQ/S", "CPU", "RSS",
        ] {
            assert!(head(80).contains(title), "{title}: {}", head(80));
        }
        assert!(!head(80).contains("LAST END") && head(200).contains("LAST END"));
    }

    #[test]
    fn sorting() {
        let slots = |choice: &Choice| -> Vec<i64> {
            choice
                .sorted(&view(3).workers)
                .iter()
                .filter_map(|w| w.get("slot").int())
                .collect()
        };
        let mut choice = choice();
        assert_eq!(slots(&choice), [1, 2, 3]);
        choice.press(Key::Char('C'));
        assert_eq!(slots(&choice), [3, 2, 1]);
        choice.press(Key::Char('r'));
        assert_eq!(slots(&choice), [1, 2, 3]);
        choice.press(Key::Char('P'));
        assert_eq!(slots(&choice), [1, 3, 2], "what is not known comes last");
        choice.press(Key::Left);
        assert_eq!(choice.sort, "requests_per_second");
        let by_title = Choice::new(Some("acc/s"), true, Duration::from_secs(1)).unwrap();
        assert_eq!(
            (by_title.sort.as_str(), by_title.down),
            ("accepts_per_second", false)
        );
        assert!(
            Choice::new(Some("x"), false, Duration::from_secs(1))
                .unwrap_err()
                .contains("clients")
        );
    }

    #[test]
    fn scrolling_ends_at_the_last_row() {
        let size = Size {
            width: 80,
            height: 10,
            utf8: true,
        };
        let mut choice = choice();
        for _ in 0..10 {
            choice.press(Key::PageDown);
        }
        let lines = lines(&view(30), &mut choice, None, &size);
        assert_eq!(choice.first, 25);
        assert!(lines[8].paint(false, None).trim_start().starts_with("30"));
    }
}
