//! An instance of an action as it is stored: text, so that an operator can read it with
//! the database's own tools. Pure.

use crate::ffi::*;

/// Something that is stored by its name.
macro_rules! names {
    ($type:ident { $($value:ident: $name:literal,)* }) => {
        impl $type {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)* }
            }

            fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$value),)* _ => None }
            }
        }
    };
}

/// The same for what C knows by a number.
macro_rules! numbers {
    ($type:ident { $($value:ident: $number:expr,)* }) => {
        impl $type {
            pub(crate) fn number(self) -> u32 {
                match self { $(Self::$value => $number,)* }
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Waiting,
    Paused,
    Parked,
    Done,
    Cancelled,
    Failed,
}

names!(State {
    Active: "active",
    Waiting: "waiting",
    Paused: "paused",
    Parked: "parked",
    Done: "done",
    Cancelled: "cancelled",
    Failed: "failed",
});
numbers!(State {
    Active: DTM_INSTANCE_ACTIVE,
    Waiting: DTM_INSTANCE_WAITING,
    Paused: DTM_INSTANCE_PAUSED,
    Parked: DTM_INSTANCE_PARKED,
    Done: DTM_INSTANCE_DONE,
    Cancelled: DTM_INSTANCE_CANCELLED,
    Failed: DTM_INSTANCE_FAILED,
});

impl State {
    /// Nothing will ever happen to it again.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

/// Which callback the step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pre,
    Run,
}

names!(Stage {
    Pre: "preaction",
    Run: "action",
});

/// The step is given up: `failed` runs, and then what?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fall {
    No,
    Parking,
    Failing,
}

names!(Fall {
    No: "-",
    Parking: "parking",
    Failing: "failing",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Time,
    Updated,
    Drained,
    Go,
}

names!(For {
    Time: "time",
    Updated: "updated",
    Drained: "drained",
    Go: "go",
});
numbers!(For {
    Time: DTM_WAIT_TIME,
    Updated: DTM_WAIT_UPDATED,
    Drained: DTM_WAIT_DRAINED,
    Go: DTM_WAIT_GO,
});

impl For {
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        [Self::Time, Self::Updated, Self::Drained, Self::Go]
            .into_iter()
            .find(|what| what.number() == number)
    }
}

/// What has to happen before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) what: For,
    /// Of a time: how long; of anything else: its limit. 0: none.
    pub(crate) ms: u64,
    /// When that is over, CLOCK_REALTIME in ms: a wait outlives the machine.
    pub(crate) until: u64,
}

impl Wait {
    /// How long it still takes: never longer than it was meant to, however the clock is
    /// set meanwhile. None: it has no limit.
    pub(crate) fn left(&self, now: u64) -> Option<u64> {
        let limited = self.what == For::Time || self.ms > 0;
        limited.then(|| self.until.saturating_sub(now).min(self.ms))
    }
}

/// Everything that is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) args: Vec<u8>,
    pub(crate) state: State,
    pub(crate) stage: Stage,
    pub(crate) phase: u32,
    /// Transitions so far.
    pub(crate) step: u64,
    /// Attempts: of this step, or of `failed` while it falls.
    pub(crate) attempt: u32,
    /// Those of them that do not count any more, because it was resumed since.
    pub(crate) forgiven: u32,
    pub(crate) fall: Fall,
    /// How often it fell.
    pub(crate) falls: u32,
    /// Attempts of the step before it fell.
    pub(crate) before: u32,
    pub(crate) wait: Option<Wait>,
    pub(crate) timed_out: bool,
    /// What the last attempt that failed ended with.
    pub(crate) cause: i32,
    /// The fleet's action that it is part of; 0: none.
    pub(crate) fleet: u64,
    /// Lines of history so far.
    pub(crate) lines: u64,
    pub(crate) started: u64,
    pub(crate) changed: u64,
    /// One line for people.
    pub(crate) text: String,
}

const FORMAT: &str = "dtm-instance 1";

impl Instance {
    pub(crate) fn new(id: u64, name: &str, args: &[u8], now: u64, pre: bool) -> Self {
        Self {
            id,
            name: name.to_owned(),
            args: args.to_vec(),
            state: State::Active,
            stage: if pre { Stage::Pre } else { Stage::Run },
            phase: 0,
            step: 0,
            attempt: 0,
            forgiven: 0,
            fall: Fall::No,
            falls: 0,
            before: 0,
            wait: None,
            timed_out: false,
            cause: 0,
            fleet: 0,
            lines: 0,
            started: now,
            changed: now,
            text: String::new(),
        }
    }

    /// Names the step, in this store and for ever.
    pub(crate) fn token(&self, store: &str) -> String {
        let (id, step) = (self.id, self.step);
        match self.fall {
            Fall::No => format!("{store}-{id}-{step}"),
            _ => format!("{store}-{id}-{step}-f{}", self.falls),
        }
    }

    /// `key value` lines, an empty one, then the arguments as they are.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let wait = self.wait.map_or("-".into(), |w| {
            format!("{} {} {}", w.what.name(), w.ms, w.until)
        });
        let text = self.text.replace(['\n', '\r'], " ");
        let mut out = format!(
            "{FORMAT}\nid {}\nname {}\nstate {}\nstage {}\nphase {}\nstep {}\nattempt {}\n\
             forgiven {}\nfall {}\nfalls {}\nbefore {}\nwait {wait}\ntimed-out {}\ncause {}\nfleet {}\nlines {}\n\
             started {}\nchanged {}\ntext {text}\n\n",
            self.id,
            self.name,
            self.state.name(),
            self.stage.name(),
            self.phase,
            self.step,
            self.attempt,
            self.forgiven,
            self.fall.name(),
            self.falls,
            self.before,
            u8::from(self.timed_out),
            self.cause,
            self.fleet,
            self.lines,
            self.started,
            self.changed,
        )
        .into_bytes();
        out.extend_from_slice(&self.args);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields { rest: bytes };
        fields.line().filter(|line| *line == FORMAT)?;
        Some(Self {
            id: fields.number("id")?,
            name: fields.value("name")?.to_owned(),
            state: State::of(fields.value("state")?)?,
            stage: Stage::of(fields.value("stage")?)?,
            phase: fields.number("phase")?,
            step: fields.number("step")?,
            attempt: fields.number("attempt")?,
            forgiven: fields.number("forgiven")?,
            fall: Fall::of(fields.value("fall")?)?,
            falls: fields.number("falls")?,
            before: fields.number("before")?,
            wait: wait(fields.value("wait")?)?,
            timed_out: fields.value("timed-out")? == "1",
            cause: fields.number("cause")?,
            fleet: fields.number("fleet")?,
            lines: fields.number("lines")?,
            started: fields.number("started")?,
            changed: fields.number("changed")?,
            text: fields.value("text")?.to_owned(),
            args: fields.end()?.to_vec(),
        })
    }
}

/// Outer None: cannot be read.
#[allow(clippy::option_option, reason = "may be absent, and may be wrong")]
fn wait(text: &str) -> Option<Option<Wait>> {
    if text == "-" {
        return Some(None);
    }
    let mut words = text.split(' ');
    Some(Some(Wait {
        what: For::of(words.next()?)?,
        ms: words.next()?.parse().ok()?,
        until: words.next()?.parse().ok()?,
    }))
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn line(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        std::str::from_utf8(line).ok()
    }

    fn value(&mut self, key: &str) -> Option<&'a str> {
        self.line()?.strip_prefix(key)?.strip_prefix(' ')
    }

    fn number<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        self.value(key)?.parse().ok()
    }

    fn end(mut self) -> Option<&'a [u8]> {
        self.line()?.is_empty().then_some(self.rest)
    }
}
