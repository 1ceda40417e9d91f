//! Configuration files: an entry is part of the line that it names; a value that is read is
//! shown so that it is read again.

#[path = "../../../src/config/ini.rs"]
mod ini;
#[path = "../../../src/config/value.rs"]
mod value;

use value::Kind;

const KINDS: [Kind; 6] = [
    Kind::Number,
    Kind::Size,
    Kind::Mebi,
    Kind::Signed,
    Kind::Time,
    Kind::Name(&[("off", u32::MAX), ("auto", 0)]),
];

pub fn check(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let entries = match ini::section(data, "dtm") {
        Ok(entries) => entries,
        Err(fault) => {
            assert!((1..=lines.len()).contains(&fault.line));
            return;
        }
    };
    for entry in &entries {
        let line = std::str::from_utf8(lines[entry.line - 1]).expect("text");
        assert!(line.contains(entry.key) && line.contains(entry.value));
        for kind in KINDS {
            if let Some(number) = kind.parse(entry.value) {
                assert_eq!(
                    kind.parse(&kind.show(number)),
                    Some(number),
                    "{}",
                    entry.value
                );
            }
        }
    }
    // What the service has in sections of its own is none of our business.
    let foreign = [b"[other]\n", data].concat();
    if !data.contains(&b'[') && !data.contains(&0) {
        assert_eq!(ini::section(&foreign, "dtm"), Ok(Vec::new()));
    }
}
