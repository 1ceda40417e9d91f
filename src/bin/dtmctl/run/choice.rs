//! What the operator of `top` has chosen, by keys or by options: the column to sort by, the
//! first row, the interval. Pure.

use super::columns;
use crate::table::Column;
use crate::term::Key;
use crate::value::Value;
use std::cmp::Ordering;
use std::time::Duration;

/// What the operator has chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// The key of a column.
    pub(crate) sort: String,
    pub(crate) down: bool,
    /// Rows that are scrolled away.
    pub(crate) first: usize,
    pub(crate) interval: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Redraw,
    Quit,
    Nothing,
}

pub(crate) fn sortable() -> Vec<Column> {
    columns::top()
        .into_iter()
        .filter(|c| c.key != "bar")
        .collect()
}

/// Slots count up, names too; of numbers the largest is what one looks for.
fn begins_down(key: &str) -> bool {
    !["slot", "pid", "state", "generation", "last_end"].contains(&key)
}

impl Choice {
    /// `sort`: a column's title or key. An error names the columns.
    pub(crate) fn new(
        sort: Option<&str>,
        reverse: bool,
        interval: Duration,
    ) -> Result<Self, String> {
        let wanted = sort.unwrap_or("slot");
        let is_it = |c: &&Column| {
            c.title.eq_ignore_ascii_case(wanted) || c.key.eq_ignore_ascii_case(wanted)
        };
        let all = sortable();
        let Some(found) = all.iter().find(is_it) else {
            let names: Vec<String> = all.iter().map(|c| c.title.to_lowercase()).collect();
            return Err(format!("--sort {wanted}: one of {}", names.join(", ")));
        };
        Ok(Self {
            sort: found.key.clone(),
            down: begins_down(&found.key) != reverse,
            first: 0,
            interval,
        })
    }

    fn sort_by(&mut self, key: &str) {
        self.down = begins_down(key);
        self.sort = key.into();
    }

    fn move_sort(&mut self, by: isize) {
        let all = sortable();
        let at = all.iter().position(|c| c.key == self.sort).unwrap_or(0);
        let next = at.saturating_add_signed(by).min(all.len() - 1);
        self.sort_by(&all[next].key);
    }

    pub(crate) fn press(&mut self, key: Key) -> Wish {
        match key {
            Key::Char('q' | 'Q' | '\u{3}') => return Wish::Quit,
            Key::Char('<' | ',') | Key::Left => self.move_sort(-1),
            Key::Char('>' | '.') | Key::Right => self.move_sort(1),
            Key::Char('r' | 'R') => self.down = !self.down,
            // As in top(1).
            Key::Char('P') => self.sort_by("cpu"),
            Key::Char('M') => self.sort_by("rss_bytes"),
            Key::Char('T') => self.sort_by("age_seconds"),
            Key::Char('N') => self.sort_by("slot"),
            Key::Char('C') => self.sort_by("clients"),
            Key::Char('+' | '=') => {
                self.interval = (self.interval * 2).min(Duration::from_secs(60))
            }
            Key::Char('-') => self.interval = (self.interval / 2).max(Duration::from_millis(250)),
            Key::Up => self.first = self.first.saturating_sub(1),
            Key::Down => self.first += 1,
            Key::PageUp => self.first = self.first.saturating_sub(10),
            Key::PageDown => self.first += 10,
            Key::Char(_) => return Wish::Nothing,
        }
        Wish::Redraw
    }

    /// Sorted; equal ones by slot.
    pub(crate) fn sorted(&self, workers: &[Value]) -> Vec<Value> {
        let mut workers = workers.to_vec();
        workers.sort_by(|a, b| {
            let order = compare(a.get(&self.sort), b.get(&self.sort), self.down);
            order.then_with(|| compare(a.get("slot"), b.get("slot"), false))
        });
        workers
    }
}

/// What is not known comes last, either way.
fn compare(a: &Value, b: &Value, down: bool) -> Ordering {
    let order = match (a, b) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        _ => match (a.number(), b.number()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.shown().cmp(&b.shown()),
        },
    };
    if down { order.reverse() } else { order }
}
