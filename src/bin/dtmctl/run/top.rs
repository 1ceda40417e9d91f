//! `top`: a look at the service every few seconds.

use super::choice::{Choice, Wish};
use super::sample::{Sample, View};
use super::screen::{Size, lines, table};
use super::{Session, columns};
use crate::fail::{Code, Fail, Result};
use crate::term::{self, Screen};
use crate::wait::{self, For};
use std::time::{Duration, Instant};

/// A service that does not answer shall not make the keys wait for long.
const LOOK: Duration = Duration::from_secs(2);

pub(crate) fn run(session: &mut Session, _: &[String]) -> Result<Code> {
    let options = &session.options;
    let choice = Choice::new(options.sort.as_deref(), options.reverse, options.interval);
    let choice = choice.map_err(Fail::usage)?;
    session.link()?;
    wait::catch_signals();
    match session.out.terminal && !session.options.json && session.options.count.is_none() {
        true => interactive(session, choice),
        false => in_turn(session, &choice),
    }
}

fn sample(session: &mut Session) -> Result<Sample> {
    session.options.timeout.get_or_insert(LOOK);
    Ok(Sample {
        at: Instant::now(),
        status: session.ask(&["STATUS"])?,
        workers: session.ask(&["WORKERS"])?,
    })
}

/// One table, or object, after each interval.
fn in_turn(session: &mut Session, choice: &Choice) -> Result<Code> {
    let mut before = sample(session)?;
    let mut left = session.options.count;
    while left != Some(0) {
        let until = before.at + choice.interval;
        while !wait::stopped() && Instant::now() < until {
            wait::wait([], Some(until));
        }
        if wait::stopped() {
            break;
        }
        let now = sample(session)?;
        let view = View::of(Some(&before), &now);
        print(session, choice, view)?;
        before = now;
        left = left.map(|n| n - 1);
        if left != Some(0) && !session.options.json {
            session.out.bytes(b"\n")?;
        }
    }
    Ok(Code::Done)
}

fn print(session: &Session, choice: &Choice, mut view: View) -> Result<()> {
    view.workers = choice.sorted(&view.workers);
    if session.options.json {
        return session.json(&view.to_value(super::now()));
    }
    let columns: Vec<_> = columns::top()
        .into_iter()
        .filter(|c| c.key != "bar")
        .collect();
    session.out.lines(&table(
        &view.workers,
        choice,
        &columns,
        session.out.room(),
        session.out.utf8,
    ))
}

fn interactive(session: &mut Session, mut choice: Choice) -> Result<Code> {
    let mut before = None;
    let mut now = sample(session)?;
    let mut note = None;
    let screen = Screen::enter()?;
    while !wait::stopped() {
        let view = View::of(before.as_ref(), &now);
        draw(session, &screen, &view, &mut choice, note.as_deref())?;
        let due = Instant::now() + choice.interval;
        if !keys_until(session, &screen, &view, &mut choice, note.as_deref(), due)? {
            break;
        }
        match sample(session) {
            Ok(next) => {
                before = Some(std::mem::replace(&mut now, next));
                note = None;
            }
            Err(fail) if matches!(fail.code, Code::Connect | Code::Timeout) => {
                // It may be back soon: an upgrade, a restart.
                session.hang_up();
                note = Some(format!("trying again: {}", fail.text));
            }
            Err(fail) if fail.code == Code::Interrupted => break,
            Err(fail) => return Err(fail),
        }
    }
    Ok(Code::Done)
}

/// false: the operator has seen enough.
fn keys_until(
    session: &Session,
    screen: &Screen,
    view: &View,
    choice: &mut Choice,
    note: Option<&str>,
    mut due: Instant,
) -> Result<bool> {
    let keys = screen.keys();
    while Instant::now() < due && !wait::stopped() {
        let stdin = keys.as_ref().map(std::os::fd::AsFd::as_fd);
        let [pressed] = wait::wait([(stdin, For::Input)], Some(due));
        let mut redraw = wait::resized();
        if pressed {
            let Some(pressed) = term::read_keys() else {
                return Ok(false);
            };
            for key in pressed {
                let interval = choice.interval;
                match choice.press(key) {
                    Wish::Quit => return Ok(false),
                    Wish::Redraw => redraw = true,
                    Wish::Nothing => {}
                }
                if choice.interval != interval {
                    due = Instant::now() + choice.interval;
                }
            }
        }
        if redraw {
            draw(session, screen, view, choice, note)?;
        }
    }
    Ok(!wait::stopped())
}

fn draw(
    session: &Session,
    screen: &Screen,
    view: &View,
    choice: &mut Choice,
    note: Option<&str>,
) -> Result<()> {
    let (width, height) = term::size();
    let size = Size {
        width,
        height,
        utf8: session.out.utf8,
    };
    let lines = lines(view, choice, note, &size);
    let paint = |line: &crate::text::Line| line.paint(session.out.coloured, Some(width));
    screen.draw(&lines.iter().map(paint).collect::<Vec<_>>())
}
