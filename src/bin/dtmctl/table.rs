//! Tables of maps, laid out for the width that there is. Pure.

use crate::human::{Kind, state_colour};
use crate::text::{Colour, Line, cut, pad, width};
use crate::value::Value;

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// Of the maps.
    pub(crate) key: String,
    pub(crate) title: String,
    /// The higher, the sooner it is left out where there is no room; 0: never.
    pub(crate) rank: u8,
}

pub(crate) fn column(key: &str, title: &str, rank: u8) -> Column {
    Column {
        key: key.into(),
        title: title.into(),
        rank,
    }
}

/// Columns for rows that nobody has laid out: all keys, the first ones kept longest.
pub(crate) fn columns_of(rows: &[Value]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for row in rows {
        let Value::Map(pairs) = row else { continue };
        for (key, _) in pairs {
            let key = key.shown();
            if columns.iter().all(|c| c.key != key) {
                let rank = u8::try_from(columns.len()).unwrap_or(u8::MAX);
                columns.push(column(&key, &title_of(&key), rank));
            }
        }
    }
    columns
}

/// `rss_bytes` -> `RSS`: the unit stands behind the number.
fn title_of(key: &str) -> String {
    let ends = ["_seconds", "_bytes", "_ms", "_at"];
    let bare = ends
        .iter()
        .find_map(|end| key.strip_suffix(end))
        .unwrap_or(key);
    bare.to_uppercase().replace('_', " ")
}

pub(crate) struct Table<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) rows: &'a [Value],
    /// The key by which it is sorted, marked in the head.
    pub(crate) sorted: Option<(&'a str, bool)>,
    /// Columns on the terminal; None: all that is needed.
    pub(crate) room: Option<usize>,
    pub(crate) utf8: bool,
    /// Seconds since 1970, for moments.
    pub(crate) now: f64,
}

const GAP: usize = 2;

struct Cell {
    text: String,
    colour: Colour,
    right: bool,
}

impl Table<'_> {
    /// The head, then a line for each row.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let titles: Vec<String> = self.columns.iter().map(|c| self.title(c)).collect();
        let cells: Vec<Vec<Cell>> = self.rows.iter().map(|row| self.cells(row)).collect();
        let mut widths: Vec<usize> = titles.iter().map(|t| width(t)).collect();
        for row in &cells {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(&cell.text));
            }
        }
        let shown = self.fitting(&widths);
        self.shorten_last(&shown, &mut widths);
        // A number's title stands above the number.
        let right = |at: usize| cells.iter().any(|row| row[at].right);
        let mut head = String::new();
        for (i, &at) in shown.iter().enumerate() {
            let gap = if i > 0 {
                " ".repeat(GAP)
            } else {
                String::new()
            };
            head += &(gap + &pad(&cut(&titles[at], widths[at]), widths[at], right(at)));
        }
        let fill = self
            .room
            .map_or(0, |room| room.saturating_sub(width(&head)));
        let mut lines = vec![Line::of(Colour::Head, head + &" ".repeat(fill))];
        for row in &cells {
            let mut line = Line::default();
            for (i, &at) in shown.iter().enumerate() {
                let cell = &row[at];
                let gap = if i > 0 {
                    " ".repeat(GAP)
                } else {
                    String::new()
                };
                let text = pad(&cut(&cell.text, widths[at]), widths[at], right(at));
                line = line.and(Colour::Plain, gap).and(cell.colour, text);
            }
            lines.push(line);
        }
        lines
    }

    fn title(&self, column: &Column) -> String {
        match self.sorted {
            Some((key, down)) if key == column.key => {
                let mark = match (self.utf8, down) {
                    (true, true) => "▼",
                    (true, false) => "▲",
                    (false, true) => "v",
                    (false, false) => "^",
                };
                format!("{}{mark}", column.title)
            }
            _ => column.title.clone(),
        }
    }

    fn cells(&self, row: &Value) -> Vec<Cell> {
        self.columns
            .iter()
            .map(|column| {
                let value = row.get(&column.key);
                let text = Kind::of(&column.key).show(value, self.now);
                Cell {
                    colour: match value {
                        Value::Null => Colour::Dim,
                        _ if column.key == "bar" => Colour::Name,
                        _ if ["state", "result", "event"].contains(&column.key.as_str()) => {
                            state_colour(&text)
                        }
                        _ => Colour::Plain,
                    },
                    right: !matches!(value, Value::Text(_) | Value::Null | Value::Bool(_)),
                    text: crate::text::clean(&text),
                }
            })
            .collect()
    }

    /// Which columns there is room for.
    fn fitting(&self, widths: &[usize]) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..widths.len()).collect();
        let Some(room) = self.room else { return shown };
        let needed = |shown: &[usize]| -> usize {
            shown
                .iter()
                .map(|&at| widths[at] + GAP)
                .sum::<usize>()
                .saturating_sub(GAP)
        };
        while needed(&shown) > room {
            let last = (0..shown.len()).max_by_key(|&i| (self.columns[shown[i]].rank, i));
            match last {
                Some(i) if self.columns[shown[i]].rank > 0 => shown.remove(i),
                _ => break,
            };
        }
        shown
    }

    /// Text in the last column, such as a reason, takes what is left.
    fn shorten_last(&self, shown: &[usize], widths: &mut [usize]) {
        let (Some(room), Some(&last)) = (self.room, shown.last()) else {
            return;
        };
        let before: usize = shown[..shown.len() - 1]
            .iter()
            .map(|&at| widths[at] + GAP)
            .sum();
        widths[last] = widths[last].min(room.saturating_sub(before).max(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    fn rows() -> Vec<Value> {
        let row = |slot, state: &str, rss| {
            map([
                ("slot", Value::Int(slot)),
                ("state", Value::text(state)),
                ("rss_bytes", rss),
            ])
        };
        vec![
            row(1, "open", Value::Int(3 << 20)),
            row(12, "dead", Value::Null),
        ]
    }

    fn lines(room: Option<usize>, columns: &[Column]) -> Vec<String> {
        let table = Table {
            columns,
            rows: &rows(),
            sorted: Some(("slot", true)),
            room,
            utf8: true,
            now: 0.0,
        };
        table.lines().iter().map(|l| l.paint(false, room)).collect()
    }

    #[test]
    fn numbers_to_the_right() {
        let columns = columns_of(&rows());
        assert_eq!(
            lines(None, &columns),
            [
                "SLOT▼  STATE   RSS",
                "    1  open   3.0M",
                "   12  dead      -"
            ]
        );
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let columns = [
            column("slot", "SLOT", 0),
            column("state", "STATE", 2),
            column("rss_bytes", "RSS", 1),
        ];
        assert_eq!(lines(Some(12), &columns)[1], "    1  3.0M");
        assert_eq!(lines(Some(5), &columns)[0], "SLOT▼");
        for room in 0..30 {
            for line in lines(Some(room), &columns) {
                assert!(width(&line) <= room, "{room}: {line}");
            }
        }
    }

    #[test]
    fn colours_of_states() {
        let columns = [column("state", "STATE", 0)];
        let table = Table {
            columns: &columns,
            rows: &rows(),
            sorted: None,
            room: None,
            utf8: true,
            now: 0.0,
        };
        assert!(table.lines()[1].paint(true, None).contains("\x1b[32mopen"));
        assert!(table.lines()[2].paint(true, None).contains("\x1b[31mdead"));
    }
}
