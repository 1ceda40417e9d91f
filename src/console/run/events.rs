//! Subscriptions to life events, see `life`.

use super::super::life;
use super::*;
use std::collections::BTreeSet;

/// More would only be a way to make every event dear.
const MOST: usize = 64;
const LONGEST_PATTERN: usize = 128;

type Set = fn(&mut Conn) -> &mut BTreeSet<String>;

fn add(
    call: &mut Call<'_>,
    kind: &'static str,
    set: Set,
    check: fn(&str) -> Result<(), String>,
) -> Answered {
    let names: Vec<String> = (0..call.args.len()).map(|at| call.text(at)).collect();
    // All of them or none.
    for name in &names {
        check(name)?;
    }
    if call.conn.subscriptions() + names.len() > MOST {
        return Err(format!(
            "ERR more than {MOST} subscriptions of one connection"
        ));
    }
    for name in names {
        set(call.conn).insert(name.clone());
        confirm(call, kind, Some(name));
    }
    Ok(Outcome::Said)
}

fn remove(call: &mut Call<'_>, kind: &'static str, set: Set) -> Answered {
    let mut names: Vec<String> = (0..call.args.len()).map(|at| call.text(at)).collect();
    if names.is_empty() {
        names = set(call.conn).iter().cloned().collect();
    }
    if names.is_empty() {
        confirm(call, kind, None);
    }
    for name in names {
        set(call.conn).remove(&name);
        confirm(call, kind, Some(name));
    }
    Ok(Outcome::Said)
}

fn confirm(call: &mut Call<'_>, kind: &str, name: Option<String>) {
    let count = Value::count(call.conn.subscriptions());
    let said = Value::Push(vec![
        kind.into(),
        name.map_or(Value::Null, Value::from),
        count,
    ]);
    call.conn.reply(&said);
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    match pattern.len() {
        0..=LONGEST_PATTERN => Ok(()),
        _ => Err(format!("ERR a pattern has at most {LONGEST_PATTERN} bytes")),
    }
}

pub(in crate::console) fn subscribe(call: &mut Call<'_>) -> Answered {
    add(call, "subscribe", |conn| &mut conn.events, life::check)
}

pub(in crate::console) fn unsubscribe(call: &mut Call<'_>) -> Answered {
    remove(call, "unsubscribe", |conn| &mut conn.events)
}

pub(in crate::console) fn psubscribe(call: &mut Call<'_>) -> Answered {
    add(call, "psubscribe", |conn| &mut conn.patterns, check_pattern)
}

pub(in crate::console) fn punsubscribe(call: &mut Call<'_>) -> Answered {
    remove(call, "punsubscribe", |conn| &mut conn.patterns)
}
