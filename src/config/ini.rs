//! The syntax of a config file: `[section]`, `key = value`, comments. Pure.
//!
//! Only the section that is asked for is read; all others belong to the service
//! and may look as they like. A comment begins with `#` or `;`, at the start of a
//! line or after a blank. A value in quotes may hold those, too.

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// From 1.
    pub(super) line: usize,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// What is wrong, in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) text: &'static str,
}

/// The entries of one section, in order. It may be opened more than once.
pub(super) fn section<'a>(file: &'a [u8], name: &str) -> Result<Vec<Entry<'a>>, Fault> {
    let mut entries = Vec::new();
    let mut inside = false;
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    for (number, bytes) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        let fault = |text| Fault { line: number, text };
        if bytes.contains(&0) {
            return Err(fault("a NUL byte: this is not a text file"));
        }
        let bytes = bytes.trim_ascii();
        if bytes.first() == Some(&b'[') {
            inside = header(bytes, name, inside).map_err(fault)?;
        } else if inside && !matches!(bytes.first(), None | Some(b'#' | b';')) {
            let line = std::str::from_utf8(bytes).map_err(|_| fault("this is not UTF-8"))?;
            let (key, value) = entry(line).map_err(fault)?;
            entries.push(Entry {
                line: number,
                key,
                value,
            });
        }
    }
    Ok(entries)
}

/// Does this line open the section? Odd headers of the service's are not ours to judge.
fn header(line: &[u8], name: &str, inside: bool) -> Result<bool, &'static str> {
    let inner = &line[1..];
    let Some(end) = inner.iter().position(|byte| *byte == b']') else {
        let ours = inner.trim_ascii() == name.as_bytes();
        return if inside || ours {
            Err("the section header has no `]`")
        } else {
            Ok(false)
        };
    };
    if inner[..end].trim_ascii() != name.as_bytes() {
        return Ok(false);
    }
    match inner[end + 1..].trim_ascii().first() {
        None | Some(b'#' | b';') => Ok(true),
        Some(_) => Err("text after the section header"),
    }
}

fn entry(line: &str) -> Result<(&str, &str), &'static str> {
    let (key, rest) = line.split_once('=').ok_or("`key = value` expected")?;
    let key = key.trim();
    if key.is_empty() {
        return Err("the key before `=` is missing");
    }
    Ok((key, value(rest.trim())?))
}

fn value(text: &str) -> Result<&str, &'static str> {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        let (inner, rest) = text[1..]
            .split_once(quote)
            .ok_or("the closing quote is missing")?;
        return match rest.trim_start().chars().next() {
            None | Some('#' | ';') => Ok(inner),
            Some(_) => Err("text after the closing quote"),
        };
    }
    let mut after_blank = true;
    for (at, letter) in text.char_indices() {
        if after_blank && matches!(letter, '#' | ';') {
            return Ok(text[..at].trim_end());
        }
        after_blank = letter.is_whitespace();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(file: &str) -> Result<Vec<(usize, String, String)>, Fault> {
        let own = |e: Entry<'_>| (e.line, e.key.to_string(), e.value.to_string());
        section(file.as_bytes(), "dtm").map(|found| found.into_iter().map(own).collect())
    }

    fn one(file: &str) -> String {
        read(&format!("[dtm]\n{file}")).unwrap().remove(0).2
    }

    fn fault(file: &str) -> (usize, &'static str) {
        let fault = read(file).unwrap_err();
        (fault.line, fault.text)
    }

    #[test]
    fn only_our_section() {
        let file = "stray\n[app]\nthis = \"is not\nours [\n[dtm] ; here\r\n a=1\r\n\n# no\n[x.y]\nb = 2\n[ dtm ]\nc= 3";
        let (a, c) = (String::from("a"), String::from("c"));
        assert_eq!(
            read(file).unwrap(),
            [(6, a, "1".into()), (12, c, "3".into())]
        );
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("\u{feff}[dtm]\nname = x").unwrap().len(), 1);
    }

    #[test]
    fn values() {
        assert_eq!(one("k = a b  # c"), "a b");
        assert_eq!(one("k = file:/x#y;z"), "file:/x#y;z");
        assert_eq!(one("k = \"a # b\" ; c"), "a # b");
        assert_eq!(one("k = 'it = \"'"), "it = \"");
        assert_eq!(one("k ="), "");
        assert_eq!(one("k = ; none"), "");
        assert_eq!(one("k = a=b"), "a=b");
    }

    #[test]
    fn faults_name_the_line() {
        assert_eq!(fault("[dtm]\n\nworkers 4"), (3, "`key = value` expected"));
        assert_eq!(fault("[dtm]\n= 4"), (2, "the key before `=` is missing"));
        assert_eq!(fault("[dtm]\nk = \"a"), (2, "the closing quote is missing"));
        assert_eq!(
            fault("[dtm]\nk = \"a\" b"),
            (2, "text after the closing quote")
        );
        assert_eq!(fault("\n[dtm\n"), (2, "the section header has no `]`"));
        assert_eq!(fault("[dtm]\n[app\n"), (2, "the section header has no `]`"));
        assert_eq!(fault("[dtm] x\n"), (1, "text after the section header"));
        assert_eq!(fault("[a]\n\0"), (2, "a NUL byte: this is not a text file"));
        let latin1 = section(b"[app]\nk=\xe9\n[dtm]\n; \xe9\nk=\xe9", "dtm").unwrap_err();
        assert_eq!(
            latin1,
            Fault {
                line: 5,
                text: "this is not UTF-8"
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(file: Vec<u8>) {
            let _ = section(&file, "dtm");
            let mut inside = b"[dtm]\n".to_vec();
            inside.extend(file);
            let _ = section(&inside, "dtm");
        }

        #[test]
        fn syntax_soup_is_answered(file in "[\\[\\]dtm=#;\"' \n\ré]{0,60}") {
            let _ = section(file.as_bytes(), "dtm");
        }

        #[test]
        fn quoted_values_come_back(value in "[^\"\n\0]*", key in "[a-z_]{1,12}") {
            let found = read(&format!("[dtm]\n{key} = \"{value}\"")).unwrap();
            prop_assert_eq!(&found, &[(2, key, value)]);
        }
    }
}
