//! Connections to the console.

use super::*;
use std::fmt::Write;

pub(in crate::console) fn id(call: &mut Call<'_>) -> Answered {
    reply(Value::count(call.conn.id))
}

pub(in crate::console) fn info(call: &mut Call<'_>) -> Answered {
    reply(Value::Text(line(call.conn)))
}

/// Which connections a CLIENT LIST is about.
enum Filter {
    All,
    Ids(Vec<u64>),
    Subscribers(bool),
}

impl Filter {
    fn of(call: &Call<'_>) -> Result<Self, String> {
        let count = call.args.len();
        if count == 0 {
            return Ok(Self::All);
        }
        if call.is(0, "id") && count > 1 {
            let ids = (1..count).map(|at| call.number(at, "ID"));
            return Ok(Self::Ids(ids.collect::<Result<_, _>>()?));
        }
        match () {
            () if call.is(0, "type") && call.is(1, "normal") => Ok(Self::Subscribers(false)),
            () if call.is(0, "type") && call.is(1, "pubsub") => Ok(Self::Subscribers(true)),
            () => Err("ERR syntax error: CLIENT LIST [ID number ... | TYPE normal|pubsub]".into()),
        }
    }

    fn fits(&self, conn: &Conn) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&conn.id),
            Self::Subscribers(wanted) => (conn.subscriptions() > 0) == *wanted,
        }
    }
}

pub(in crate::console) fn list(call: &mut Call<'_>) -> Answered {
    let filter = Filter::of(call)?;
    let mut text = String::new();
    let mut add = |conn: &Conn| {
        if filter.fits(conn) {
            text += &line(conn);
        }
    };
    for (id, conn) in call.console.conns.borrow().iter() {
        match *id == call.conn.id {
            true => add(call.conn),
            false => add(&conn.borrow()),
        }
    }
    reply(Value::Text(text))
}

/// As Redis writes it, with what there is here.
fn line(conn: &Conn) -> String {
    let now = crate::sys::now_ms();
    let seconds = |since: u64| now.saturating_sub(since) / 1000;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "id={} addr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} qbuf={} omem={} \
         cmd={} user={} resp={} lib-name={} lib-ver={} tot-cmds={}",
        conn.id,
        conn.address,
        conn.fd,
        conn.name,
        seconds(conn.since),
        seconds(conn.active),
        if conn.subscriptions() > 0 { "P" } else { "N" },
        conn.events.len(),
        conn.patterns.len(),
        conn.unread(),
        conn.unsent(),
        conn.last.replace(' ', "|"),
        conn.right.name(),
        if conn.resp == Resp::Three { 3 } else { 2 },
        conn.library[0],
        conn.library[1],
        conn.commands,
    );
    text
}

/// CLIENT KILL address, CLIENT KILL ID number
pub(in crate::console) fn kill(call: &mut Call<'_>) -> Answered {
    let by_id = call.args.len() == 2;
    let wanted = match by_id {
        true if call.is(0, "id") => Some(call.number(1, "ID")?),
        true if call.is(0, "addr") => None,
        true => {
            return Err("ERR syntax error: CLIENT KILL ID number, or CLIENT KILL address".into());
        }
        false => None,
    };
    let address = call.text(call.args.len() - 1);
    let fits = |conn: &Conn| wanted.map_or(conn.address == address, |id| conn.id == id);
    let mut killed = 0;
    if fits(call.conn) {
        call.conn.closing = true;
        killed += 1;
    }
    for (id, conn) in call.console.conns.borrow().iter() {
        if *id != call.conn.id && fits(&conn.borrow()) {
            let client = conn.borrow().client;
            killed += i64::from(call.controller.reactor().client_close(client).is_ok());
        }
    }
    match (by_id, killed) {
        (true, n) => reply(Value::Int(n)),
        (false, 0) => Err("ERR No such client".into()),
        (false, _) => reply(Value::ok()),
    }
}

pub(in crate::console) fn get_name(call: &mut Call<'_>) -> Answered {
    let name = call.conn.name.as_str();
    reply(if name.is_empty() {
        Value::Null
    } else {
        name.into()
    })
}

pub(in crate::console) fn set_name(call: &mut Call<'_>) -> Answered {
    call.conn.name = checked_name(&call.args[0])?;
    reply(Value::ok())
}

/// It stands in a line of words.
pub(super) fn checked_name(name: &[u8]) -> Result<String, String> {
    const LONGEST: usize = 64;
    let good = name.len() <= LONGEST && name.iter().all(|b| (b'!'..=b'~').contains(b));
    match std::str::from_utf8(name) {
        Ok(name) if good => Ok(name.to_owned()),
        _ => Err(format!(
            "ERR Client names cannot contain spaces, newlines or special characters, nor more \
             than {LONGEST} bytes."
        )),
    }
}

pub(in crate::console) fn set_info(call: &mut Call<'_>) -> Answered {
    let at = match () {
        () if call.is(0, "lib-name") => 0,
        () if call.is(0, "lib-ver") => 1,
        () => {
            return Err(format!(
                "ERR Unrecognized option '{}'",
                shown(&call.text(0))
            ));
        }
    };
    call.conn.library[at] = checked_name(&call.args[1])?;
    reply(Value::ok())
}
