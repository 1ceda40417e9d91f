//! The connection itself: who it is, what it speaks.

use super::super::access::{Right, same_secret};
use super::*;

/// Guessing costs a new connection after so many tries, and leaves a line in the log.
const MOST_TRIES: u32 = 3;

pub(in crate::console) fn ping(call: &mut Call<'_>) -> Answered {
    let subscribed = call.conn.resp == Resp::Two && call.conn.subscriptions() > 0;
    match (subscribed, call.args.first()) {
        (true, text) => {
            let text = text.cloned().unwrap_or_default();
            reply(Value::Array(vec!["pong".into(), Value::Bulk(text)]))
        }
        (false, None) => reply(Value::Line("PONG".into())),
        (false, Some(text)) => reply(Value::Bulk(text.clone())),
    }
}

pub(in crate::console) fn echo(call: &mut Call<'_>) -> Answered {
    reply(Value::Bulk(call.args[0].clone()))
}

pub(in crate::console) fn quit(call: &mut Call<'_>) -> Answered {
    call.conn.closing = true;
    reply(Value::ok())
}

pub(in crate::console) fn select(call: &mut Call<'_>) -> Answered {
    match call.number(0, "database")? {
        0 => reply(Value::ok()),
        _ => Err("ERR DB index is out of range".into()),
    }
}

pub(in crate::console) fn reset(call: &mut Call<'_>) -> Answered {
    let conn = &mut *call.conn;
    conn.right = call
        .console
        .first_right(&conn.caller, &call.controller.config().console);
    conn.resp = Resp::Two;
    conn.name.clear();
    conn.events.clear();
    conn.patterns.clear();
    reply(Value::Line("RESET".into()))
}

/// AUTH [user] password
pub(in crate::console) fn auth(call: &mut Call<'_>) -> Answered {
    let (user, password) = match call.args {
        [password] => (None, password),
        [user, password] => (Some(user), password),
        _ => return Err("ERR syntax error: AUTH [user] password".into()),
    };
    check(call, user.cloned(), &password.clone())?;
    reply(Value::ok())
}

/// There is one account, by the names that clients know.
fn check(call: &mut Call<'_>, user: Option<Vec<u8>>, password: &[u8]) -> Result<(), String> {
    let config = call.controller.config();
    let Some(wanted) = &config.console.password else {
        return Err("ERR AUTH called without any password configured: set control_password".into());
    };
    let known = |user: &Vec<u8>| user == b"default" || user == b"operator";
    let right = same_secret(password, wanted.as_bytes());
    if right && user.as_ref().is_none_or(known) {
        call.conn.right = Right::Operator;
        call.conn.wrong_passwords = 0;
        return Ok(());
    }
    call.conn.wrong_passwords += 1;
    ::log::warn!("console: {} gave a wrong password", call.conn.address);
    call.conn.closing = call.conn.wrong_passwords >= MOST_TRIES;
    Err("WRONGPASS invalid username-password pair or user is disabled.".into())
}

/// HELLO [version [AUTH user password] [SETNAME name]]
pub(in crate::console) fn hello(call: &mut Call<'_>) -> Answered {
    let resp = match call.args.first().map(Vec::as_slice) {
        None => call.conn.resp,
        Some(b"2") => Resp::Two,
        Some(b"3") => Resp::Three,
        Some(_) => return Err("NOPROTO unsupported protocol version".into()),
    };
    let mut name = None;
    let mut at = 1;
    while at < call.args.len() {
        if call.is(at, "auth") && at + 2 < call.args.len() {
            let (user, password) = (call.args[at + 1].clone(), call.args[at + 2].clone());
            check(call, Some(user), &password)?;
            at += 3;
        } else if call.is(at, "setname") && at + 1 < call.args.len() {
            name = Some(clients::checked_name(&call.args[at + 1])?);
            at += 2;
        } else {
            return Err(format!(
                "ERR Syntax error in HELLO option '{}'",
                shown(&call.text(at))
            ));
        }
    }
    if call.conn.right == Right::Stranger {
        return Err(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time"
                .into(),
        );
    }
    call.conn.resp = resp;
    if let Some(name) = name {
        call.conn.name = name;
    }
    let version = if resp == Resp::Three { 3 } else { 2 };
    reply(Value::Map(vec![
        ("server", "libdtm".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("proto", Value::Int(version)),
        ("id", Value::count(call.conn.id)),
        ("mode", "standalone".into()),
        ("role", "master".into()),
        ("modules", Value::Array(Vec::new())),
    ]))
}
