//! The `[dtm]` section of the service's config file, laid over the settings.

use super::keys::{self, KEYS, TEXT_KEYS};
use super::{Settings, ini};
use crate::error::{Context, Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// A config file beyond this is something else.
const SIZE_MAX: u64 = 1 << 20;

/// `opened`: the file, at its beginning, by somebody who may open it.
pub(super) fn overlay(path: &str, opened: Option<&File>, settings: &mut Settings) -> Result<()> {
    let bytes = match opened {
        Some(file) => read(path, file)?,
        None => read(path, &open(path)?)?,
    };
    apply(path, &bytes, settings)
}

pub(crate) fn open(path: &str) -> Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY) // a FIFO must not stall the master
        .open(path)
        .context(format_args!("config file {path}"))
}

fn read(path: &str, file: &File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .context(format_args!("config file {path}"))?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(Error::config(format!(
            "{path}: larger than 1 MiB: not a config file"
        )));
    }
    Ok(bytes)
}

fn apply(path: &str, bytes: &[u8], settings: &mut Settings) -> Result<()> {
    let entries = ini::section(bytes, "dtm")
        .map_err(|fault| Error::config(format!("{path}:{}: {}", fault.line, fault.text)))?;
    let mut seen = BTreeMap::new();
    for ini::Entry {
        line,
        key: name,
        value,
    } in entries
    {
        let origin = format!("{path}:{line}");
        if let Some(first) = seen.insert(name, line) {
            return Err(Error::config(format!(
                "{origin}: {name} is set already in line {first}"
            )));
        }
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            let number = key.parse(value).ok_or_else(|| key.error(&origin, value))?;
            (key.set)(settings, number);
        } else if let Some(key) = TEXT_KEYS.iter().find(|key| key.name == name) {
            key.check(&origin, value)?;
            (key.set)(settings, Some(value.to_string()));
        } else {
            return Err(unknown(&origin, name));
        }
    }
    Ok(())
}

fn unknown(origin: &str, name: &str) -> Error {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let hint = keys::nearest(name)
        .map(|near| format!(", did you mean {near}?"))
        .unwrap_or_default();
    Error::config(format!("{origin}: unknown key {shown} in [dtm]{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Settings> {
        let mut settings = Settings::default();
        apply("x.conf", text.as_bytes(), &mut settings).map(|()| settings)
    }

    fn load(path: &str) -> Result<Vec<u8>> {
        read(path, &open(path)?)
    }

    fn complaint(text: &str) -> String {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code, DTM_ECONFIG);
        error.text.into_owned()
    }

    #[test]
    fn keys_reach_their_fields() {
        let text = "[dtm]\nworkers = 3\nclient_timeout = 20m\nwatch_timeout = off\n\
                    accept_mode = lock\nchannel_queue = 1m\nlog_level = trace\nname = svc\n\
                    log_target = 'file:/tmp/a b.log'";
        let s = parse(text).unwrap();
        assert_eq!(
            (s.workers, s.client_timeout_ms, s.watch_timeout_ms),
            (3, 1_200_000, DTM_OFF)
        );
        assert_eq!((s.accept_mode, s.channel_queue), (DTM_ACCEPT_LOCK, 1 << 20));
        assert_eq!(
            (s.log_level, s.name.as_deref()),
            (DTM_LOG_TRACE, Some("svc"))
        );
        assert_eq!(s.log_target.as_deref(), Some("file:/tmp/a b.log"));
    }

    #[test]
    fn complaints_name_file_line_and_key() {
        assert_eq!(
            complaint("[dtm]\nworkers = 0"),
            "x.conf:2: workers = 0: must be 1..512"
        );
        assert_eq!(
            complaint("[dtm]\nworkers = many"),
            "x.conf:2: workers = many: must be 1..512"
        );
        assert_eq!(
            complaint("\n[dtm]\nworker = 1"),
            "x.conf:3: unknown key worker in [dtm], did you mean workers?"
        );
        assert_eq!(
            complaint("[dtm]\nqwerty = 1"),
            "x.conf:2: unknown key qwerty in [dtm]"
        );
        assert_eq!(
            complaint("[dtm]\nname = a\nname = b"),
            "x.conf:3: name is set already in line 2"
        );
        assert_eq!(complaint("[dtm]\nx"), "x.conf:2: `key = value` expected");
        let off = complaint("[dtm]\nkill_grace = off");
        assert!(
            off.starts_with("x.conf:2: kill_grace = off: must be 1ms or more"),
            "{off}"
        );
    }

    #[test]
    fn files_that_cannot_be_read() {
        let gone = load("/nonexistent/x.conf").unwrap_err();
        assert_eq!(gone.code, -libc::ENOENT);
        assert!(
            gone.text.starts_with("config file /nonexistent/x.conf: "),
            "{}",
            gone.text
        );
        assert_eq!(load("/").unwrap_err().code, -libc::EISDIR);
        assert_eq!(load("/dev/zero").unwrap_err().code, DTM_ECONFIG);
        assert_eq!(load("/dev/null").unwrap(), b"");
    }

    proptest! {
        #[test]
        fn any_file_is_answered(file: Vec<u8>) {
            let mut bytes = b"[dtm]\n".to_vec();
            bytes.extend(file);
            let _ = apply("x", &bytes, &mut Settings::default());
        }

        #[test]
        fn valid_values_come_back(picks in proptest::collection::vec(any::<u32>(), KEYS.len())) {
            let mut text = String::from("[dtm]\n");
            let mut want = Settings::default();
            for (key, pick) in KEYS.iter().zip(picks) {
                if key.check(pick) {
                    text += &format!("{} = {}\n", key.name, key.show(pick));
                    (key.set)(&mut want, pick);
                }
            }
            prop_assert_eq!(parse(&text).unwrap(), want);
        }
    }
}
