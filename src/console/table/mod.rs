//! The one table of commands: the console's own and the service's. Whatever syntax a
//! command comes in, it is looked up and permitted here.

mod built_in;

pub(super) use built_in::Group;

use super::access::Right;
use crate::error::{Error, Result};
use crate::ffi::dtm_console_cb;
use built_in::{BUILT_IN, BuiltIn, MANY};
use std::ffi::c_void;

/// A command of the service's.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) name: String,
    /// As in Redis.
    pub(crate) arity: i32,
    pub(crate) operator_only: bool,
    pub(crate) help: String,
    pub(crate) handler: dtm_console_cb,
    pub(crate) data: *mut c_void,
}

/// A command that was found.
#[derive(Clone, Copy)]
pub(super) enum Command<'a> {
    BuiltIn(&'static BuiltIn),
    Own(&'a Registered),
}

impl Command<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::BuiltIn(c) => c.name,
            Self::Own(c) => &c.name,
        }
    }

    pub(super) fn words(&self) -> usize {
        self.name().split(' ').count()
    }

    pub(super) fn args(&self) -> &str {
        match self {
            Self::BuiltIn(c) => c.args,
            Self::Own(c) if c.arity == 1 => "",
            Self::Own(_) => "argument ...",
        }
    }

    pub(super) fn help(&self) -> &str {
        match self {
            Self::BuiltIn(c) => c.help,
            Self::Own(c) => &c.help,
        }
    }

    pub(super) fn group(&self) -> Group {
        match self {
            Self::BuiltIn(c) => c.group,
            Self::Own(_) => Group::Own,
        }
    }

    pub(super) fn right(&self) -> Right {
        match self {
            Self::BuiltIn(c) => c.right,
            Self::Own(c) if c.operator_only => Right::Operator,
            Self::Own(_) => Right::Observer,
        }
    }

    /// Fewest and most words behind the name.
    fn count(&self) -> (usize, usize) {
        match self {
            Self::BuiltIn(c) => c.count,
            Self::Own(c) => {
                let least =
                    usize::try_from(c.arity.unsigned_abs()).map_or(0, |n| n.saturating_sub(1));
                (least, if c.arity < 0 { MANY } else { least })
            }
        }
    }

    /// As in Redis: all words, or at least so many if negative.
    pub(super) fn arity(&self) -> i64 {
        let (least, most) = self.count();
        let words = i64::try_from(self.words() + least).unwrap_or(0);
        if least == most { words } else { -words }
    }
}

/// All commands.
pub(super) fn all(own: &[Registered]) -> impl Iterator<Item = Command<'_>> {
    let built_in = BUILT_IN.iter().map(Command::BuiltIn);
    built_in.chain(own.iter().map(Command::Own))
}

/// How many words of the line are this name; 0: it is another one.
fn match_name(name: &str, words: &[Vec<u8>]) -> usize {
    let mut matched = 0;
    for part in name.split(' ') {
        match words.get(matched) {
            Some(word) if part.as_bytes().eq_ignore_ascii_case(word) => matched += 1,
            _ => return 0,
        }
    }
    matched
}

/// The command that a line asks for, and whether it may: the one path for all of them.
/// An error is what is answered. Pure.
pub(super) fn find<'a>(
    own: &'a [Registered],
    words: &[Vec<u8>],
    right: Right,
) -> std::result::Result<Command<'a>, String> {
    let best = all(own)
        .map(|command| (match_name(command.name(), words), command))
        .filter(|(matched, _)| *matched > 0)
        .max_by_key(|(matched, _)| *matched)
        .map(|(_, command)| command);
    let Some(command) = best else {
        // Strangers are not told what there is.
        return Err(if right == Right::Stranger {
            no_auth()
        } else {
            unknown(own, words)
        });
    };
    if right == Right::Stranger && command.right() > right {
        return Err(no_auth());
    }
    let (least, most) = command.count();
    let given = words.len() - command.words();
    if given < least || given > most {
        let first = String::from_utf8_lossy(&words[0]).into_owned();
        let subcommands =
            all(own).any(|c| c.words() > command.words() && match_name_of(&c, &first));
        if subcommands && given > most {
            return Err(unknown(own, words));
        }
        return Err(format!(
            "ERR wrong number of arguments for '{}' command: {} {}",
            command.name().to_lowercase().replace(' ', "|"),
            command.name(),
            command.args()
        )
        .trim_end()
        .to_owned());
    }
    if command.right() > right {
        return Err(format!(
            "NOPERM {} is for operators: see control_operators, or AUTH with the control_password",
            command.name()
        ));
    }
    Ok(command)
}

fn match_name_of(command: &Command<'_>, first: &str) -> bool {
    command
        .name()
        .split(' ')
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(first))
}

fn no_auth() -> String {
    "NOAUTH Authentication required.".into()
}

fn unknown(own: &[Registered], words: &[Vec<u8>]) -> String {
    let text = |word: &Vec<u8>| -> String {
        String::from_utf8_lossy(word)
            .chars()
            .take(128)
            .flat_map(char::escape_debug)
            .collect()
    };
    let first = text(&words[0]);
    let family: Vec<_> = all(own)
        .filter(|c| c.words() > 1 && match_name_of(c, &first))
        .collect();
    if family.is_empty() {
        return format!("ERR unknown command '{first}', try HELP");
    }
    let names: Vec<&str> = family.iter().map(Command::name).collect();
    let second = words.get(1).map_or_else(String::new, text);
    format!(
        "ERR unknown subcommand '{second}' of '{first}': there are {}",
        names.join(", ")
    )
}

/// May the service register this name?
pub(crate) fn check_name(name: &str, others: &[Registered]) -> Result<()> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !(1..=32).contains(&name.len()) || !name.bytes().all(letter) {
        return Err(Error::invalid(format!(
            "command name {name:?}: must be 1..32 letters, digits, `.`, `_` or `-`"
        )));
    }
    if let Some(taken) = all(others).find(|c| match_name_of(c, name)) {
        return Err(Error::invalid(format!(
            "command name {name}: {} is a command already",
            taken.name()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
