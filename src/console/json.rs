//! JSON, written: what the console's values and dtmctl's have in common. Pure.

use std::fmt::Write;

/// A string in quotes.
pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `[a,b]`, `{a,b}`: each part is written by `write`.
pub(crate) fn joined<T>(
    out: &mut String,
    (open, close): (char, char),
    parts: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    out.push(open);
    for (i, part) in parts.into_iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        write(out, part);
    }
    out.push(close);
}

pub(crate) const LIST: (char, char) = ('[', ']');
pub(crate) const OBJECT: (char, char) = ('{', '}');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_lists() {
        let mut out = String::new();
        joined(&mut out, LIST, ["a\u{1}\"", "\\\r\n\tü"], text);
        assert_eq!(out, r#"["a\u0001\"","\\\r\n\tü"]"#);
        out.clear();
        joined(&mut out, OBJECT, Vec::<&str>::new(), text);
        assert_eq!(out, "{}");
    }
}
