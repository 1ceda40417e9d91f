//! What dtmctl is answered: any split of the bytes gives the same values, or the same
//! refusal; what it writes as JSON it can read.

#[path = "../../../src/bin/dtmctl/resp.rs"]
mod resp;

use super::{Cuts, json};
use crate::value::Value;
use resp::Parser;

/// The values, and whether something came that is none.
fn parse(stream: &[u8], mut next_size: impl FnMut() -> usize) -> (Vec<Value>, bool) {
    let (mut parser, mut found, mut at) = (Parser::default(), Vec::new(), 0);
    while at < stream.len() {
        let end = stream.len().min(at.saturating_add(next_size()));
        parser.feed(&stream[at..end]);
        at = end;
        loop {
            match parser.next() {
                Ok(Some(value)) => found.push(value),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// NaN is unlike itself: compared as text.
fn shown(parsed: &(Vec<Value>, bool)) -> String {
    format!("{parsed:?}")
}

pub fn check(data: &[u8]) {
    let (mut cuts, stream) = Cuts::of(data);
    let whole = parse(stream, || usize::MAX);
    assert_eq!(shown(&parse(stream, || cuts.next_size())), shown(&whole));
    for value in &whole.0 {
        let text = value.json();
        assert!(json::parse(&text).is_some(), "not JSON: {text}");
    }
    if let Ok(text) = std::str::from_utf8(stream)
        && let Some(value) = json::parse(text)
    {
        let once = value.json();
        let again = json::parse(&once).map(|value| value.json());
        assert_eq!(again.as_ref(), Some(&once));
    }
}
