//! Durable actions: what dtm_action_list() and its like say, for operators. flow: C10

use super::*;
use crate::action::{Fleet, FleetEntry, Instance, Policy};
use crate::error::Error;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// Bytes of instances in one answer: it fits into what a connection may have unsent.
const LISTED: usize = 700 << 10;

/// ACTIONS [JSON]: how it is with the store, and its instances.
pub(in crate::console) fn list(call: &mut Call<'_>) -> Answered {
    let status = call.controller.store_status();
    let all = call.controller.action_list();
    let total = all.len();
    let rows = within(all, LISTED);
    let rows = rows.iter().map(|instance| row(instance)).collect();
    let value = Value::Map(vec![
        ("store", Value::bulk(status.state)),
        ("trouble", Value::bulk(status.text)),
        ("unfinished", Value::count(status.unfinished)),
        ("total", Value::count(total)),
        ("actions", Value::Array(rows)),
    ]);
    reply_or_json(call, value)
}

/// As many as have room, by their numbers: the unfinished before the others, the newest
/// before the older.
fn within(mut all: Vec<Rc<Instance>>, room: usize) -> Vec<Rc<Instance>> {
    all.sort_by_key(|i| (i.state.is_final(), std::cmp::Reverse(i.id)));
    let mut left = room;
    let fits = all.iter().take_while(|i| {
        // The names and numbers of a row take some 300 bytes.
        let size = 300 + i.name.len() + i.args.len() + i.text.len();
        left.checked_sub(size).map(|rest| left = rest).is_some()
    });
    let fits = fits.count();
    all.truncate(fits);
    all.sort_by_key(|i| i.id);
    all
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

/// The answer comes when the store has given its own.
fn later<T>(
    call: &Call<'_>,
    work: impl Future<Output = Result<T, Error>> + 'static,
    show: impl FnOnce(T) -> Value + 'static,
) -> Answered {
    let (controller, conn) = (call.controller, call.conn.id);
    let waiting = Waiting::Store(call.conn.commands);
    let job = async move {
        let value = match work.await {
            Ok(done) => show(done),
            Err(error) => Value::Error(fails(error)),
        };
        if let Ok(console) = controller.console() {
            console.answer(controller, conn, waiting, &value);
        }
    };
    controller.enqueue_job(job).map_err(fails)?;
    Ok(Outcome::Later(waiting))
}

/// ACTIONS START name [args ...]: the words are joined by spaces.
pub(in crate::console) fn start(call: &mut Call<'_>) -> Answered {
    let (name, args) = (call.text(0), call.args[1..].join(&b' '));
    call.controller.check_start(&name, &args).map_err(fails)?;
    later(call, call.controller.action_start(name, args), Value::count)
}

fn control(call: &mut Call<'_>, verb: u32) -> Answered {
    let id = call.number(0, "action")?;
    call.controller.check_control(id, verb).map_err(fails)?;
    let done = call.controller.action_control(id, verb);
    later(call, done, |()| Value::ok())
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
    later(call, call.controller.action_history(id), |lines| {
        Value::Array(lines.into_iter().map(Value::bulk).collect())
    })
}

/// ACTIONS NAMES: what can be started.
pub(in crate::console) fn names(call: &mut Call<'_>) -> Answered {
    let names = call.controller.action_names();
    reply(Value::Array(names.into_iter().map(Value::bulk).collect()))
}

/// FLEET [JSON]: every action of the fleet, and where each host is.
pub(in crate::console) fn fleet(call: &mut Call<'_>) -> Answered {
    let json = wants_json(call)?;
    later(call, call.controller.fleet_list(), move |list| {
        let value = Value::Array(list.iter().map(fleet_row).collect());
        if json {
            Value::bulk(value.json())
        } else {
            value
        }
    })
}

fn fleet_row((fleet, entries): &(Fleet, BTreeMap<String, FleetEntry>)) -> Value {
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
}

/// FLEET START skip|block name [args ...]
pub(in crate::console) fn fleet_start(call: &mut Call<'_>) -> Answered {
    let policy = match () {
        () if call.is(0, "skip") => Policy::Skip,
        () if call.is(0, "block") => Policy::Block,
        () => return Err(format!("ERR '{}': skip or block", shown(&call.text(0)))),
    };
    let (name, args) = (call.text(1), call.args[2..].join(&b' '));
    call.controller.check_start(&name, &args).map_err(fails)?;
    let id = call.controller.fleet_start(name, args, policy);
    later(call, id, Value::count)
}

pub(in crate::console) fn fleet_cancel(call: &mut Call<'_>) -> Answered {
    let id = call.number(0, "fleet action")?;
    let done = call.controller.fleet_cancel(id);
    later(call, done, |()| Value::ok())
}

/// FLEET HOSTS: who holds a lease now.
pub(in crate::console) fn fleet_hosts(call: &mut Call<'_>) -> Answered {
    later(call, call.controller.fleet_hosts(), |hosts| {
        Value::Array(hosts.into_iter().map(Value::bulk).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::State;

    #[test]
    fn an_answer_has_room_for_the_unfinished_first_and_then_the_newest() {
        let instance = |id, state| {
            let mut instance = Instance::new(id, "a", &[b'x'; 699], 0, false);
            instance.state = state;
            Rc::new(instance)
        };
        let all = || {
            let done = (2..=5).map(|id| instance(id, State::Done));
            let old = [instance(1, State::Paused)];
            old.into_iter().chain(done).collect::<Vec<_>>()
        };
        let ids = |room| {
            let listed = within(all(), room);
            listed.iter().map(|i| i.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(5_000), [1, 2, 3, 4, 5]);
        assert_eq!(ids(3_000), [1, 4, 5]);
        assert_eq!(ids(999), [0; 0]);
    }
}
