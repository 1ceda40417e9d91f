//! Commands that change something: what happens until the answer comes, and the answer.

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
/// WORKERS tells so often what those that drain wait for.
const LOOK: Duration = Duration::from_secs(1);
/// What a master does behind its last child takes milliseconds.
const LAST_STEPS: Duration = Duration::from_secs(5);

pub(crate) fn run(session: &mut Session, words: &[String]) -> Result<Code> {
    wait::catch_signals();
    let mut show = Show::begin(session, words)?;
    session.link()?.send(words, None)?;
    let answered = follow(session, &mut show, until_answer);
    show.clear(session)?;
    match answered {
        Ok(answer) => finish(session, show, &answer),
        Err(fail) if fail.code == Code::Interrupted => Err(Fail::new(
            fail.code,
            format!("{} goes on in the service: see dtmctl status", show.name),
        )),
        Err(fail) if fail.code == Code::Timeout => Err(Fail::new(
            fail.code,
            format!("{} ({} may go on in the service)", fail.text, show.name),
        )),
        Err(fail) => Err(fail),
    }
}

fn finish(session: &mut Session, mut show: Show, answer: &Value) -> Result<Code> {
    if let Value::Error(text) = answer {
        let fail = Fail::answered(text);
        return show.fail(session, fail.code, &fail.text);
    }
    let mut text = answer.shown();
    // The end of these is the end of the connection: the old service's controller leaves last.
    let ends = match show.name.as_str() {
        "upgrade" => session.options.wait.then_some("the old one has ended"),
        name => name
            .starts_with("shutdown")
            .then_some("the service has ended"),
    };
    if let Some(what) = ends {
        let followed = follow(session, &mut show, |_, _| None);
        show.clear(session)?;
        match followed {
            Err(fail) if fail.code == Code::Connect && show.name == "upgrade" => {
                text += &format!("; {what}");
            }
            Err(fail) if fail.code == Code::Connect => {
                await_end(session);
                text = what.into();
            }
            Err(fail) => return Err(fail),
            Ok(_) => {}
        }
    } else if session.options.wait {
        let wanted = wanted(&show.ask(session, "STATUS")?);
        let workers = show.ask(session, "WORKERS")?;
        show.progress.look(&workers);
        let settled = follow(session, &mut show, |show, _| {
            let in_vain = show.progress.is_in_vain();
            let over = in_vain || show.progress.is_settled(wanted);
            over.then_some(Value::Bool(!in_vain))
        });
        show.clear(session)?;
        let settled = settled.map_err(|fail| match fail.code {
            Code::Timeout | Code::Interrupted => {
                let text = format!("{}: {text}; but workers drain or start still", show.name);
                Fail::new(fail.code, text)
            }
            _ => fail,
        })?;
        if settled == Value::Bool(false) {
            let text = "its successor did not live: it serves on; see dtmctl reports";
            return show.fail(session, Code::Failed, text);
        }
        text += "; all workers serve, none drains";
    }
    show.clear(session)?;
    if session.options.json {
        session.json(&show.result(true, &text))?;
    } else {
        let seconds = format!("  {:.2}s", show.began.elapsed().as_secs_f64());
        let line =
            Line::of(Colour::Good, show.name.as_str()).and(Colour::Plain, format!(": {text}"));
        session.out.lines(&[line.and(Colour::Dim, seconds)])?;
    }
    Ok(Code::Done)
}

/// The controller hangs up, then the master takes its leave: whoever starts the service
/// again shall not find it there. Somebody who restarts it at once may be quicker than this.
fn await_end(session: &Session) {
    let end = Instant::now() + LAST_STEPS;
    let listens = || session.options.place.as_ref().is_some_and(link::listens);
    while !wait::stopped() && Instant::now() < end && listens() {
        wait::wait([], Some(Instant::now() + Duration::from_millis(20)));
    }
}

fn wanted(status: &Value) -> usize {
    let workers = status.get("workers_wanted").int();
    workers.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn until_answer(_: &mut Show, told: Option<Value>) -> Option<Value> {
    told
}

/// Show what is told until `end` finds the end in it. Its second argument is an answer.
fn follow(
    session: &mut Session,
    show: &mut Show,
    mut end: impl FnMut(&mut Show, Option<Value>) -> Option<Value>,
) -> Result<Value> {
    let deadline = session.options.timeout.map(|t| show.began + t);
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
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(Fail::new(Code::Timeout, "no answer in time"));
        }
        show.look(session);
        show.draw(session)?;
        let frame = Instant::now() + if show.live { FRAME } else { LOOK };
        let until = deadline.map_or(frame, |at| at.min(frame));
        wait::wait([(Some(session.link()?.fd()), For::Input)], Some(until));
    }
}

/// What is shown of one command.
struct Show {
    name: String,
    progress: Progress,
    began: Instant,
    /// The line at the bottom is drawn: on terminals.
    live: bool,
    drawn: bool,
    /// A second connection: the first one waits for its answer.
    watcher: Option<Link>,
    looked: Instant,
}

impl Show {
    fn begin(session: &mut Session, words: &[String]) -> Result<Self> {
        let name = words.join(" ").to_lowercase();
        let status = session.ask(&["STATUS"])?;
        let workers = session.ask(&["WORKERS"])?;
        let starts =
            ["reload", "upgrade", "start", "recycle"].contains(&words[0].to_lowercase().as_str());
        let wanted = match words[0].eq_ignore_ascii_case("recycle") {
            true => 1,
            false => wanted(&status),
        };
        let mut progress = Progress::new(starts.then_some(wanted), &workers);
        if let ("recycle", [_, key, value]) = (words[0].to_lowercase().as_str(), words) {
            progress.replaces(&workers, &key.to_lowercase(), value);
        }
        if !session.options.quiet || session.options.wait {
            // Events may be forbidden, or have other names: it goes without them.
            let _ = session
                .link()?
                .call(&["PSUBSCRIBE", "*"], Some(Instant::now() + LOOK), |_| {});
        }
        Ok(Self {
            name,
            progress,
            began: Instant::now(),
            live: session.out.terminal && !session.options.json && !session.options.quiet,
            drawn: false,
            watcher: None,
            looked: Instant::now(),
        })
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

    /// A question between events.
    fn ask(&mut self, session: &mut Session, word: &str) -> Result<Value> {
        session.link()?.send(&[word], None)?;
        let answer = follow(session, self, until_answer)?;
        match answer {
            Value::Error(text) => Err(Fail::answered(&text)),
            answer => Ok(answer),
        }
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
        let mut link = self
            .watcher
            .take()
            .or_else(|| Link::open(place, password).ok());
        let until = Some(Instant::now() + LOOK);
        let workers = link
            .as_mut()
            .and_then(|link| link.call(&["WORKERS"], until, |_| {}).ok());
        if let Some(workers @ Value::List(_)) = workers {
            self.progress.look(&workers);
            self.watcher = link;
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

    fn clear(&mut self, session: &Session) -> Result<()> {
        match std::mem::take(&mut self.drawn) {
            true => session.out.bytes(b"\r\x1b[K"),
            false => Ok(()),
        }
    }

    /// The end, if it is a bad one.
    fn fail(&self, session: &Session, code: Code, text: &str) -> Result<Code> {
        if session.options.json {
            session.json(&self.result(false, text))?;
        }
        Err(Fail::new(code, format!("{}: {text}", self.name)))
    }

    fn result(&self, ok: bool, text: &str) -> Value {
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
