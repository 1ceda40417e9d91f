//! The accept schedule.

use super::super::names::mode_name;
use super::super::status::ratio;
use super::*;
use crate::config::Config;

fn stands(call: &Call<'_>) -> dtm_accept_t {
    call.controller.child.shared.schedule.report(None)
}

pub(in crate::console) fn mode(call: &mut Call<'_>) -> Answered {
    let accept = stands(call);
    reply(Value::Map(vec![
        ("wanted", mode_name(accept.wanted).into()),
        ("in_force", mode_name(accept.mode).into()),
    ]))
}

pub(in crate::console) fn set_mode(call: &mut Call<'_>) -> Answered {
    let mode = Config::parse_value("accept_mode", &call.text(0).to_lowercase());
    service::ask(
        call,
        DTM_CMD_ACCEPT_MODE,
        mode.map_err(|e| format!("ERR {e}"))?.into(),
    )
}

pub(in crate::console) fn tokens(call: &mut Call<'_>) -> Answered {
    reply(Value::count(stands(call).tokens))
}

pub(in crate::console) fn set_tokens(call: &mut Call<'_>) -> Answered {
    let tokens = match call.is(0, "default") {
        true => 0,
        false => match call.number(0, "tokens")? {
            n @ 1..=64 => n,
            n => return Err(format!("ERR tokens '{n}': must be 1..64, or default")),
        },
    };
    service::ask(call, DTM_CMD_ACCEPT_TOKENS, tokens)
}

pub(in crate::console) fn stats(call: &mut Call<'_>) -> Answered {
    let a = stands(call);
    let value = Value::Map(vec![
        ("wanted", mode_name(a.wanted).into()),
        ("mode", mode_name(a.mode).into()),
        ("workers", Value::count(a.workers)),
        ("willing", Value::count(a.willing)),
        ("queues", Value::count(a.queues)),
        ("tokens", Value::count(a.tokens)),
        ("depth", Value::count(a.depth)),
        ("waiting_ms", Value::count(a.waiting_ms)),
        ("load_min", Value::count(a.load_min)),
        ("load_max", Value::count(a.load_max)),
        ("skew", Value::Double(ratio(a.skew.into(), 1000))),
        ("accepted", Value::count(a.accepted)),
        ("moves", Value::count(a.moves)),
        ("passed", Value::count(a.passed)),
        ("repassed", Value::count(a.repassed)),
        ("rescues", Value::count(a.rescues)),
        ("empty", Value::count(a.empty)),
        ("errors", Value::count(a.errors)),
        ("switches", Value::count(a.switches)),
        ("late", Value::count(a.late)),
        ("drops", Value::count(a.drops)),
    ]);
    reply_or_json(call, value)
}
