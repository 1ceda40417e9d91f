//! Durable actions: what dtm_action_list() and its like say, for operators. flow: C10

use super::*;
use crate::action::{Instance, Policy};
use crate::error::Error;

/// ACTIONS [JSON]: how it is with the store, and every instance.
pub(in crate::console) fn list(call: &mut Call<'_>) -> Answered {
    let status = call.controller.store_status();
    let rows = call.controller.action_list();
    let rows = rows.iter().map(|instance| row(instance)).collect();
    let value = Value::Map(vec![
        ("store", Value::bulk(status.state)),
        ("trouble", Value::bulk(status.text)),
        ("unfinished", Value::count(status.unfinished)),
        ("actions", Value::Array(rows)),
    ]);
    reply_or_json(call, value)
}

fn row(instance: &Instance) -> Value {
    let wait = instance.wait.map(|w| Value::bulk(w.what.name()));
    Value::Map(vec![
        ("id", Value::count(instance.id)),
        ("name", Value::bulk(instance.name.clone())),
        ("args", Value::bulk(instance.args.clone())),
        ("state", Value::bulk(instance.state.name())),
        ("phase", Value::count(instance.phase)),
        ("step", Value::count(instance.step)),
        ("attempt", Value::count(instance.attempt)),
        ("wait", wait.unwrap_or(Value::Null)),
        ("started_ms", Value::count(instance.started)),
        ("changed_ms", Value::count(instance.changed)),
        ("text", Value::bulk(instance.text.clone())),
    ])
}

fn fails(error: Error) -> String {
    error_of(error.code, &error.text)
}

/// ACTIONS START name [args ...]: the words are joined by spaces.
pub(in crate::console) fn start(call: &mut Call<'_>) -> Answered {
    let args = call.args[1..].join(&b' ');
    let id = call.controller.action_start(&call.text(0), &args);
    reply(Value::count(id.map_err(fails)?))
}

fn control(call: &mut Call<'_>, verb: u32) -> Answered {
    let id = call.number(0, "action")?;
    call.controller.action_control(id, verb).map_err(fails)?;
    reply(Value::ok())
}

pub(in crate::console) fn pause(call: &mut Call<'_>) -> Answered {
    control(call, DTM_VERB_PAUSE)
}

pub(in crate::console) fn resume(call: &mut Call<'_>) -> Answered {
    control(call, DTM_VERB_RESUME)
}

pub(in crate::console) fn cancel(call: &mut Call<'_>) -> Answered {
    control(call, DTM_VERB_CANCEL)
}

pub(in crate::console) fn go(call: &mut Call<'_>) -> Answered {
    control(call, DTM_VERB_GO)
}

/// ACTIONS HISTORY id: a line for each change, oldest first.
pub(in crate::console) fn history(call: &mut Call<'_>) -> Answered {
    let id = call.number(0, "action")?;
    let lines = call.controller.action_history(id).map_err(fails)?;
    reply(Value::Array(lines.into_iter().map(Value::bulk).collect()))
}

/// ACTIONS NAMES: what can be started.
pub(in crate::console) fn names(call: &mut Call<'_>) -> Answered {
    let names = call.controller.action_names();
    reply(Value::Array(names.into_iter().map(Value::bulk).collect()))
}

/// FLEET [JSON]: every action of the fleet, and where each host is.
pub(in crate::console) fn fleet(call: &mut Call<'_>) -> Answered {
    let list = call.controller.fleet_list().map_err(fails)?;
    let rows = list.iter().map(|(fleet, entries)| {
        let hosts = fleet.hosts.iter().map(|host| {
            let entry = entries.get(host).map_or("waiting".into(), |e| e.encode());
            Value::bulk(format!("{host} {entry}"))
        });
        Value::Map(vec![
            ("id", Value::count(fleet.id)),
            ("name", Value::bulk(fleet.name.clone())),
            ("state", Value::bulk(fleet.state.name())),
            ("hosts", Value::Array(hosts.collect())),
        ])
    });
    reply_or_json(call, Value::Array(rows.collect()))
}

/// FLEET START skip|block name [args ...]
pub(in crate::console) fn fleet_start(call: &mut Call<'_>) -> Answered {
    let policy = match () {
        () if call.is(0, "skip") => Policy::Skip,
        () if call.is(0, "block") => Policy::Block,
        () => return Err(format!("ERR '{}': skip or block", shown(&call.text(0)))),
    };
    let args = call.args[2..].join(&b' ');
    let id = call.controller.fleet_start(&call.text(1), &args, policy);
    reply(Value::count(id.map_err(fails)?))
}

pub(in crate::console) fn fleet_cancel(call: &mut Call<'_>) -> Answered {
    let id = call.number(0, "fleet action")?;
    call.controller.fleet_cancel(id).map_err(fails)?;
    reply(Value::ok())
}

/// FLEET HOSTS: who holds a lease now.
pub(in crate::console) fn fleet_hosts(call: &mut Call<'_>) -> Answered {
    let hosts = call.controller.fleet_hosts().map_err(fails)?;
    reply(Value::Array(hosts.into_iter().map(Value::bulk).collect()))
}
