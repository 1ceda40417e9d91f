//! One metric after the other, each with its help and type. Pure.

use std::fmt::{Display, Write};

#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// What follows is of this metric: [`Text::value`] for each of its series.
    pub(super) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// `labels`: as [`label`] makes them, or nothing.
    pub(super) fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric(name, "gauge", help);
        self.value(name, "", value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "counter", help);
        self.value(name, "", value);
    }

    /// One series for each value of a label.
    pub(super) fn each<'a, V: Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        key: &str,
        values: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        self.metric(name, kind, help);
        for (text, value) in values {
            self.value(name, &label(key, text), value);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// `key="value"`
pub(super) fn label(key: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{key}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_help_and_type() {
        let mut out = Text::default();
        out.counter("x_total", "Help.", 3);
        out.value("x_total", &label("a", "b"), 0.5);
        out.each(("y", "gauge", "Y."), "k", [("a\"\\\n", 1), ("b", 2)]);
        assert_eq!(
            out.into_text(),
            "# HELP x_total Help.\n# TYPE x_total counter\nx_total 3\nx_total{a=\"b\"} 0.5\n\
             # HELP y Y.\n# TYPE y gauge\ny{k=\"a\\\"\\\\\\n\"} 1\ny{k=\"b\"} 2\n"
        );
    }
}
