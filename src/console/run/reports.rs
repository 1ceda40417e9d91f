//! What is kept of processes that crashed or had to be killed.

use super::*;
use crate::report::{describe, text};

fn kind_name(kind: u32) -> &'static str {
    match kind {
        DTM_REPORT_CRASH => "crash",
        DTM_REPORT_HANG => "hang",
        DTM_REPORT_START => "start timeout",
        DTM_REPORT_DEADLINE => "deadline",
        DTM_REPORT_MEMORY => "memory",
        _ => "unknown",
    }
}

/// One report; with its stack, or in a line.
fn row(report: &dtm_report_t, whole: bool) -> Value {
    let mut pairs = vec![
        ("number", Value::count(report.number)),
        ("time", Value::Int(report.time)),
        ("kind", kind_name(report.kind).into()),
        ("role", crate::role::name(report.role).into()),
        ("slot", Value::count(report.slot)),
        ("generation", Value::count(report.generation)),
        ("spawn", Value::count(report.spawn)),
        ("pid", Value::Int(report.pid.into())),
        ("signal", Value::Int(report.signal.into())),
        ("core", Value::Bool(report.core != 0)),
        ("stuck_ms", Value::count(report.stuck_ms)),
        (
            "client",
            if report.client == 0 {
                Value::Null
            } else {
                Value::count(report.client)
            },
        ),
        ("text", describe(report).into()),
    ];
    if whole {
        let address = format!("{:#x}", report.address);
        let stack = text(&report.stack);
        pairs.extend([
            ("code", Value::Int(report.code.into())),
            ("address", address.into()),
            (
                "stack",
                Value::Array(stack.lines().map(Value::from).collect()),
            ),
        ]);
    }
    Value::Map(pairs)
}

/// REPORTS [JSON]: the newest first, without their stacks.
pub(in crate::console) fn list(call: &mut Call<'_>) -> Answered {
    let reports = call.controller.child.shared.reports.all();
    let value = Value::Array(reports.iter().map(|r| row(r, false)).collect());
    reply_or_json(call, value)
}

/// REPORT LAST|number [JSON]: one of them whole.
pub(in crate::console) fn show(call: &mut Call<'_>) -> Answered {
    let reports = call.controller.child.shared.reports.all();
    let found = match call.is(0, "last") {
        true => reports.first(),
        false => {
            let number = call.number(0, "report")?;
            reports.iter().find(|r| r.number == number)
        }
    };
    let Some(report) = found else {
        return Err("GONE there is no such report: REPORTS lists those that are kept".into());
    };
    let value = row(report, true);
    match call.args.get(1) {
        None => reply(value),
        Some(_) if call.is(1, "json") => reply(Value::bulk(value.json())),
        Some(_) => Err(format!("ERR '{}': JSON or nothing", shown(&call.text(1)))),
    }
}
