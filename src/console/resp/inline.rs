//! Inline commands: a line of words, with quotes and escapes as redis-cli has them. Pure.

use super::Words;

/// "GET / HTTP/1.1", or the headers that a browser cannot leave away.
pub(super) fn is_http(words: &Words) -> bool {
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
