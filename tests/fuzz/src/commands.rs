//! Commands to the console. H01, H02: any split of the bytes gives the same commands; no
//! more is kept than a command may have; a command in array form is read as it was written.

#[path = "../../../src/console/resp/mod.rs"]
mod resp;

use super::Cuts;
use resp::{LONGEST, Parsed, Parser};

/// All that the bytes say, in pieces of these sizes.
fn parse(stream: &[u8], mut next_size: impl FnMut() -> usize) -> Vec<Parsed> {
    let (mut parser, mut found, mut at) = (Parser::default(), Vec::new(), 0);
    while at < stream.len() {
        let room = parser.room();
        assert!(room > 0, "stuck: no room and no command");
        let end = stream.len().min(at + next_size().min(room));
        parser.feed(&stream[at..end]);
        at = end;
        loop {
            match parser.next() {
                Parsed::More => break,
                Parsed::Command(words) => found.push(Parsed::Command(words)),
                last => {
                    found.push(last);
                    assert_eq!(parser.len(), 0, "it keeps what nobody will read");
                    return found;
                }
            }
        }
        assert!(parser.len() <= LONGEST + 2);
    }
    found
}

pub fn check(data: &[u8]) {
    let (mut cuts, stream) = Cuts::of(data);
    let whole = parse(stream, || usize::MAX);
    assert_eq!(parse(stream, || cuts.next_size()), whole);
    for parsed in &whole {
        let Parsed::Command(words) = parsed else {
            continue;
        };
        assert!(!words.is_empty());
        let mut written = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            written.extend(format!("${}\r\n", word.len()).bytes());
            written.extend(word);
            written.extend(b"\r\n");
        }
        if written.len() <= LONGEST {
            assert_eq!(
                parse(&written, || usize::MAX),
                [Parsed::Command(words.clone())]
            );
        }
    }
}
