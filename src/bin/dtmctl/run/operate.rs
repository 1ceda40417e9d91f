//! Commands that change something: what happens until the answer comes, and the answer.

use super::follow::{Show, follow};
use super::{Session, end};
use crate::fail::{Code, Fail, Result};
use crate::link;
use crate::text::{Colour, Line};
use crate::value::Value;
use crate::wait;

pub(crate) fn run(session: &mut Session, words: &[String]) -> Result<Code> {
    wait::catch_signals();
    let mut show = Show::begin(session, words)?;
    let answered = answer(session, &mut show, words);
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

fn answer(session: &mut Session, show: &mut Show, words: &[String]) -> Result<Value> {
    session.link()?.send(words, None)?;
    let answer = follow(session, show, |_, told| told)?;
    if !link::is_gone(&answer) {
        return Ok(answer);
    }
    // Nothing was done; who has taken over shall do it.
    show.rejoin(session)?;
    session.link()?.send(words, None)?;
    follow(session, show, |_, told| told)
}

fn finish(session: &mut Session, mut show: Show, answer: &Value) -> Result<Code> {
    if let Value::Error(text) = answer {
        let fail = Fail::answered(text);
        return show.fail(session, fail.code, &fail.text);
    }
    let mut text = answer.shown();
    let ended = match show.name.as_str() {
        name if name.starts_with("shutdown") => {
            end::of_service(session, &mut show).map(|said| text = said.into())
        }
        _ if !session.options.wait => Ok(()),
        "upgrade" => {
            end::of_old_binary(session, &mut show).map(|said| text += &format!("; {said}"))
        }
        _ => end::of_changes(session, &mut show).map(|said| text += &format!("; {said}")),
    };
    show.clear(session)?;
    if let Err(fail) = ended {
        let why = match fail.code {
            Code::Interrupted => "it goes on in the service: see dtmctl status".into(),
            Code::Timeout => format!("{text}; but workers drain or start still"),
            _ => fail.text,
        };
        return show.fail(session, fail.code, &why);
    }
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
