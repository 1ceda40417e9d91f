//! Numbers for people. Pure.

use crate::text::Colour;
use crate::value::Value;

/// `1,234,567`
pub(crate) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `3.8M`
pub(crate) fn bytes(n: f64) -> String {
    scaled(n, 1024.0, &["B", "K", "M", "G", "T", "P"])
}

/// `10.2k`: events per second.
pub(crate) fn rate(n: f64) -> String {
    match n {
        n if n >= 1000.0 => scaled(n, 1000.0, &["", "k", "M", "G"]),
        n if n >= 10.0 || n == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

fn scaled(mut n: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be rounded to a whole step belongs to the next unit.
    while n >= step - 0.5 && unit + 1 < units.len() {
        n /= step;
        unit += 1;
    }
    let places = usize::from(unit > 0 && n < 99.95);
    format!("{n:.places$}{}", units[unit])
}

/// `42s`, `3m20s`, `2h05m`, `3d04h`: two units at most.
pub(crate) fn age(seconds: f64) -> String {
    if seconds < 10.0 && seconds.fract() > 0.05 {
        return format!("{seconds:.1}s");
    }
    let whole: u64 = format!("{:.0}", seconds.max(0.0)).parse().unwrap_or(0);
    match whole {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        s if s < 86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        s => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

pub(crate) fn percent(ratio: f64) -> String {
    format!("{:.1}%", ratio * 100.0)
}

/// A moment as `5m00s ago`.
pub(crate) fn ago(unix: f64, now: f64) -> String {
    match now - unix {
        _ if unix <= 0.0 => "never".into(),
        past if past < 1.0 => "just now".into(),
        past => format!("{} ago", age(past)),
    }
}

/// What a number means, by the ending of its name: the console keeps to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    /// A name that is a number: no commas.
    Number,
    Seconds,
    Millis,
    Bytes,
    Ratio,
    Rate,
    Moment,
    MomentMillis,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        let ends = |end: &str| name.ends_with(end);
        match name {
            "share" | "cpu" => Self::Ratio,
            "pid" | "slot" | "spawn" | "generation" | "port" | "uid" | "id" => Self::Number,
            "time" => Self::Moment,
            "started_ms" | "changed_ms" => Self::MomentMillis,
            _ if ends("_pid") || ends("_status") => Self::Number,
            _ if ends("_per_second") => Self::Rate,
            _ if ends("_seconds") => Self::Seconds,
            _ if ends("_ms") => Self::Millis,
            _ if ends("_bytes") => Self::Bytes,
            _ if ends("_at") => Self::Moment,
            _ => Self::Count,
        }
    }

    /// `now`: seconds since 1970.
    pub(crate) fn show(self, value: &Value, now: f64) -> String {
        let Some(n) = value.number() else {
            return match value {
                Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
                Value::Null => "-".into(),
                other => other.shown(),
            };
        };
        match self {
            Self::Count | Self::Number => match (self, value.int()) {
                (Self::Count, Some(n)) => count(n),
                (_, Some(n)) => n.to_string(),
                _ => value.json(),
            },
            Self::Seconds => age(n),
            Self::Millis => age(n / 1000.0),
            Self::Bytes => bytes(n),
            Self::Ratio => percent(n),
            Self::Rate => rate(n),
            Self::Moment => ago(n, now),
            Self::MomentMillis => ago(n / 1000.0, now),
        }
    }
}

/// The colour of a state's name, of workers, generations, services and actions.
pub(crate) fn state_colour(state: &str) -> Colour {
    match state {
        "open" | "serving" | "ok" | "done" | "healthy" => Colour::Good,
        "starting" | "ready" | "updated" | "draining" | "reloading" | "stopping" | "waiting"
        | "running" | "paused" | "stopped" | "ending" => Colour::Warn,
        "dead" | "failed" | "degraded" | "hang" | "crash" => Colour::Bad,
        _ => Colour::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-1_000), "-1,000");
        assert_eq!(count(0), "0");
        assert_eq!(bytes(512.0), "512B");
        assert_eq!(bytes(3_817_472.0), "3.6M");
        assert_eq!(bytes(1_048_575.0), "1.0M");
        assert_eq!(bytes(250.0 * 1024.0 * 1024.0), "250M");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(2.34), "2.3");
        assert_eq!(rate(999.0), "999");
        assert_eq!(rate(10_240.0), "10.2k");
        assert_eq!(percent(0.256), "25.6%");
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0.0, "0s"),
            (0.25, "0.2s"),
            (42.4, "42s"),
            (200.0, "3m20s"),
            (7500.0, "2h05m"),
            (270_000.0, "3d03h"),
        ] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(ago(100.0, 400.0), "5m00s ago");
        assert_eq!(ago(0.0, 400.0), "never");
        assert_eq!(ago(400.0, 399.0), "just now");
    }

    #[test]
    fn kinds() {
        let show = |name: &str, value| Kind::of(name).show(&value, 0.0);
        assert_eq!(show("pid", Value::Int(12_345)), "12345");
        assert_eq!(show("accepted", Value::Int(12_345)), "12,345");
        assert_eq!(show("share", Value::Int(1)), "100.0%");
        assert_eq!(show("since_ms", Value::Int(1500)), "1.5s");
        assert_eq!(show("last_end", Value::Null), "-");
        assert_eq!(show("on", Value::Bool(true)), "yes");
    }
}
