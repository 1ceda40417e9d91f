//! The state of the service.

use super::*;

pub(in crate::console) fn status(call: &mut Call<'_>) -> Answered {
    let value = call.console.status(call.controller).to_value();
    reply_or_json(call, value)
}

pub(in crate::console) fn workers(call: &mut Call<'_>) -> Answered {
    let value = call.console.status(call.controller).workers_value();
    reply_or_json(call, value)
}

pub(in crate::console) fn generations(call: &mut Call<'_>) -> Answered {
    let value = call.console.status(call.controller).generations_value();
    reply_or_json(call, value)
}

/// CLIENTS [SLOT n | PID n | SPAWN n] [JSON]
pub(in crate::console) fn clients(call: &mut Call<'_>) -> Answered {
    let json = call.args.len() % 2 == 1;
    let last = call.args.len().saturating_sub(1);
    if json && !call.is(last, "json") {
        let text = shown(&call.text(last));
        return Err(format!(
            "ERR '{text}': CLIENTS [SLOT n | PID n | SPAWN n] [JSON]"
        ));
    }
    let workers = match call.args.len() {
        0 | 1 => call.controller.workers(),
        _ => vec![service::worker(call, 0)?],
    };
    let (console, controller, conn) = (call.console, call.controller, call.conn.id);
    let waiting = console.ask_workers(controller, conn, workers, json)?;
    Ok(Outcome::Later(waiting))
}
