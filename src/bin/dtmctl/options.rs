//! The one table of options. Help and completion read it, too.

use crate::fail::{Fail, Result};

pub(crate) struct Opt {
    pub(crate) short: Option<char>,
    pub(crate) long: &'static str,
    /// What its value is called; empty: it has none.
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    /// For every command; else for those that list it.
    pub(crate) global: bool,
}

macro_rules! options {
    ($($global:literal $short:expr, $long:literal $value:literal $help:literal;)*) => {
        pub(crate) const OPTIONS: &[Opt] = &[$(Opt {
            short: $short, long: $long, value: $value, help: $help, global: $global,
        },)*];
    };
}

options! {
    true Some('s'), "socket" "PATH" "The console's Unix socket; @NAME: an abstract one [DTMCTL_SOCKET]";
    true Some('h'), "host" "HOST" "The console's host, for a TCP listener [DTMCTL_HOST, 127.0.0.1]";
    true Some('p'), "port" "PORT" "The console's TCP port [DTMCTL_PORT]";
    true Some('a'), "password" "TEXT" "Password; other users can see it, so rather [DTMCTL_PASSWORD]";
    true None, "password-file" "FILE" "Password: the file's first line [DTMCTL_PASSWORD_FILE]";
    true None, "askpass" "" "Ask for the password";
    true Some('j'), "json" "" "Answer as JSON, one value per line";
    true Some('q'), "quiet" "" "No progress, only the result";
    true Some('t'), "timeout" "SECONDS" "Longest wait for an answer [10; what changes something: no limit]";
    true None, "color" "WHEN" "auto, always or never [auto: on a terminal without NO_COLOR]";
    true None, "help" "" "This text, or that of a command";
    true None, "version" "" "The version of dtmctl";
    false None, "check" "" "Exit code 1 unless all workers serve";
    false None, "once" "" "Show it once and end";
    false Some('n'), "count" "N" "End after N times";
    false Some('i'), "interval" "SECONDS" "Time between two looks, from 0.1 [2]";
    false None, "sort" "COLUMN" "Sort by this column";
    false Some('r'), "reverse" "" "Sort the other way round";
    false Some('w'), "wait" "" "Go on until all serve and no old one is left";
}

/// The option, and the value that stands in the same word.
pub(crate) fn find(arg: &str) -> Result<(&'static Opt, Option<String>)> {
    let unknown = || Fail::usage(format!("there is no option {arg}; for help: --help"));
    if let Some(long) = arg.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let found = OPTIONS.iter().find(|o| o.long == name);
        return Ok((found.ok_or_else(unknown)?, value));
    }
    let mut letters = arg.chars().skip(1);
    let first = letters.next();
    let found = OPTIONS
        .iter()
        .find(|o| o.short.is_some() && o.short == first);
    let rest: String = letters.collect();
    Ok((
        found.ok_or_else(unknown)?,
        (!rest.is_empty()).then_some(rest),
    ))
}
