//! What a line looks like. Pure apart from the clock and the identity page.

use crate::ffi::*;
use crate::role;
use log::Level;
use std::fmt::{self, Write};

/// Longest line with its end. A pipe that is writable at all takes so much at once.
pub(super) const LINE_MAX: usize = 4096;

/// Who speaks: ` worker 3 gen 2`.
pub(super) struct Speaker {
    pub(super) pid: i32,
    pub(super) role: u32,
    slot: u32,
    generation: u32,
}

impl Speaker {
    pub(super) fn here() -> Self {
        use std::sync::atomic::Ordering::Relaxed;
        let me = role::me();
        Self {
            pid: nix::unistd::getpid().as_raw(),
            role: me.role(),
            slot: me.slot.load(Relaxed),
            generation: me.generation.load(Relaxed),
        }
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = role::name(self.role);
        match self.role {
            DTM_ROLE_WORKER | DTM_ROLE_FUNC => {
                write!(f, "{name} {} gen {}", self.slot, self.generation)
            }
            _ => f.write_str(name),
        }
    }
}

/// `2026-11-21T04:06:13.123Z name[pid] worker 3 gen 2 info: text`
pub(super) fn full(
    out: &mut String,
    name: &str,
    who: &Speaker,
    level: Level,
    text: fmt::Arguments<'_>,
) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let stamp = Stamp(now.unwrap_or_default());
    let _ = write!(
        out,
        "{stamp} {name}[{}] {who} {}: ",
        who.pid,
        self::name(level)
    );
    message(out, text);
}

/// The text, on one line and not too long.
pub(super) fn message(out: &mut String, text: fmt::Arguments<'_>) {
    let _ = Clean(out).write_fmt(text);
    out.truncate(crate::text::cut(out, LINE_MAX - 1).len());
}

pub(super) fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Turns control characters into blanks: what a client sent cannot forge a line,
/// nor reach the operator's terminal.
struct Clean<'a>(&'a mut String);

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        Ok(())
    }
}

/// Time since 1970 as ISO 8601 in UTC, with milliseconds.
struct Stamp(std::time::Duration);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let ms = self.0.subsec_millis();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

/// Gregorian date of a day counted from 1970. Years begin in March here, so that
/// the leap day is the last one; 400 years are always 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        let stamp = |seconds, ms: u32| Stamp(Duration::new(seconds, ms * 1_000_000)).to_string();
        assert_eq!(stamp(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_868_799, 999), "2000-02-29T23:59:59.999Z");
        assert_eq!(stamp(1_795_233_973, 123), "2026-11-21T04:06:13.123Z");
        assert_eq!(stamp(4_107_542_400, 7), "2100-03-01T00:00:00.007Z");
        let first = (0..200_000).scan((1970, 1, 0), |last, day| {
            let (then, now) = (*last, date(day));
            *last = now;
            Some(now > then && now.2 <= 31 && (now.2 == then.2 + 1 || now.2 == 1))
        });
        assert!(first.into_iter().all(|grows| grows));
    }

    #[test]
    fn lines() {
        let who = Speaker {
            pid: 42,
            role: DTM_ROLE_WORKER,
            slot: 3,
            generation: 2,
        };
        let mut out = String::new();
        full(
            &mut out,
            "svc",
            &who,
            Level::Info,
            format_args!("a\nb\x1b[1m\u{85}"),
        );
        assert_eq!(&out[24..], " svc[42] worker 3 gen 2 info: a b [1m ");
        let master = Speaker {
            role: DTM_ROLE_MASTER,
            ..who
        };
        assert_eq!(master.to_string(), "master");
    }

    #[test]
    fn long_lines_are_cut_between_letters() {
        let mut out = String::from("x");
        message(&mut out, format_args!("{}", "é".repeat(4000)));
        assert_eq!(out.len(), LINE_MAX - 1);
        out.clear();
        message(&mut out, format_args!("{}", "é".repeat(4000)));
        assert_eq!(out.len(), LINE_MAX - 2);
    }
}
