//! The table of commands, as Redis clients want it and as people do.

use super::super::access::Right;
use super::super::table::{Group, all};
use super::*;

/// The commands that have no other in front of them: "CLIENT" for all of its subcommands.
fn heads(console: &Console) -> Vec<(String, Vec<Command<'_>>)> {
    let mut heads: Vec<(String, Vec<Command<'_>>)> = Vec::new();
    for command in all(&console.own) {
        let head = command
            .name()
            .split(' ')
            .next()
            .unwrap_or("")
            .to_lowercase();
        match heads.iter_mut().find(|(name, _)| *name == head) {
            Some((_, family)) => family.push(command),
            None => heads.push((head, vec![command])),
        }
    }
    heads
}

/// `config|get`
fn piped(command: &Command<'_>) -> String {
    command.name().to_lowercase().replace(' ', "|")
}

/// Redis 7: name, arity, flags, first key, last key, step, categories, tips, key
/// specifications, subcommands. There are no keys here.
fn entry(name: &str, arity: i64, right: Right, group: Group, subcommands: Vec<Value>) -> Value {
    let mut flags = vec![Value::Line("loading".into()), Value::Line("stale".into())];
    match right {
        Right::Operator => flags.push(Value::Line("admin".into())),
        Right::Observer => flags.push(Value::Line("readonly".into())),
        Right::Stranger => flags.push(Value::Line("no_auth".into())),
    }
    let zero = || Value::Int(0);
    Value::Array(vec![
        name.into(),
        Value::Int(arity),
        Value::Array(flags),
        zero(),
        zero(),
        zero(),
        Value::Array(vec![Value::Line(format!("@{}", group.name()))]),
        Value::Array(Vec::new()),
        Value::Array(Vec::new()),
        Value::Array(subcommands),
    ])
}

fn alone(c: &Command<'_>) -> Value {
    entry(&piped(c), c.arity(), c.right(), c.group(), Vec::new())
}

fn describe(head: &str, family: &[Command<'_>]) -> Value {
    let plain = family.iter().find(|c| c.words() == 1);
    let subcommands = family.iter().filter(|c| c.words() > 1);
    let subcommands: Vec<Value> = subcommands.map(alone).collect();
    let right = plain.map_or(Right::Observer, Command::right);
    let group = family.first().map_or(Group::Service, Command::group);
    let arity = match plain {
        Some(c) if subcommands.is_empty() => c.arity(),
        Some(_) => -1,
        None => -2,
    };
    entry(head, arity, right, group, subcommands)
}

fn matching(call: &Call<'_>) -> Vec<String> {
    call.args
        .iter()
        .map(|a| String::from_utf8_lossy(a).to_lowercase())
        .collect()
}

pub(in crate::console) fn command(call: &mut Call<'_>) -> Answered {
    let heads = heads(call.console);
    reply(Value::Array(
        heads
            .iter()
            .map(|(head, family)| describe(head, family))
            .collect(),
    ))
}

pub(in crate::console) fn count(call: &mut Call<'_>) -> Answered {
    reply(Value::count(heads(call.console).len()))
}

pub(in crate::console) fn list(call: &mut Call<'_>) -> Answered {
    let heads = heads(call.console);
    reply(Value::Array(
        heads.iter().map(|(head, _)| head.as_str().into()).collect(),
    ))
}

pub(in crate::console) fn info(call: &mut Call<'_>) -> Answered {
    if call.args.is_empty() {
        return command(call);
    }
    let heads = heads(call.console);
    let own = &call.console.own;
    let find = |name: &String| {
        let head = heads.iter().find(|(head, _)| head == name);
        let whole = head.map(|(head, family)| describe(head, family));
        // `config|get`
        let part = || all(own).find(|c| piped(c) == *name).map(|c| alone(&c));
        whole.or_else(part).unwrap_or(Value::Null)
    };
    reply(Value::Array(matching(call).iter().map(find).collect()))
}

/// name -> summary, group, arity, arguments, subcommands
pub(in crate::console) fn docs(call: &mut Call<'_>) -> Answered {
    let wanted = matching(call);
    let mut pairs = Vec::new();
    for (head, family) in heads(call.console) {
        if wanted.is_empty() || wanted.contains(&head) {
            pairs.push(head.as_str().into());
            pairs.push(document(&head, &family));
        }
        for part in family.iter().filter(|c| c.words() > 1) {
            if wanted.contains(&piped(part)) {
                pairs.extend([piped(part).into(), Value::Map(facts(part))]);
            }
        }
    }
    reply(Value::Pairs(pairs))
}

fn document(head: &str, family: &[Command<'_>]) -> Value {
    let subcommands: Vec<&Command<'_>> = family.iter().filter(|c| c.words() > 1).collect();
    let group = family.first().map_or(Group::Service, Command::group);
    let mut pairs: Vec<(&'static str, Value)> = match family.iter().find(|c| c.words() == 1) {
        Some(plain) => facts(plain),
        None => vec![
            (
                "summary",
                format!("A container for {} commands", head.to_uppercase()).into(),
            ),
            ("since", "0.1.0".into()),
            ("group", group.name().into()),
        ],
    };
    if !subcommands.is_empty() {
        let all = subcommands
            .iter()
            .flat_map(|c| [piped(c).into(), Value::Map(facts(c))]);
        pairs.push(("subcommands", Value::Pairs(all.collect())));
    }
    Value::Map(pairs)
}

fn facts(command: &Command<'_>) -> Vec<(&'static str, Value)> {
    let mut pairs = vec![
        ("summary", command.help().into()),
        ("since", "0.1.0".into()),
        ("group", command.group().name().into()),
        ("complexity", "O(N) in the number of workers at most".into()),
    ];
    if !command.args().is_empty() {
        let argument = Value::Map(vec![
            ("name", command.args().into()),
            ("type", "string".into()),
            ("display_text", command.args().into()),
        ]);
        pairs.push(("arguments", Value::Array(vec![argument])));
    }
    pairs
}

/// HELP [name ...]: for people, with what each command asks for.
pub(in crate::console) fn help(call: &mut Call<'_>) -> Answered {
    let wanted = matching(call).join(" ");
    let mut text = String::new();
    for command in all(&call.console.own) {
        if !format!("{} ", command.name().to_lowercase())
            .starts_with(&format!("{wanted} ").trim_start().to_owned())
        {
            continue;
        }
        let usage = format!("{} {}", command.name(), command.args());
        let mark = if command.right() == Right::Operator {
            '*'
        } else {
            ' '
        };
        text += &format!("{mark} {:<44} {}\n", usage.trim_end(), command.help());
    }
    if text.is_empty() {
        return Err(format!(
            "ERR no command '{}', HELP lists all",
            shown(&wanted)
        ));
    }
    text += "* for operators\n";
    reply(Value::Text(text))
}
