//! Settings: those in force, and the few that change on the running service.

use super::super::glob;
use super::*;
use crate::config::Config;
use std::collections::BTreeMap;

/// What redis-benchmark wants to know of every server. No settings of ours, so only who
/// names them is told: nothing here is stored.
const OF_REDIS: [(&str, &str); 2] = [("save", ""), ("appendonly", "no")];

/// What commands have changed since the configuration was loaded.
fn changed(call: &Call<'_>) -> BTreeMap<&'static str, String> {
    let shared = &call.controller.child.shared;
    let mode = shared.schedule.report(None).wanted;
    let mut changed = BTreeMap::from([
        ("accept_mode", Config::show_value("accept_mode", mode)),
        ("accept_tokens", shared.schedule.tokens().to_string()),
        ("log_level", service::level_in_force()),
    ]);
    if let Some(facts) = shared.facts.read() {
        changed.insert("workers", facts.workers.to_string());
    }
    changed
}

/// CONFIG GET pattern ...
pub(in crate::console) fn get(call: &mut Call<'_>) -> Answered {
    let mut pairs = Vec::new();
    let mut changed = changed(call);
    for (name, loaded) in call.controller.config().show() {
        let value = changed.remove(name).unwrap_or(loaded);
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
