//! What is shown of a command while it goes on.

use super::progress::Progress;
use super::{Session, events};
use crate::fail::{Code, Fail, Result};
use crate::link::{self, Link};
use crate::text::{Colour, Line};
use crate::value::{Value, map};
use crate::wait::{self, For};
use std::time::{Duration, Instant};

/// The line at the bottom moves so often.
const FRAME: Duration = Duration::from_millis(120);
/// STATUS and WORKERS are looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// What a master does behind its last child takes milliseconds; nor is anybody away for
/// longer who hands over to another.
pub(super) const LAST_STEPS: Duration = Duration::from_secs(5);

/// Show what is told until `end` finds the end in it. Its second argument is an answer.
pub(super) fn follow<T>(
    session: &mut Session,
    show: &mut Show,
    mut end: impl FnMut(&mut Show, Option<Value>) -> Option<T>,
) -> Result<T> {
    loop {
        while let Some(told) = session.link()?.take()? {
            match told {
                push @ Value::Push(_) => show.tell(session, &push)?,
                answer => {
                    if let Some(found) = end(show, Some(answer)) {
                        return Ok(found);
                    }
                }
            }
        }
        if let Some(found) = end(show, None) {
            return Ok(found);
        }
        if wait::stopped() {
            return Err(Fail::new(Code::Interrupted, "interrupted"));
        }
        if show.is_late() {
            return Err(Fail::new(Code::Timeout, "no answer in time"));
        }
        show.look(session);
        show.draw(session)?;
        let frame = Instant::now() + if show.live { FRAME } else { LOOK };
        let until = show.deadline.map_or(frame, |at| at.min(frame));
        wait::wait([(Some(session.link()?.fd()), For::Input)], Some(until));
    }
}

/// The same beyond the end of the connection: its binary may have been replaced.
pub(super) fn follow_on<T>(
    session: &mut Session,
    show: &mut Show,
    mut end: impl FnMut(&mut Show) -> Option<T>,
) -> Result<T> {
    loop {
        match follow(session, show, |show, _| end(show)) {
            Err(fail) if fail.code == Code::Connect => show.rejoin(session)?,
            other => return other,
        }
    }
}

pub(super) struct Show {
    pub(super) name: String,
    pub(super) progress: Progress,
    /// What STATUS said last.
    pub(super) status: Value,
    pub(super) began: Instant,
    deadline: Option<Instant>,
    /// The line at the bottom is drawn: on terminals.
    live: bool,
    drawn: bool,
    /// A second connection: the first one waits for its answer.
    watcher: Option<Link>,
    looked: Instant,
}

impl Show {
    pub(super) fn begin(session: &mut Session, words: &[String]) -> Result<Self> {
        let name = words.join(" ").to_lowercase();
        let first = words[0].to_lowercase();
        let status = session.ask(&["STATUS"])?;
        let workers = session.ask(&["WORKERS"])?;
        let starts = ["reload", "upgrade", "start", "recycle"].contains(&first.as_str());
        let wanted = match first.as_str() {
            "recycle" => 1,
            _ => wanted(&status),
        };
        let mut progress = Progress::new(starts.then_some(wanted), &workers);
        if let ("recycle", [_, key, value]) = (first.as_str(), words) {
            progress.replaces(&workers, &key.to_lowercase(), value);
        }
        // Whoever waits for longer than the answer must not seem idle.
        if !session.options.quiet || session.options.wait || first == "shutdown" {
            subscribe(session)?;
        }
        let began = Instant::now();
        Ok(Self {
            name,
            progress,
            status,
            began,
            deadline: session.options.timeout.map(|t| began + t),
            live: session.out.terminal && !session.options.json && !session.options.quiet,
            drawn: false,
            watcher: None,
            looked: began,
        })
    }

    /// Workers that shall be open.
    pub(super) fn wanted(&self) -> usize {
        wanted(&self.status)
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| at <= Instant::now())
    }

    fn tell(&mut self, session: &Session, push: &Value) -> Result<()> {
        let Some(event) = events::event_of(push) else {
            return Ok(());
        };
        self.progress.hear(&event);
        if session.options.quiet {
            return Ok(());
        }
        if session.options.json {
            return session.json(&event);
        }
        self.clear(session)?;
        let at = format!("{:7.2}s  ", self.began.elapsed().as_secs_f64());
        session
            .out
            .lines(&[Line::of(Colour::Dim, at).append(events::line(&event))])
    }

    /// Look at once, between events.
    pub(super) fn renew(&mut self, session: &mut Session) -> Result<()> {
        self.status = self.ask(session, "STATUS")?;
        let workers = self.ask(session, "WORKERS")?;
        self.progress.look(&workers);
        Ok(())
    }

    fn ask(&mut self, session: &mut Session, word: &str) -> Result<Value> {
        session.link()?.send(&[word], None)?;
        match follow(session, self, |_, told| told)? {
            Value::Error(text) => Err(Fail::answered(&text)),
            answer => Ok(answer),
        }
    }

    /// The connection has ended: make another one, to whoever listens there now.
    pub(super) fn rejoin(&mut self, session: &mut Session) -> Result<()> {
        let end = Instant::now() + LAST_STEPS;
        loop {
            session.hang_up();
            self.watcher = None;
            // Nobody who hangs up at once is asked without a pause.
            wait::wait([], Some(Instant::now() + FRAME));
            let over = wait::stopped() || self.is_late() || Instant::now() >= end;
            match self.join(session) {
                Err(fail) if fail.code == Code::Connect && !over => {}
                joined => return joined,
            }
        }
    }

    fn join(&mut self, session: &mut Session) -> Result<()> {
        subscribe(session)?;
        self.status = session.ask(&["STATUS"])?;
        self.progress.look(&session.ask(&["WORKERS"])?);
        Ok(())
    }

    /// Once in a while, if it takes long.
    fn look(&mut self, session: &Session) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let Some(place) = &session.options.place else {
            return;
        };
        let password = session.options.password.as_deref();
        let Some(mut link) = self
            .watcher
            .take()
            .or_else(|| Link::open(place, password).ok())
        else {
            return;
        };
        let until = Some(Instant::now() + LOOK);
        let mut ask = |word| link.call(&[word], until, |_| {}).ok();
        if let (Some(status @ Value::Map(_)), Some(workers @ Value::List(_))) =
            (ask("STATUS"), ask("WORKERS"))
        {
            self.status = status;
            self.progress.look(&workers);
            self.watcher = Some(link);
        }
    }

    fn draw(&mut self, session: &Session) -> Result<()> {
        if !self.live {
            return Ok(());
        }
        let frames: &[char] = match session.out.utf8 {
            true => &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
            false => &['|', '/', '-', '\\'],
        };
        let elapsed = self.began.elapsed();
        let step = usize::try_from(elapsed.as_millis() / FRAME.as_millis()).unwrap_or(0);
        let line = Line::of(Colour::Name, frames[step % frames.len()])
            .and(Colour::Bold, format!(" {}", self.name))
            .and(Colour::Dim, format!(" {:.1}s", elapsed.as_secs_f64()))
            .append(self.progress.line());
        // One column stays free, so that no terminal begins a new line.
        let room = session.out.room().map(|room| room.saturating_sub(1));
        let text = line.paint(session.out.coloured, room);
        self.drawn = true;
        session.out.bytes(format!("\r{text}\x1b[K").as_bytes())
    }

    pub(super) fn clear(&mut self, session: &Session) -> Result<()> {
        match std::mem::take(&mut self.drawn) {
            true => session.out.bytes(b"\r\x1b[K"),
            false => Ok(()),
        }
    }

    /// The end, if it is a bad one.
    pub(super) fn fail(&self, session: &Session, code: Code, text: &str) -> Result<Code> {
        if session.options.json {
            session.json(&self.result(false, text))?;
        }
        Err(Fail::new(code, format!("{}: {text}", self.name)))
    }

    pub(super) fn result(&self, ok: bool, text: &str) -> Value {
        map([
            ("command", Value::text(&self.name)),
            ("ok", Value::Bool(ok)),
            ("result", Value::text(text)),
            (
                "seconds",
                Value::Double((self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3),
            ),
        ])
    }
}

/// Events may be forbidden, or have other names: it goes without them. The answer is one of
/// those that are told.
fn subscribe(session: &mut Session) -> Result<()> {
    let until = Some(Instant::now() + LOOK);
    session.link()?.send(&["PSUBSCRIBE", "*"], until)?;
    let ended = match session.link()?.next(until) {
        Ok(answer) => link::is_gone(&answer),
        Err(fail) => fail.code == Code::Connect,
    };
    if ended {
        session.hang_up();
        session.link()?.send(&["PSUBSCRIBE", "*"], until)?;
        let _ = session.link()?.next(until);
    }
    Ok(())
}

fn wanted(status: &Value) -> usize {
    let workers = status.get("workers_wanted").int();
    workers.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}
