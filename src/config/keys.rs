//! The table of keys. The C struct and the `[dtm]` section both go through it, so
//! that ranges, defaults and messages are the same.

use super::Settings;
use super::value::Kind::{self, Mebi, Name, Number, Signed, Size, Time};
use crate::error::Error;
use crate::ffi::*;
use std::fmt::Display;

/// A key with a number behind it. In [`Settings`], 0 means that it is not set.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    kind: Kind,
    min: u32,
    max: u32,
    or_off: bool,
    /// 0: computed, see `Config::complete`; or, for a name, the name of 0.
    pub(super) default: u32,
    /// Takes effect at start only.
    pub(super) fixed: bool,
    pub(super) get: fn(&Settings) -> u32,
    pub(super) set: fn(&mut Settings, u32),
}

/// A key with a text behind it.
pub(super) struct TextKey {
    pub(super) name: &'static str,
    /// What is allowed, or `None` when this text is.
    check: fn(&str) -> Option<&'static str>,
    pub(super) fixed: bool,
    pub(super) get: fn(&Settings) -> Option<&str>,
    pub(super) set: fn(&mut Settings, Option<String>),
}

macro_rules! key {
    ($field:ident, $name:literal, $kind:expr, $min:expr, $max:expr, $default:expr) => {
        Key {
            name: $name,
            kind: $kind,
            min: $min,
            max: $max,
            or_off: false,
            default: $default,
            fixed: false,
            get: |settings| settings.$field,
            set: |settings, value| settings.$field = value,
        }
    };
}

macro_rules! text {
    ($field:ident, $name:literal, $fixed:literal, $check:expr) => {
        TextKey {
            name: $name,
            check: $check,
            fixed: $fixed,
            get: |settings| settings.$field.as_deref(),
            set: |settings, value| settings.$field = value,
        }
    };
}

/// The largest u32 that is not DTM_OFF: no upper limit of our own.
const MAX: u32 = DTM_OFF - 1;

#[rustfmt::skip] // a table
pub(super) const KEYS: &[Key] = &[
    key!(workers, "workers", Number, 1, 512, 0),
    key!(max_processes, "max_processes", Number, 4, 1024, 200).fixed(),
    key!(accept_mode, "accept_mode", Name(MODES), 0, MAX, DTM_ACCEPT_AUTO),
    key!(accept_tokens, "accept_tokens", Number, 1, 64, 0),
    key!(accept_load, "accept_load", Name(LOADS), 0, MAX, DTM_LOAD_CLIENTS),
    key!(accept_pass, "accept_pass", Name(PASSES), 0, MAX, DTM_PASS_LEAST),
    key!(max_clients, "max_clients", Number, 1, super::MAX_CLIENTS, 0),
    key!(client_timeout_ms, "client_timeout", Time, 1, MAX, DTM_OFF).or_off(),
    key!(watch_timeout_ms, "watch_timeout", Time, 1, MAX, DTM_OFF).or_off(),
    key!(drain_timeout_ms, "drain_timeout", Time, 1, MAX, 30_000).or_off(),
    key!(kill_grace_ms, "kill_grace", Time, 1, MAX, 2_000),
    key!(start_timeout_ms, "start_timeout", Time, 1, MAX, 60_000).or_off(),
    key!(hang_timeout_ms, "hang_timeout", Time, 1, MAX, 30_000).or_off(),
    key!(respawn_delay_ms, "respawn_delay", Time, 1, MAX, 100),
    key!(respawn_delay_max_ms, "respawn_delay_max", Time, 1, MAX, 0),
    key!(respawn_reset_ms, "respawn_reset", Time, 1, MAX, 30_000),
    key!(nofork_max_ms, "nofork_max", Time, 1, MAX, 60_000).fixed(),
    key!(worker_tick_ms, "worker_tick", Time, 1, MAX, DTM_OFF).or_off(),
    key!(controller_tick_ms, "controller_tick", Time, 1, MAX, DTM_OFF).or_off(),
    key!(channel_queue, "channel_queue", Size, 65_536, MAX, 64 << 20).fixed(),
    key!(signals, "signals", Name(SIGNALS), 0, MAX, DTM_SIGNALS_DEFAULT).fixed(),
    key!(orphan, "orphan", Name(ORPHAN), 0, MAX, DTM_ORPHAN_EXIT),
    key!(log_level, "log_level", Name(LEVELS), 0, MAX, DTM_LOG_INFO),
    key!(drain_idle, "drain_idle", Name(IDLE), 0, MAX, DTM_IDLE_CLOSE),
    key!(canary, "canary", Number, 1, 512, 1).or_off(),
    key!(old_generations, "old_generations", Number, 1, 16, 2),
    key!(upgrade_timeout_ms, "upgrade_timeout", Time, 1, MAX, 120_000),
    key!(respawn_budget, "respawn_budget", Number, 1, MAX, 10).or_off(),
    key!(respawn_window_ms, "respawn_window", Time, 1, MAX, 60_000),
    key!(recycle_clients, "recycle_clients", Number, 1, MAX, DTM_OFF).or_off(),
    key!(recycle_requests, "recycle_requests", Number, 1, MAX, DTM_OFF).or_off(),
    key!(recycle_age_ms, "recycle_age", Time, 1, MAX, DTM_OFF).or_off(),
    key!(recycle_idle_ms, "recycle_idle", Time, 1, MAX, DTM_OFF).or_off(),
    key!(recycle_stagger, "recycle_stagger", Number, 1, 100, 10).or_off(),
    key!(recycle_min_age_ms, "recycle_min_age", Time, 1, MAX, 10_000),
    key!(recycle_parallel, "recycle_parallel", Number, 1, 64, 1),
    key!(memory_soft_mib, "memory_soft", Mebi, 1, MAX, DTM_OFF).or_off(),
    key!(memory_hard_mib, "memory_hard", Mebi, 1, MAX, DTM_OFF).or_off(),
    key!(workers_min, "workers_min", Number, 1, 512, DTM_OFF).or_off(),
    key!(workers_max, "workers_max", Number, 1, 512, DTM_OFF).or_off(),
    key!(workers_spare, "workers_spare", Number, 1, 512, 1),
    key!(scale_period_ms, "scale_period", Time, 1, MAX, 1_000),
    key!(daemonize, "daemonize", Name(NO_YES), 0, MAX, 0).fixed(),
    key!(process_titles, "process_titles", Name(ON_OFF), 1, MAX, 1).fixed(),
    key!(nice, "nice", Signed, (-20i32).cast_unsigned(), 19, 0),
    key!(rlimit_nofile, "rlimit_nofile", Number, 1, MAX, 0).fixed(),
    key!(rlimit_core_mib, "rlimit_core", Mebi, 1, MAX, 0).or_off(),
    key!(control_remote, "control_remote", Name(NO_YES), 0, MAX, 0).fixed(),
    key!(control_clients, "control_clients", Number, 1, 10_000, 64),
    key!(control_timeout_ms, "control_timeout", Time, 1, MAX, 600_000).or_off(),
    key!(store_timeout_ms, "store_timeout", Time, 1, MAX, 1_000),
    key!(fleet_lease_ms, "fleet_lease", Time, 1, MAX, 10_000),
    key!(fleet_unavailable, "fleet_unavailable", Number, 1, MAX, 1),
];

#[rustfmt::skip] // a table
pub(super) const TEXT_KEYS: &[TextKey] = &[
    text!(name, "name", true, check_name),
    text!(log_target, "log_target", false, check_target),
    text!(store, "store", true, |_| None),
    text!(pid_file, "pid_file", true, check_path),
    text!(user, "user", true, |_| None),
    text!(group, "group", true, |_| None),
    text!(chroot, "chroot", true, check_path),
    text!(working_dir, "working_dir", true, check_path),
    text!(core_dir, "core_dir", false, check_path),
    text!(cpu_affinity, "cpu_affinity", false, check_cpus),
    text!(capabilities, "capabilities", true, check_capabilities),
    text!(umask, "umask", false, check_umask),
    text!(control_operators, "control_operators", false, |_| None),
    text!(control_password, "control_password", false, |_| None),
    text!(metrics_listen, "metrics_listen", true, |_| None),
    text!(host, "host", true, check_name),
];

const MODES: &[(&str, u32)] = &[
    ("auto", DTM_ACCEPT_AUTO),
    ("token", DTM_ACCEPT_TOKEN),
    ("steer", DTM_ACCEPT_STEER),
    ("hash", DTM_ACCEPT_HASH),
    ("shared", DTM_ACCEPT_SHARED),
    ("pass", DTM_ACCEPT_PASS),
    ("lock", DTM_ACCEPT_LOCK),
];
const LOADS: &[(&str, u32)] = &[("clients", DTM_LOAD_CLIENTS), ("busy", DTM_LOAD_BUSY)];
const PASSES: &[(&str, u32)] = &[("least", DTM_PASS_LEAST), ("rotate", DTM_PASS_ROTATE)];
const SIGNALS: &[(&str, u32)] = &[
    ("default", DTM_SIGNALS_DEFAULT),
    ("dtm", DTM_SIGNALS_DTM),
    ("gunicorn", DTM_SIGNALS_GUNICORN),
    ("dtm-upgrade", DTM_SIGNALS_DTM_UPGRADE),
];
const IDLE: &[(&str, u32)] = &[("close", DTM_IDLE_CLOSE), ("keep", DTM_IDLE_KEEP)];
const NO_YES: &[(&str, u32)] = &[("no", 0), ("yes", 1)];
const ON_OFF: &[(&str, u32)] = &[("on", 1), ("off", DTM_OFF)];
const ORPHAN: &[(&str, u32)] = &[("exit", DTM_ORPHAN_EXIT), ("drain", DTM_ORPHAN_DRAIN)];
const LEVELS: &[(&str, u32)] = &[
    ("error", DTM_LOG_ERROR),
    ("warn", DTM_LOG_WARN),
    ("info", DTM_LOG_INFO),
    ("debug", DTM_LOG_DEBUG),
    ("trace", DTM_LOG_TRACE),
];

/// It becomes a syslog tag and a process title.
fn check_name(text: &str) -> Option<&'static str> {
    let letter = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let good = (1..=32).contains(&text.len()) && text.bytes().all(letter);
    (!good).then_some("1..32 letters, digits, `.`, `_` or `-`")
}

fn check_path(text: &str) -> Option<&'static str> {
    (!text.starts_with('/')).then_some("an absolute path")
}

fn check_umask(text: &str) -> Option<&'static str> {
    let good = u32::from_str_radix(text, 8).is_ok_and(|mask| mask <= 0o777);
    (!good).then_some("octal, 000..777")
}

fn check_cpus(text: &str) -> Option<&'static str> {
    crate::daemon::affinity::parse(text)
        .is_none()
        .then_some(crate::daemon::affinity::FORM)
}

fn check_capabilities(text: &str) -> Option<&'static str> {
    crate::daemon::capability::parse(text)
        .is_none()
        .then_some(crate::daemon::capability::FORM)
}

fn check_target(text: &str) -> Option<&'static str> {
    let allowed = "stderr, callback, syslog, syslog:/path, file:/path or off";
    crate::log::Target::parse(text).is_none().then_some(allowed)
}

impl Key {
    const fn fixed(self) -> Self {
        Self {
            fixed: true,
            ..self
        }
    }

    const fn or_off(self) -> Self {
        Self {
            or_off: true,
            ..self
        }
    }

    /// A value of the C struct, other than 0.
    pub(super) fn check(&self, value: u32) -> bool {
        match self.kind {
            Name(names) => names.iter().any(|(_, known)| *known == value),
            Signed => {
                let range = self.min.cast_signed()..=self.max.cast_signed();
                range.contains(&value.cast_signed())
            }
            _ if value == DTM_OFF => self.or_off,
            _ => (self.min..=self.max).contains(&value),
        }
    }

    /// A value of a file or of the environment.
    pub(super) fn parse(&self, text: &str) -> Option<u32> {
        if text == "off" && self.or_off {
            return Some(DTM_OFF);
        }
        self.kind.parse(text).filter(|value| self.check(*value))
    }

    pub(super) fn show(&self, value: u32) -> String {
        if value == DTM_OFF && !matches!(self.kind, Name(_) | Signed) {
            return "off".into();
        }
        self.kind.show(value)
    }

    pub(super) fn error(&self, origin: impl Display, value: &str) -> Error {
        wrong(origin, self.name, value, &self.allowed())
    }

    fn allowed(&self) -> String {
        let (min, max) = (self.show(self.min), self.show(self.max));
        let range = match (self.kind, self.max) {
            (Name(names), _) => {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                format!("one of {}", names.join(", "))
            }
            (Time, MAX) => format!("{min} or more (such as 100ms, 30s, 20m, 2h, 1d)"),
            (_, MAX) => format!("{min} or more"),
            _ => format!("{min}..{max}"),
        };
        if self.or_off {
            format!("{range}, or off")
        } else {
            range
        }
    }
}

impl TextKey {
    pub(super) fn check(&self, origin: impl Display, text: &str) -> crate::error::Result<()> {
        match (self.check)(text) {
            Some(allowed) => Err(wrong(origin, self.name, text, allowed)),
            None => Ok(()),
        }
    }
}

/// The one form of complaint about a value.
fn wrong(origin: impl Display, key: &str, value: &str, allowed: &str) -> Error {
    let value: String = value
        .chars()
        .take(64)
        .flat_map(char::escape_debug)
        .collect();
    Error::config(format!("{origin}: {key} = {value}: must be {allowed}"))
}

/// The known key that a person most likely meant.
pub(super) fn nearest(wrong: &str) -> Option<&'static str> {
    let names = KEYS
        .iter()
        .map(|key| key.name)
        .chain(TEXT_KEYS.iter().map(|key| key.name));
    let near = names.map(|name| (distance(wrong, name), name)).min()?;
    (near.0 <= 3 && near.0 < near.1.len()).then_some(near.1)
}

/// Levenshtein's: letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> &'static Key {
        KEYS.iter().find(|key| key.name == name).unwrap()
    }

    #[test]
    fn every_default_and_bound_is_allowed() {
        for key in KEYS {
            let computed = key.default == 0 && !matches!(key.kind, Name(_));
            assert!(computed || key.check(key.default), "{}", key.name);
            if let Name(names) = key.kind {
                // 0 is "not set", too: whoever asks for its name must get it.
                let zero = names.iter().any(|(_, value)| *value == 0);
                assert!(!zero || key.default == 0, "{}", key.name);
            } else {
                assert_eq!(key.parse(&key.show(key.min)), Some(key.min), "{}", key.name);
                assert_eq!(key.parse(&key.show(key.max)), Some(key.max), "{}", key.name);
                assert!(!key.check(key.min - 1), "{}", key.name);
                let off = key.or_off || matches!(key.kind, Signed);
                assert_eq!(key.check(DTM_OFF), off, "{}", key.name);
            }
        }
    }

    #[test]
    fn accessors_belong_to_their_keys() {
        for (one, key) in KEYS.iter().enumerate() {
            let mut settings = Settings::default();
            (key.set)(&mut settings, 7);
            for (other, seen) in KEYS.iter().enumerate() {
                assert_eq!((seen.get)(&settings), if one == other { 7 } else { 0 });
            }
        }
    }

    #[test]
    fn complaints() {
        let text = |name, value| key(name).error("f:1", value).text.into_owned();
        assert_eq!(text("workers", "0"), "f:1: workers = 0: must be 1..512");
        assert_eq!(
            text("orphan", "x\n"),
            "f:1: orphan = x\\n: must be one of exit, drain"
        );
        assert_eq!(
            text("channel_queue", "1"),
            "f:1: channel_queue = 1: must be 64k or more"
        );
        assert!(
            text("client_timeout", "5")
                .ends_with("must be 1ms or more (such as 100ms, 30s, 20m, 2h, 1d), or off")
        );
    }

    #[test]
    fn nearest_key() {
        assert_eq!(nearest("worker"), Some("workers"));
        assert_eq!(nearest("client_timeout_ms"), Some("client_timeout"));
        assert_eq!(nearest("loglevel"), Some("log_level"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn names() {
        assert_eq!(check_name("my-service_2.x"), None);
        for bad in ["", "a b", "a[b]", "é", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(check_name(bad).is_some(), "{bad}");
        }
    }
}
