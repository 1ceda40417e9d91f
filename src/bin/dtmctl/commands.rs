//! The one table of what dtmctl knows. Help, completion and dispatch read it; every other
//! word goes to the console as it is, so that a service's own commands work as well.

use crate::fail::{Code, Result};
use crate::run::{self, Session};
use crate::{completion, help};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Look,
    Change,
    Other,
}

impl Group {
    pub(crate) const ALL: [(Self, &'static str); 3] = [
        (Self::Look, "Look"),
        (Self::Change, "Change"),
        (Self::Other, "Other"),
    ];
}

#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Send it, show the answer.
    Ask,
    /// Send it, show what happens until the answer, and the answer.
    Operate,
    Own(fn(&mut Session, &[String]) -> Result<Code>),
}

pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) args: &'static str,
    /// Besides the global ones, by their long names.
    pub(crate) options: &'static [&'static str],
    pub(crate) group: Group,
    pub(crate) summary: &'static str,
    pub(crate) more: &'static str,
    /// Words that can follow, for the shell's completion.
    pub(crate) next: &'static [&'static str],
    pub(crate) run: Run,
}

macro_rules! commands {
    ($($group:ident $name:literal $args:literal [$($option:literal)*] [$($next:literal)*] $run:expr, $summary:literal $more:literal;)*) => {
        pub(crate) const COMMANDS: &[Command] = &[$(Command {
            name: $name, args: $args, options: &[$($option),*], group: Group::$group,
            summary: $summary, more: $more, next: &[$($next),*], run: $run,
        },)*];
    };
}

commands! {
    Look "status" "" ["check"] [] Run::Own(run::status::run),
        "The service and its workers"
        "With --check the exit code is 1 unless all the workers that are wanted serve, in a reload, too: for health checks.";
    Look "top" "" ["interval" "count" "once" "sort" "reverse"] [] Run::Own(run::top::run),
        "A live table of the workers"
        "Keys: q quits, < and > choose the column to sort by, r reverses, arrows and page keys scroll, + and - change the interval. Rates are those of the last interval. In a pipe, and with --json, --once or --count, it writes one table or object after each interval.";
    Look "workers" "" [] [] Run::Ask,
        "Every worker: state, age, clients, CPU, memory"
        "In a narrow terminal the less important columns are left out; in a pipe there are all.";
    Look "generations" "" [] [] Run::Ask,
        "Every generation that has workers" "";
    Look "clients" "[SLOT | pid N | spawn N]" [] ["slot" "pid" "spawn"] Run::Own(run::clients::run),
        "The service's clients, by worker"
        "Of all workers or of one, with what a drain waits for; the workers are asked. Operators' own connections: dtmctl client list.";
    Look "drain" "" ["once"] [] Run::Own(run::drain::run),
        "The workers that drain, until none does"
        "Shows for whom each of them waits, and ends with exit code 0 when the last one has left. With --once it shows them and ends at once.";
    Look "events" "[NAME...]" ["count"] ["fork" "ready" "open" "draining" "exit" "reload" "config" "hang" "failed" "recycle" "scale" "upgrade" "action"] Run::Own(run::events::run),
        "Life events as they happen"
        "All of them, or those of these names. Ends by Ctrl-C, after --count events, or with the service.";
    Look "reports" "[N]" [] ["last"] Run::Ask,
        "Crashes and hangs that are kept; or one of them, with its stack"
        "dtmctl reports            all, the newest first\ndtmctl reports last       the newest, with its stack\ndtmctl reports 3          that one";
    Look "info" "[SECTION...]" [] ["server" "clients" "memory" "worker" "stats" "reload" "accept" "generations" "counters"] Run::Ask,
        "The service as key:value lines, as redis-cli shows them" "";
    Look "config" "[PATTERN | KEY VALUE]" [] [] Run::Ask,
        "Settings in force; or change one"
        "dtmctl config                  all of them\ndtmctl config 'accept_*'       some\ndtmctl config workers 8        until a configuration is loaded";
    Look "accept" "[MODE]" [] ["auto" "token" "steer" "hash" "shared" "pass" "lock" "mode" "stats" "tokens"] Run::Ask,
        "What the accept schedule does; or change its mode"
        "dtmctl accept                  statistics\ndtmctl accept hash             change the mode until a configuration is loaded\ndtmctl accept tokens set 4     or whatever the console knows";
    Look "log" "[LEVEL]" [] ["error" "warn" "info" "debug" "trace"] Run::Ask,
        "The log level; or change it" "";
    Change "reload" "" ["wait"] [] Run::Operate,
        "New generation of workers; the old ones drain"
        "Ends when the new generation serves, with exit code 0, or has failed and the old one serves on: 1. With --wait it goes on until the old workers have left.";
    Change "loadconf" "" [] [] Run::Operate,
        "Load the configuration, without new workers" "";
    Change "upgrade" "" ["wait"] [] Run::Operate,
        "Replace the running binary"
        "Ends when the new one serves, or has failed and the old one serves on. With --wait it goes on until the old one has ended.";
    Change "start" "" [] [] Run::Operate, "Start all workers, if none runs" "";
    Change "stop" "" [] [] Run::Operate,
        "Drain and stop all workers; the service stays" "";
    Change "scale" "WORKERS" ["wait"] [] Run::Operate,
        "Set the number of workers"
        "Until a configuration is loaded. With --wait it ends when there are so many.";
    Change "recycle" "SLOT | pid N | spawn N" ["wait"] ["slot" "pid" "spawn"] Run::Operate,
        "Drain and replace one worker" "";
    Change "reset" "" [] [] Run::Operate,
        "Give slots that were given up another chance" "";
    Change "nofork" "[on] [SECONDS] | off" [] ["on" "off"] Run::Operate,
        "Forbid forking for a while, or allow it again"
        "When it has ended no fork is in flight: take a snapshot, move memory, debug.";
    Change "reopen" "" [] [] Run::Operate,
        "Open the log anew, after it was moved away" "";
    Change "shutdown" "[now]" [] ["now"] Run::Operate,
        "Stop the service: gracefully, or now"
        "Ends when the service has.";
    Look "actions" "[ARGUMENT...]" [] ["names" "start" "pause" "resume" "cancel" "go" "history"] Run::Own(run::actions::run),
        "Durable actions: how they stand; start, pause, resume, cancel, go"
        "dtmctl actions                  all that there are, and how it is with their store\ndtmctl actions names            what can be started\ndtmctl actions start NAME ARGS  answers its number\ndtmctl actions history N        a line for each change\ndtmctl actions pause N          or resume, cancel, go";
    Other "commands" "[NAME]" [] [] Run::Ask,
        "All commands of the console, the service's own included" "";
    Other "raw" "WORD..." [] [] Run::Own(run::raw::run),
        "Send words to the console as they are, print the answer as it is"
        "Everything behind raw is the command. Text is printed byte by byte, so that a pipe gets what the service said.";
    Other "completion" "bash|zsh|fish" [] ["bash" "zsh" "fish"] Run::Own(completion::run),
        "A script for the shell's completion"
        "bash: source <(dtmctl completion bash)\nzsh:  dtmctl completion zsh >\"${fpath[1]}/_dtmctl\"\nfish: dtmctl completion fish >~/.config/fish/completions/dtmctl.fish";
    Other "help" "[COMMAND]" [] [] Run::Own(help::run),
        "This list, or a command's help" "";
}

pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name.eq_ignore_ascii_case(name))
}

/// What people type, as the console has it. Pure.
pub(crate) fn translate(words: &[String]) -> Vec<String> {
    const MODES: [&str; 7] = ["auto", "token", "steer", "hash", "shared", "pass", "lock"];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let lower: Vec<String> = words.iter().map(|w| w.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let told: Vec<&str> = match lower.as_slice() {
        ["accept"] => vec!["ACCEPT", "STATS"],
        ["accept", mode] if MODES.contains(mode) => vec!["ACCEPT", "MODE", "SET", mode],
        ["accept", "mode"] => vec!["ACCEPT", "MODE", "GET"],
        ["accept", "tokens"] => vec!["ACCEPT", "TOKENS", "GET"],
        ["log"] => vec!["LOG", "LEVEL", "GET"],
        ["log", level] if *level != "level" => vec!["LOG", "LEVEL", "SET", level],
        ["nofork"] => vec!["NOFORK", "ON"],
        ["nofork", seconds] if number(seconds) => vec!["NOFORK", "ON", seconds],
        ["recycle", slot] if number(slot) => vec!["RECYCLE", "SLOT", slot],
        ["clients", slot] if number(slot) => vec!["CLIENTS", "SLOT", slot],
        ["report"] => vec!["REPORT", "LAST"],
        ["reports", which] if *which == "last" || number(which) => vec!["REPORT", which],
        ["actions", "list"] => vec!["ACTIONS"],
        ["reset"] => vec!["RESET", "SLOTS"],
        ["config"] => vec!["CONFIG", "GET", "*"],
        ["config", "get" | "set", ..] => words,
        ["config", _] => vec!["CONFIG", "GET", words[1]],
        ["config", _, _] => vec!["CONFIG", "SET", words[1], words[2]],
        ["commands", ..] => [&["HELP"], &words[1..]].concat(),
        _ => words,
    };
    told.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        translate(&words).join(" ")
    }

    #[test]
    fn short_forms() {
        for (said, sent) in [
            ("accept", "ACCEPT STATS"),
            ("accept HASH", "ACCEPT MODE SET hash"),
            ("accept mode set hash", "accept mode set hash"),
            ("log debug", "LOG LEVEL SET debug"),
            ("log level get", "log level get"),
            ("nofork 5", "NOFORK ON 5"),
            ("nofork off", "nofork off"),
            ("recycle 3", "RECYCLE SLOT 3"),
            ("recycle pid 3", "recycle pid 3"),
            ("reset", "RESET SLOTS"),
            ("reports last", "REPORT last"),
            ("reports", "reports"),
            ("clients 2", "CLIENTS SLOT 2"),
            ("config Workers", "CONFIG GET Workers"),
            ("config workers 8", "CONFIG SET workers 8"),
            ("config set a b", "config set a b"),
            ("commands scale", "HELP scale"),
            ("my.own A b", "my.own A b"),
        ] {
            assert_eq!(told(said), sent);
        }
    }

    #[test]
    fn the_table_is_whole() {
        for command in COMMANDS {
            assert!(
                !command.summary.ends_with('.') && command.summary.len() < 70,
                "{}",
                command.name
            );
            for option in command.options {
                assert!(
                    crate::options::OPTIONS
                        .iter()
                        .any(|o| o.long == *option && !o.global)
                );
            }
        }
    }
}
