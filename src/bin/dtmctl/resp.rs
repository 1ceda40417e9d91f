//! RESP3 as a client speaks it: commands to bytes, bytes to values. Pure.

use crate::value::Value;

/// No answer of a console is nearly as large, or as deep: what is, is not one.
const LARGEST: usize = 64 << 20;
const LONGEST_LINE: usize = 64 << 10;
const DEEPEST: usize = 32;

/// A command as an array of strings.
pub(crate) fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

/// Bytes as they come, values as they are complete.
#[derive(Default)]
pub(crate) struct Parser {
    bytes: Vec<u8>,
}

impl Parser {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// None: more bytes are needed. An error says what came instead; whether there is one
    /// does not depend on the pieces in which the bytes came.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let mut cursor = Cursor {
            all: &self.bytes,
            at: 0,
        };
        match cursor.value(0) {
            Ok(value) if cursor.at <= LARGEST => {
                let used = cursor.at;
                self.bytes.drain(..used);
                Ok(Some(value))
            }
            Err(Stop::More) if self.bytes.len() <= LARGEST => Ok(None),
            Ok(_) | Err(Stop::More) => Err("an answer without an end".into()),
            Err(Stop::Wrong) => Err(describe(&self.bytes)),
        }
    }
}

/// The beginning of what is no RESP, fit for an error message.
fn describe(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\n' || *b == b'\r').next();
    let text = String::from_utf8_lossy(line.unwrap_or(bytes));
    let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.starts_with("HTTP/") {
        format!("an HTTP server's \"{short}\"")
    } else {
        format!("\"{short}\"")
    }
}

enum Stop {
    More,
    Wrong,
}

struct Cursor<'a> {
    all: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn line(&mut self) -> Result<&str, Stop> {
        let rest = &self.all[self.at..];
        let line = &rest[..rest.len().min(LONGEST_LINE + 2)];
        let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
            // Who sends more without an end is no console.
            return Err(if line.len() == LONGEST_LINE + 2 {
                Stop::Wrong
            } else {
                Stop::More
            });
        };
        self.at += end + 2;
        std::str::from_utf8(&rest[..end]).map_err(|_| Stop::Wrong)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, Stop> {
        self.line()?.parse().map_err(|_| Stop::Wrong)
    }

    /// None: RESP2's null.
    fn length(&mut self) -> Result<Option<usize>, Stop> {
        match self.number::<i64>()? {
            -1 => Ok(None),
            n => match usize::try_from(n) {
                Ok(n) if n <= LARGEST => Ok(Some(n)),
                _ => Err(Stop::Wrong),
            },
        }
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        let Some(len) = self.length()? else {
            return Ok(None);
        };
        let rest = &self.all[self.at..];
        let Some(found) = rest.get(..len + 2) else {
            return Err(Stop::More);
        };
        if !found.ends_with(b"\r\n") {
            return Err(Stop::Wrong);
        }
        self.at += len + 2;
        Ok(Some(found[..len].to_vec()))
    }

    fn list(&mut self, depth: usize) -> Result<Option<Vec<Value>>, Stop> {
        let Some(len) = self.length()? else {
            return Ok(None);
        };
        // Not reserved ahead: the number is only a claim.
        (0..len)
            .map(|_| self.value(depth + 1))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        let kind = *self.all.get(self.at).ok_or(Stop::More)?;
        if depth > DEEPEST {
            return Err(Stop::Wrong);
        }
        self.at += 1;
        Ok(match kind {
            b'_' => self.line().map(|_| Value::Null)?,
            b'#' => Value::Bool(self.line()? == "t"),
            b':' => Value::Int(self.number()?),
            b',' => Value::Double(self.number()?),
            b'+' | b'(' => Value::text(self.line()?),
            b'-' => Value::Error(self.line()?.to_owned()),
            b'!' => match self.bytes()? {
                Some(bytes) => Value::Error(String::from_utf8_lossy(&bytes).into_owned()),
                None => Value::Null,
            },
            b'$' => self.bytes()?.map_or(Value::Null, Value::Text),
            b'=' => {
                // `txt:` stands before the text.
                let bytes = self.bytes()?.ok_or(Stop::Wrong)?;
                Value::Text(bytes.get(4..).ok_or(Stop::Wrong)?.to_vec())
            }
            b'*' | b'~' => self.list(depth)?.map_or(Value::Null, Value::List),
            b'>' => Value::Push(self.list(depth)?.ok_or(Stop::Wrong)?),
            b'%' => {
                let len = self.length()?.ok_or(Stop::Wrong)?;
                let pair = |_| Ok((self.value(depth + 1)?, self.value(depth + 1)?));
                Value::Map((0..len).map(pair).collect::<Result<_, _>>()?)
            }
            _ => return Err(Stop::Wrong),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::map;

    const ALL: &[u8] = b"%2\r\n$1\r\na\r\n*3\r\n:-5\r\n,0.25\r\n#t\r\n+b\r\n_\r\n>2\r\n=5\r\ntxt:x\r\n$-1\r\n-ERR no\r\n";

    fn expected() -> Vec<Value> {
        let list = Value::List(vec![Value::Int(-5), Value::Double(0.25), Value::Bool(true)]);
        vec![
            map([("a", list), ("b", Value::Null)]),
            Value::Push(vec![Value::text("x"), Value::Null]),
            Value::Error("ERR no".into()),
        ]
    }

    #[test]
    fn any_split_gives_the_same() {
        for split in 0..=ALL.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for part in [&ALL[..split], &ALL[split..]] {
                parser.feed(part);
                while let Some(value) = parser.next().unwrap() {
                    found.push(value);
                }
            }
            assert_eq!(found, expected(), "split at {split}");
            assert!(parser.is_empty());
        }
    }

    #[test]
    fn what_no_console_says() {
        let say = |bytes: &[u8]| {
            let mut parser = Parser::default();
            parser.feed(bytes);
            parser.next()
        };
        let http = say(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
        assert_eq!(http, "an HTTP server's \"HTTP/1.1 400 Bad Request\"");
        assert_eq!(say(b"error \x1b[2J\n").unwrap_err(), "\"error \\u{1b}[2J\"");
        for wrong in [
            &b"$5\r\nabcdefg"[..],
            b":x\r\n",
            b"$-2\r\n",
            b"*99999999999\r\n",
            b"=2\r\nab\r\n",
        ] {
            assert!(say(wrong).is_err(), "{wrong:?}");
        }
        assert!(say(&b"*1\r\n".repeat(1000)).is_err());
        assert!(say(&[b'+'; 70_000]).is_err());
        assert!(say(&[&[b'+'; 70_000][..], b"\r\n"].concat()).is_err());
        // A claim alone takes no memory.
        assert_eq!(say(b"*60000000\r\n"), Ok(None));
    }

    /// At the limits, too.
    #[test]
    fn pieces_do_not_matter_to_what_is_too_long() {
        let line = |len: usize| [&vec![b'+'; len + 1][..], b"\r\n"].concat();
        let bulk = |len: usize| {
            [
                format!("${len}\r\n").into_bytes(),
                vec![b'x'; len],
                b"\r\n".to_vec(),
            ]
            .concat()
        };
        let head = bulk(60 << 20).len() - (60 << 20);
        for (bytes, fits) in [
            (line(LONGEST_LINE), true),
            (line(LONGEST_LINE + 1), false),
            (bulk(LARGEST - head), true),
            (bulk(LARGEST - head + 1), false),
        ] {
            for last in [0, 2] {
                let mut parser = Parser::default();
                let (first, rest) = bytes.split_at(bytes.len() - last);
                parser.feed(first);
                let mut found = parser.next();
                if found == Ok(None) {
                    parser.feed(rest);
                    found = parser.next();
                }
                assert_eq!(
                    found.is_ok_and(|value| value.is_some()),
                    fits,
                    "{} {last}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn commands() {
        assert_eq!(encode(&["a", "bcd"]), b"*2\r\n$1\r\na\r\n$3\r\nbcd\r\n");
    }
}
