//! What commands do. Each is one function: (who asks, arguments) -> what is answered.

pub(super) mod accept;
pub(super) mod actions;
pub(super) mod clients;
pub(super) mod config;
pub(super) mod events;
pub(super) mod help;
pub(super) mod info;
mod own;
pub(super) mod reports;
pub(super) mod service;
pub(super) mod session;
pub(super) mod status;

use super::conn::{Conn, Waiting};
use super::table::{self, Command};
use super::value::{Resp, Value};
use super::{Connection, Console};
use crate::controller::Controller;
use crate::ffi::*;
use crate::shm::Gauge;

pub(super) struct Call<'a> {
    pub(super) console: &'a Console,
    pub(super) controller: &'static Controller,
    pub(super) conn: &'a mut Conn,
    /// The words behind the command's name.
    pub(super) args: &'a [Vec<u8>],
}

pub(super) enum Outcome {
    Reply(Value),
    /// The answer comes later.
    Later(Waiting),
    /// Everything was said.
    Said,
}

/// An error is `CODE text`.
pub(super) type Answered = Result<Outcome, String>;
pub(super) type Run = fn(&mut Call<'_>) -> Answered;

impl Call<'_> {
    /// An argument as text.
    fn text(&self, at: usize) -> String {
        self.args
            .get(at)
            .map_or_else(String::new, |a| String::from_utf8_lossy(a).into_owned())
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.args
            .get(at)
            .is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// An argument that must be a whole number.
    fn number(&self, at: usize, what: &str) -> Result<u64, String> {
        let text = self.text(at);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| format!("ERR {what} '{}': must be a whole number", shown(&text)))
    }
}

fn reply(value: impl Into<Value>) -> Answered {
    Ok(Outcome::Reply(value.into()))
}

/// With JSON behind it, a command answers one line of JSON.
fn wants_json(call: &Call<'_>) -> Result<bool, String> {
    match call.args.first() {
        None => Ok(false),
        Some(_) if call.is(0, "json") => Ok(true),
        Some(_) => Err(format!("ERR '{}': JSON or nothing", shown(&call.text(0)))),
    }
}

fn reply_or_json(call: &Call<'_>, value: Value) -> Answered {
    match wants_json(call)? {
        false => reply(value),
        true => reply(Value::bulk(value.json())),
    }
}

/// What a client said, fit for one line and not too long.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A code of the API as Redis writes errors: `CODE text`.
pub(super) fn error_of(code: i32, text: &str) -> String {
    let name = crate::error::name(code).to_string_lossy();
    let word = match code {
        DTM_ENOFORK => "NOFORK",
        DTM_EREFUSED => "REFUSED",
        DTM_EFAILED => "FAILED",
        DTM_ECONFIG => "CONFIG",
        DTM_ENOTSUP => "NOTSUP",
        DTM_EGONE => "GONE",
        _ if code == -libc::EBUSY => "BUSY",
        _ if code == -libc::ENOSPC => "NOSPC",
        _ => "ERR",
    };
    match text.is_empty() {
        true => format!(
            "{word} {} ({name})",
            crate::error::message(code).to_string_lossy()
        ),
        false => format!("{word} {text}"),
    }
}

/// Who has subscribed in RESP2 hears events where answers would be: it may do no more than this.
const WHILE_SUBSCRIBED: &[&str] = &[
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "PING",
    "QUIT",
    "RESET",
];

/// Find the command, see that it is allowed, run it, answer.
pub(super) fn execute(
    console: &Console,
    controller: &'static Controller,
    conn: &Connection,
    words: &[Vec<u8>],
) {
    controller.count(Gauge::ConsoleCommands);
    let right = conn.borrow().right;
    let answered = table::find(&console.own, words, right).and_then(|command| {
        let mut conn_now = conn.borrow_mut();
        conn_now.commands += 1;
        conn_now.last = command.name().to_lowercase();
        let name = command.name();
        let listens = conn_now.subscriptions() > 0;
        let while_listening = WHILE_SUBSCRIBED.contains(&name);
        if conn_now.resp == Resp::Two && listens && !while_listening {
            return Err(format!(
                "ERR Can't execute '{}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                name.to_lowercase()
            ));
        }
        // Who only listens hears when this one ends.
        if controller.is_replaced() && !(listens && while_listening) {
            conn_now.closing = true;
            return Err("GONE this binary was replaced: connect again".into());
        }
        match command {
            Command::BuiltIn(built_in) => {
                let args = &words[command.words()..];
                (built_in.run)(&mut Call { console, controller, conn: &mut conn_now, args })
            }
            Command::Own(own) => {
                drop(conn_now); // the service's code runs: nothing stays borrowed
                Ok(Outcome::Reply(own::run(own, controller, words)))
            }
        }
    });
    let mut conn = conn.borrow_mut();
    match answered {
        Ok(Outcome::Reply(value)) => conn.reply(&value),
        Ok(Outcome::Later(waiting)) => conn.waiting = Some(waiting),
        Ok(Outcome::Said) => {}
        Err(text) => conn.reply(&Value::Error(text)),
    }
}
