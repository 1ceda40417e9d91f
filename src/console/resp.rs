//! Commands as clients write them: RESP arrays of bulk strings, or inline, a line of
//! words. Pure and incremental: the same bytes give the same commands, however they
//! are cut into pieces.
//!
//! Source: the Redis serialization protocol specification.

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

/// "GET / HTTP/1.1", or the headers that a browser cannot leave away.
fn is_http(words: &Words) -> bool {
    let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
    words.last().is_some_and(|last| last.starts_with(b"HTTP/"))
        || words
            .first()
            .is_some_and(|first| is(first, "post") || is(first, "host:"))
}

/// The words of a line, with quotes and escapes as redis-cli has them. None: a quote is
/// not closed, or something follows it directly.
pub(super) fn split(line: &[u8]) -> Option<Words> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let mut word = Vec::new();
        match line.get(at) {
            None => return Some(words),
            Some(quote @ (b'"' | b'\'')) => at = quoted(line, at + 1, *quote, &mut word)?,
            Some(_) => {
                let len = line[at..]
                    .iter()
                    .take_while(|b| !b.is_ascii_whitespace())
                    .count();
                word.extend_from_slice(&line[at..at + len]);
                at += len;
            }
        }
        words.push(word);
    }
}

/// From behind the opening quote to behind the closing one.
fn quoted(line: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        let byte = *line.get(at)?;
        at += 1;
        if byte == quote {
            return line
                .get(at)
                .is_none_or(u8::is_ascii_whitespace)
                .then_some(at);
        }
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        let escaped = *line.get(at)?;
        let hex = |i: usize| char::from(*line.get(i)?).to_digit(16);
        at += 1;
        match (quote, escaped) {
            (b'\'', b'\'') => word.push(b'\''),
            (b'\'', other) => word.extend([b'\\', other]),
            (_, b'x') if hex(at).is_some() && hex(at + 1).is_some() => {
                word.push(u8::try_from(hex(at)? * 16 + hex(at + 1)?).ok()?);
                at += 2;
            }
            (_, b'n') => word.push(b'\n'),
            (_, b'r') => word.push(b'\r'),
            (_, b't') => word.push(b'\t'),
            (_, b'b') => word.push(8),
            (_, b'a') => word.push(7),
            (_, other) => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that the bytes say, fed in pieces of these sizes (the last one again and again).
    fn parse(bytes: &[u8], pieces: &[usize]) -> Vec<Parsed> {
        let (mut parser, mut found, mut at, mut piece) = (Parser::default(), Vec::new(), 0, 0);
        loop {
            let size = pieces[piece.min(pieces.len() - 1)].max(1);
            piece += 1;
            let end = bytes.len().min(at + size.min(parser.room().max(1)));
            parser.feed(&bytes[at..end]);
            at = end;
            loop {
                match parser.next() {
                    Parsed::More => break,
                    Parsed::Command(words) => found.push(Parsed::Command(words)),
                    end => {
                        found.push(end);
                        return found;
                    }
                }
            }
            assert!(parser.room() > 0, "stuck: no room and no command");
            if at == bytes.len() {
                return found;
            }
        }
    }

    fn command(words: &[&str]) -> Parsed {
        Parsed::Command(words.iter().map(|w| w.as_bytes().to_vec()).collect())
    }

    fn one(bytes: &[u8]) -> Parsed {
        let mut all = parse(bytes, &[bytes.len()]);
        assert!(all.len() <= 1, "{all:?}");
        all.pop().unwrap_or(Parsed::More)
    }

    #[test]
    fn both_syntaxes() {
        assert_eq!(
            one(b"*2\r\n$4\r\nINFO\r\n$0\r\n\r\n"),
            command(&["INFO", ""])
        );
        assert_eq!(one(b"info server\r\n"), command(&["info", "server"]));
        assert_eq!(one(b"info\n"), command(&["info"]));
        assert_eq!(
            one(b"set \"a \\x41\\n\" 'it\\'s' \n"),
            command(&["set", "a A\n", "it's"])
        );
        let empty = parse(b"\r\n*0\r\n  \nping\r\n", &[99]);
        assert_eq!(empty, [command(&["ping"])]);
    }

    #[test]
    fn binary_words() {
        let found = one(b"*1\r\n$4\r\n\0\r\n\xff\r\n");
        assert_eq!(found, Parsed::Command(vec![b"\0\r\n\xff".to_vec()]));
    }

    /// H01
    #[test]
    fn what_is_no_command_ends_the_stream() {
        for (bytes, why) in [
            (&b"*-2\r\n"[..], "multibulk length"),
            (b"*x\r\n", "multibulk length"),
            (b"*+1\r\n", "multibulk length"),
            (b"*\r\n", "multibulk length"),
            (b"*1\n", "multibulk length"),
            (b"*10924\r\n", "multibulk length"),
            (b"*99999999999999999999\r\n", "multibulk length"),
            (
                b"*11111111111111111111111111111111111111111111",
                "multibulk length",
            ),
            (b"*1\r\n$9999999999\r\n", "bulk length"),
            (b"*1\r\n$-1\r\n", "bulk length"),
            (b"*1\r\n$1073741824\r\n", "bulk length"),
            (b"*1\r\n*1\r\n$4\r\nping\r\n", "expected '$', got '*'"),
            (b"*1\r\n\r\n", "expected '$', got '\\r'"),
            (b"*1\r\n$4\r\npingXX", "CR LF"),
            (b"a\0b\r\n", "NUL"),
            (b"say \"x\r\n", "quotes"),
            (b"say \"x\"y\r\n", "quotes"),
        ] {
            match one(bytes) {
                Parsed::Broken(text) => {
                    assert!(text.starts_with("ERR Protocol error: "), "{text}");
                    assert!(text.contains(why), "{text}: {why}");
                }
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
    }

    /// S2: what is announced is not waited for, and not stored.
    #[test]
    fn limits_hold_at_their_edges() {
        let of = |len: usize| format!("*1\r\n${len}\r\n{}\r\n", "x".repeat(len)).into_bytes();
        let overhead = of(60_000).len() - 60_000;
        let fits = of(LONGEST - overhead);
        assert_eq!(fits.len(), LONGEST);
        assert!(matches!(one(&fits), Parsed::Command(_)));
        assert!(matches!(
            one(&of(LONGEST - overhead + 1)),
            Parsed::Broken(_)
        ));
        let line = |len: usize| "x".repeat(len).into_bytes();
        let fits = [line(LONGEST), b"\r\n".to_vec()].concat();
        assert!(matches!(one(&fits), Parsed::Command(_)));
        assert!(matches!(one(&line(LONGEST + 2)), Parsed::Broken(_)));
        assert_eq!(one(&line(LONGEST + 1)), Parsed::More);
    }

    /// H04
    #[test]
    fn http_is_no_language_of_ours() {
        for line in [
            "GET / HTTP/1.1",
            "POST / HTTP/1.0",
            "post x",
            "Host: localhost",
            "OPTIONS * HTTP/2",
        ] {
            assert_eq!(
                one(format!("{line}\r\nx: y\r\n\r\n").as_bytes()),
                Parsed::Http
            );
        }
    }

    fn any_input() -> impl Strategy<Value = Vec<u8>> {
        let words = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..5);
        let array = words.prop_map(|words| {
            let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
            for word in words {
                bytes.extend(format!("${}\r\n", word.len()).bytes());
                bytes.extend(word);
                bytes.extend(b"\r\n");
            }
            bytes
        });
        let piece = prop_oneof![
            4 => array,
            2 => "[a-z\"' \\\\]{0,20}\r?\n".prop_map(String::into_bytes),
            1 => "[*$][0-9-]{0,6}\r?\n?".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// H01, H02: any split of the bytes gives the same result.
        #[test]
        fn pieces_do_not_matter(bytes in any_input(), pieces in proptest::collection::vec(1usize..9, 1..20)) {
            let whole = parse(&bytes, &[usize::MAX / 2]);
            prop_assert_eq!(&parse(&bytes, &pieces), &whole);
            prop_assert_eq!(&parse(&bytes, &[1]), &whole);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            parse(&bytes, &[3]);
        }
    }
}
