//! Lines of coloured text that know how wide they are. Pure.

/// What is said by colour. The words say it, too: colour is never the only sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    /// Labels, old things.
    Dim,
    Bold,
    /// Serves, done.
    Good,
    /// On its way, worth a look.
    Warn,
    /// Failed.
    Bad,
    /// Numbers and names of interest.
    Name,
    /// The head of a table.
    Head,
}

impl Colour {
    /// The sixteen colours of every terminal, as its owner has set them.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Name => "\x1b[36m",
            Self::Head => "\x1b[7m",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line {
    spans: Vec<(Option<Colour>, String)>,
}

impl Line {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::default().and(Colour::Plain, text)
    }

    pub(crate) fn of(colour: Colour, text: impl Into<String>) -> Self {
        Self::default().and(colour, text)
    }

    pub(crate) fn and(mut self, colour: Colour, text: impl Into<String>) -> Self {
        let colour = (colour != Colour::Plain).then_some(colour);
        self.spans.push((colour, clean(&text.into())));
        self
    }

    pub(crate) fn append(mut self, other: Line) -> Self {
        self.spans.extend(other.spans);
        self
    }

    pub(crate) fn width(&self) -> usize {
        self.spans.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line's bytes, at most `room` wide.
    pub(crate) fn paint(&self, coloured: bool, room: Option<usize>) -> String {
        let mut out = String::new();
        let mut left = room.unwrap_or(usize::MAX);
        for (colour, text) in &self.spans {
            let text = cut(text, left);
            left -= width(&text);
            match colour.filter(|_| coloured && !text.is_empty()) {
                Some(colour) => out += &format!("{}{text}\x1b[0m", colour.code()),
                None => out += &text,
            }
        }
        if !coloured && room.is_none() {
            out.truncate(out.trim_end().len());
        }
        out
    }
}

/// What the service says may hold anything: nothing of it reaches the terminal as a command.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            // Marks that turn the direction of text around.
            '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// Columns on a terminal, near enough: East Asian and emoji take two, accents none.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// As much of it as there is room for.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.into();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += char_width(c);
        if used > room {
            break;
        }
        out.push(c);
    }
    out
}

/// Broken between words; a word that is too long stays whole.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Spaces within a line that fits are an example's.
    if width(text) <= room {
        return vec![text.into()];
    }
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// Wider text stays as it is.
pub(crate) fn pad(text: &str, to: usize, right: bool) -> String {
    let space = " ".repeat(to.saturating_sub(width(text)));
    if right {
        space + text
    } else {
        text.to_owned() + &space
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_reaches_the_terminal() {
        let line = Line::plain("a\x1b[2Jb\nc\u{9b}1m\u{202e}d");
        let painted = line.paint(true, None);
        assert!(
            !painted.contains(['\x1b', '\n', '\u{9b}', '\u{202e}']),
            "{painted}"
        );
        assert!(painted.starts_with("a\\u{1b}[2Jb\\nc"), "{painted}");
    }

    #[test]
    fn colour_and_width() {
        let line = Line::of(Colour::Good, "open").and(Colour::Plain, " 中文é");
        assert_eq!(line.width(), 10);
        assert_eq!(line.paint(false, None), "open 中文é");
        assert_eq!(line.paint(true, Some(8)), "\x1b[32mopen\x1b[0m 中");
        assert_eq!(Line::plain("x  ").paint(false, None), "x");
        assert_eq!(cut("中文", 3), "中");
        assert_eq!(pad("中", 4, true), "  中");
        assert_eq!(wrap("ab  c", 5), ["ab  c"]);
        assert_eq!(wrap("ab c defghij k", 5), ["ab c", "defghij", "k"]);
    }
}
