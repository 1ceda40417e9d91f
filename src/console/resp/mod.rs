//! Commands as clients write them: RESP arrays of bulk strings, or inline, a line of
//! words. Pure and incremental: the same bytes give the same commands, however they
//! are cut into pieces.
//!
//! Source: the Redis serialization protocol specification.

mod inline;

use inline::{is_http, split};

/// Longest command, and so the most that a connection may have unread: far more than any
/// command of ours needs, far less than what would hurt with all connections in use.
pub(super) const LONGEST: usize = 64 * 1024;
/// "$0\r\n\r\n": no command has more words than it has room for.
const MOST_WORDS: usize = LONGEST / 6;

pub(super) type Words = Vec<Vec<u8>>;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// No whole command yet.
    More,
    Command(Words),
    /// Something that must not go on: the rest of the stream means nothing.
    Broken(String),
    /// A browser or an HTTP client: whatever it says, somebody else made it say that.
    Http,
}

#[derive(Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    /// Where the current command begins, and how far it was looked at.
    start: usize,
    at: usize,
    /// Words that the current array still lacks; None: its beginning was not seen.
    missing: Option<usize>,
    words: Words,
    broken: bool,
}

impl Parser {
    /// How many more bytes may be fed now.
    pub(super) fn room(&self) -> usize {
        (LONGEST + 2).saturating_sub(self.len())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.at -= self.start;
            self.start = 0;
            self.bytes.shrink_to(4096); // idle connections cost little
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are no command yet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The next command.
    pub(super) fn next(&mut self) -> Parsed {
        if self.broken {
            return Parsed::More;
        }
        let parsed = self.parse();
        match &parsed {
            Parsed::Command(_) => {
                self.start = self.at;
                self.missing = None;
            }
            Parsed::Broken(_) | Parsed::Http => {
                self.broken = true;
                self.bytes = Vec::new();
                (self.start, self.at) = (0, 0);
            }
            Parsed::More => {}
        }
        parsed
    }

    fn parse(&mut self) -> Parsed {
        loop {
            match (self.missing, self.bytes.get(self.start)) {
                (_, None) => return Parsed::More,
                (Some(_), _) => return self.rest_of_array(),
                // An empty line, or an empty array: nothing is asked, nothing answered.
                (None, Some(b'*')) => match self.begin_array() {
                    Some(Parsed::Command(words)) if words.is_empty() => self.start = self.at,
                    Some(other) => return other,
                    None => {}
                },
                (None, Some(_)) => match self.inline() {
                    Parsed::Command(words) if words.is_empty() => self.start = self.at,
                    other => return other,
                },
            }
        }
    }

    /// A line from `at` on, without its end. Outer None: not there yet.
    fn line(&mut self, longest: usize) -> Option<Result<(usize, usize), ()>> {
        let from = self.at;
        let ahead = &self.bytes[from..];
        match ahead.iter().take(longest + 2).position(|b| *b == b'\n') {
            Some(end) => {
                self.at = from + end + 1;
                let end = if end > 0 && ahead[end - 1] == b'\r' {
                    end - 1
                } else {
                    end
                };
                Some(Ok((from, from + end)))
            }
            None if ahead.len() >= longest + 2 => Some(Err(())),
            None => None,
        }
    }

    /// A number behind `*` or `$`; it ends with CR LF.
    fn number(&mut self) -> Option<Result<i64, ()>> {
        const LONGEST_NUMBER: usize = 32;
        let (from, end) = match self.line(LONGEST_NUMBER)? {
            Ok(found) => found,
            Err(()) => return Some(Err(())),
        };
        if self.bytes.get(end) != Some(&b'\r') {
            return Some(Err(()));
        }
        let text = std::str::from_utf8(&self.bytes[from + 1..end]).unwrap_or("");
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        Some(text.parse().ok().filter(|_| plain).ok_or(()))
    }

    fn begin_array(&mut self) -> Option<Parsed> {
        self.at = self.start;
        let words = match self.number() {
            None => return Some(Parsed::More),
            Some(Ok(n)) => usize::try_from(n).ok().filter(|n| *n <= MOST_WORDS),
            Some(Err(())) => None,
        };
        match words {
            None => Some(broken("invalid multibulk length")),
            Some(0) => Some(Parsed::Command(Vec::new())),
            Some(n) => {
                self.missing = Some(n);
                self.words = Vec::new();
                None
            }
        }
    }

    fn rest_of_array(&mut self) -> Parsed {
        while let Some(missing @ 1..) = self.missing {
            let from = self.at;
            if from - self.start + "$0\r\n\r\n".len() > LONGEST {
                return broken(&format!("a command has at most {LONGEST} bytes"));
            }
            match self.bytes.get(from) {
                None => return Parsed::More,
                Some(b'$') => {}
                Some(other) => {
                    let shown = char::from(*other).escape_default();
                    return broken(&format!("expected '$', got '{shown}'"));
                }
            }
            let len = match self.number() {
                None => return Parsed::More,
                Some(Ok(n)) => usize::try_from(n).ok(),
                Some(Err(())) => None,
            };
            let left = LONGEST.saturating_sub(self.at - self.start + 2);
            let Some(len) = len.filter(|len| *len <= left) else {
                return broken(&format!(
                    "invalid bulk length: a command has at most {LONGEST} bytes"
                ));
            };
            let begin = self.at;
            if self.bytes.len() < begin + len + 2 {
                // Look at this word from its beginning when there is more.
                self.at = from;
                return Parsed::More;
            }
            if &self.bytes[begin + len..begin + len + 2] != b"\r\n" {
                return broken("a bulk string does not end with CR LF");
            }
            self.words.push(self.bytes[begin..begin + len].to_vec());
            self.at = begin + len + 2;
            self.missing = Some(missing - 1);
        }
        Parsed::Command(std::mem::take(&mut self.words))
    }

    fn inline(&mut self) -> Parsed {
        self.at = self.start;
        let (from, end) = match self.line(LONGEST) {
            None => return Parsed::More,
            Some(Err(())) => return broken("too big inline request"),
            Some(Ok(found)) => found,
        };
        let line = &self.bytes[from..end];
        if line.contains(&0) {
            return broken("a NUL byte in an inline request");
        }
        match split(line) {
            None => broken("unbalanced quotes in request"),
            Some(words) if is_http(&words) => Parsed::Http,
            Some(words) => Parsed::Command(words),
        }
    }
}

fn broken(why: &str) -> Parsed {
    Parsed::Broken(format!("ERR Protocol error: {why}"))
}

#[cfg(test)]
mod tests;
