//! Both syntaxes, what is no command, limits, and that pieces do not matter.

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
