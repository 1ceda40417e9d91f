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
