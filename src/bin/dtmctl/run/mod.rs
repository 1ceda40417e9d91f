//! What the commands do.

pub(crate) mod actions;
pub(crate) mod choice;
pub(crate) mod clients;
pub(crate) mod columns;
pub(crate) mod drain;
mod end;
pub(crate) mod events;
mod follow;
pub(crate) mod operate;
pub(crate) mod progress;
pub(crate) mod raw;
pub(crate) mod sample;
pub(crate) mod screen;
pub(crate) mod status;
pub(crate) mod top;

use crate::args::Options;
use crate::fail::{Code, Fail, Result};
use crate::link::{self, Link};
use crate::out::Out;
use crate::show::{Paper, show};
use crate::table::Column;
use crate::term;
use crate::value::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A question is answered in far less time; one that is not has lost its service.
const QUESTION: Duration = Duration::from_secs(10);

/// One run of dtmctl.
pub(crate) struct Session {
    pub(crate) options: Options,
    pub(crate) out: Out,
    link: Option<Link>,
}

impl Session {
    pub(crate) fn new(options: Options, out: Out) -> Self {
        Self {
            options,
            out,
            link: None,
        }
    }

    /// Connects at the first use.
    pub(crate) fn link(&mut self) -> Result<&mut Link> {
        if self.link.is_none() {
            let place = self.options.place.clone().ok_or_else(|| {
                Fail::usage("where is the console? -s SOCKET, -h HOST -p PORT, or DTMCTL_SOCKET")
            })?;
            if self.options.askpass && self.options.password.is_none() {
                self.options.password = Some(term::ask_password()?);
            }
            self.link = Some(Link::open(&place, self.options.password.as_deref())?);
        }
        self.link
            .as_mut()
            .ok_or_else(|| Fail::new(Code::Connect, "no connection"))
    }

    /// The next use connects anew.
    pub(crate) fn hang_up(&mut self) {
        self.link = None;
    }

    /// A question and its answer; an error that is answered is ours. A connection that was
    /// kept may have ended with its binary: it is asked again on another one, once.
    pub(crate) fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Value> {
        let until = Instant::now() + self.options.timeout.unwrap_or(QUESTION);
        let kept = self.link.is_some();
        let mut answer = self.link()?.call(words, Some(until), |_| {});
        let ended = match &answer {
            Ok(answer) => link::is_gone(answer),
            Err(fail) => kept && fail.code == Code::Connect,
        };
        if ended {
            self.hang_up();
            answer = self.link()?.call(words, Some(until), |_| {});
        }
        match answer? {
            Value::Error(text) => Err(Fail::answered(&text)),
            answer => Ok(answer),
        }
    }

    pub(crate) fn paper(&self) -> Paper {
        Paper {
            room: self.out.room(),
            utf8: self.out.utf8,
            now: now(),
        }
    }

    /// The answer: laid out, or as JSON.
    pub(crate) fn show(&self, answer: &Value, columns: &[Column]) -> Result<Code> {
        if self.options.json {
            self.json(answer)?;
        } else {
            // A pipe gets all that there is.
            let columns = if self.out.terminal { columns } else { &[] };
            self.out.lines(&show(answer, columns, self.paper()))?;
        }
        Ok(Code::Done)
    }

    pub(crate) fn json(&self, value: &Value) -> Result<()> {
        self.out.bytes((value.json() + "\n").as_bytes())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}
