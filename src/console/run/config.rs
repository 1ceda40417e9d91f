//! Settings: those in force, and the few that change on the running service.

use super::super::glob;
use super::*;
use crate::config::Config;

/// What redis-benchmark wants to know of every server. No settings of ours, so only who
/// names them is told: nothing here is stored.
const OF_REDIS: [(&str, &str); 2] = [("save", ""), ("appendonly", "no")];

/// CONFIG GET pattern ...
pub(in crate::console) fn get(call: &mut Call<'_>) -> Answered {
    let mut pairs = Vec::new();
    for (name, value) in call.controller.config().show() {
        let lower = |pattern: &Vec<u8>| pattern.to_ascii_lowercase();
        if call
            .args
            .iter()
            .any(|p| glob::matches(&lower(p), name.as_bytes()))
        {
            pairs.extend([name.into(), value.into()]);
        }
    }
    for (name, value) in OF_REDIS {
        let named = |pattern: &Vec<u8>| pattern.eq_ignore_ascii_case(name.as_bytes());
        if call.args.iter().any(named) {
            pairs.extend([name.into(), value.into()]);
        }
    }
    reply(Value::Pairs(pairs))
}

/// CONFIG SET key value: by the same commands to the master as everything else.
pub(in crate::console) fn set(call: &mut Call<'_>) -> Answered {
    let name = call.text(0).to_lowercase();
    let kind = match name.as_str() {
        "workers" => DTM_CMD_SCALE,
        "accept_mode" => DTM_CMD_ACCEPT_MODE,
        "accept_tokens" => DTM_CMD_ACCEPT_TOKENS,
        "log_level" => DTM_CMD_LOG_LEVEL,
        known if Config::is_key(known) => {
            return Err(format!(
                "ERR CONFIG SET failed - can't set immutable config '{known}': change it in the \
                 configuration file and RELOAD"
            ));
        }
        _ => {
            let name = shown(&name);
            return Err(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ));
        }
    };
    let value = Config::parse_value(&name, &call.text(1)).map_err(|e| format!("ERR {e}"))?;
    service::ask(call, kind, value.into())
}
