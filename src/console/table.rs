//! The one table of commands: the console's own and the service's. Whatever syntax a
//! command comes in, it is looked up and permitted here.

use super::access::Right;
use super::run::{self, Run};
use crate::error::{Error, Result};
use crate::ffi::dtm_console_cb;
use std::ffi::c_void;

/// What a command belongs to, for COMMAND DOCS and the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Connection,
    Server,
    Service,
    Events,
    Own,
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Service => "generic",
            Self::Events => "pubsub",
            Self::Own => "module",
        }
    }
}

/// A command of the console itself.
pub(super) struct BuiltIn {
    /// In capitals; of several words where there are subcommands.
    pub(super) name: &'static str,
    /// What may follow it.
    pub(super) args: &'static str,
    /// Fewest and most words behind the name.
    pub(super) count: (usize, usize),
    pub(super) right: Right,
    pub(super) group: Group,
    pub(super) help: &'static str,
    pub(super) run: Run,
}

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

const MANY: usize = usize::MAX;

macro_rules! table {
    ($($right:ident $group:ident $name:literal $args:literal $least:literal..$most:tt $run:path, $help:literal;)*) => {
        pub(super) const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
            name: $name,
            args: $args,
            count: ($least, table!(@most $most)),
            right: Right::$right,
            group: Group::$group,
            help: $help,
            run: $run,
        },)*];
    };
    (@most many) => { MANY };
    (@most $n:literal) => { $n };
}

table! {
    Stranger Connection "AUTH" "[user] password" 1..2 run::session::auth, "Become an operator by the control_password";
    Stranger Connection "HELLO" "[2|3 [AUTH user password] [SETNAME name]]" 0..many run::session::hello, "Choose the protocol, RESP2 or RESP3";
    Stranger Connection "QUIT" "" 0..many run::session::quit, "Answer OK and hang up";
    Observer Connection "PING" "[text]" 0..1 run::session::ping, "Answer PONG, or the text";
    Observer Connection "ECHO" "text" 1..1 run::session::echo, "Answer the text";
    Observer Connection "SELECT" "0" 1..1 run::session::select, "There is one database, number 0: for clients that ask for it";
    Observer Connection "RESET" "" 0..0 run::session::reset, "Begin anew: RESP2, no name, no subscriptions";
    Observer Connection "CLIENT ID" "" 0..0 run::clients::id, "The number of this connection";
    Observer Connection "CLIENT INFO" "" 0..0 run::clients::info, "This connection, as CLIENT LIST shows it";
    Observer Connection "CLIENT LIST" "[ID number ... | TYPE normal|pubsub]" 0..many run::clients::list, "One line for each connection to the console, or for some of them";
    Operator Connection "CLIENT KILL" "ID number | address" 1..2 run::clients::kill, "Close a connection to the console";
    Observer Connection "CLIENT GETNAME" "" 0..0 run::clients::get_name, "The name of this connection";
    Observer Connection "CLIENT SETNAME" "name" 1..1 run::clients::set_name, "Name this connection, for CLIENT LIST";
    Observer Connection "CLIENT SETINFO" "LIB-NAME|LIB-VER text" 2..2 run::clients::set_info, "What client library this is, for CLIENT LIST";
    Observer Server "COMMAND" "" 0..0 run::help::command, "All commands, as Redis describes them";
    Observer Server "COMMAND COUNT" "" 0..0 run::help::count, "How many commands there are";
    Observer Server "COMMAND DOCS" "[name ...]" 0..many run::help::docs, "What commands do";
    Observer Server "COMMAND INFO" "[name ...]" 0..many run::help::info, "Commands, as Redis describes them";
    Observer Server "COMMAND LIST" "" 0..0 run::help::list, "The names of all commands";
    Observer Server "HELP" "[name]" 0..3 run::help::help, "This list, for people";
    Observer Server "INFO" "[section ...]" 0..many run::info::info, "The service in sections of key:value lines";
    Observer Server "CONFIG GET" "pattern ..." 1..many run::config::get, "Settings in force, by pattern";
    Operator Server "CONFIG SET" "key value" 2..2 run::config::set, "Change workers, accept_mode, accept_tokens or log_level until a configuration is loaded";
    Observer Service "STATUS" "[JSON]" 0..1 run::status::status, "The service as a whole";
    Observer Service "WORKERS" "[JSON]" 0..1 run::status::workers, "Every worker: state, age, clients, CPU, memory";
    Observer Service "GENERATIONS" "[JSON]" 0..1 run::status::generations, "Every generation that has workers";
    Observer Service "CLIENTS" "[SLOT n | PID n | SPAWN n] [JSON]" 0..3 run::status::clients, "Clients of all workers or of one, and what a drain waits for; asked of the workers";
    Observer Service "REPORTS" "[JSON]" 0..1 run::reports::list, "Crashes and hangs that are kept, the newest first";
    Observer Service "REPORT" "LAST|number [JSON]" 1..2 run::reports::show, "One of them, with its stack";
    Operator Service "RELOAD" "" 0..0 run::service::reload, "Load the configuration, start a new generation, drain the old one; answers at the end";
    Operator Service "LOADCONF" "" 0..0 run::service::loadconf, "Load the configuration; processes forked from now on have it";
    Operator Service "START" "" 0..0 run::service::start, "Start all workers, if none runs";
    Operator Service "STOP" "" 0..0 run::service::stop, "Drain and stop all workers; answers when the last one has left";
    Operator Service "SCALE" "workers" 1..1 run::service::scale, "Set the number of workers until a configuration is loaded";
    Operator Service "RECYCLE" "SLOT n | PID n | SPAWN n" 2..2 run::service::recycle, "Drain and replace one worker";
    Operator Service "RESET SLOTS" "" 0..0 run::service::reset, "Give slots that were given up another chance, end all back-off";
    Operator Service "UPGRADE" "" 0..0 run::service::upgrade, "Replace the running binary; answers at the end";
    Operator Service "SHUTDOWN" "[NOW]" 0..1 run::service::shutdown, "Stop everything, gracefully or at once";
    Operator Service "NOFORK ON" "[seconds]" 0..1 run::service::nofork, "Forbid forking for a while; afterwards no fork is in flight";
    Operator Service "NOFORK OFF" "" 0..0 run::service::fork, "Allow forking again";
    Operator Service "REOPEN" "" 0..0 run::service::reopen, "Close and open the log of every process anew";
    Observer Service "LOG LEVEL GET" "" 0..0 run::service::log_level, "The log level in force";
    Operator Service "LOG LEVEL SET" "error|warn|info|debug|trace" 1..1 run::service::set_log_level, "Set the log level of every process until a configuration is loaded";
    Observer Service "ACCEPT MODE GET" "" 0..0 run::accept::mode, "The accept mode that is wanted, and the one in force";
    Operator Service "ACCEPT MODE SET" "auto|token|steer|hash|shared|pass|lock" 1..1 run::accept::set_mode, "Change the accept mode until a configuration is loaded; loses no connection";
    Observer Service "ACCEPT TOKENS GET" "" 0..0 run::accept::tokens, "Accept tokens of each queue";
    Operator Service "ACCEPT TOKENS SET" "1..64|default" 1..1 run::accept::set_tokens, "Change the number of accept tokens until a configuration is loaded";
    Observer Service "ACCEPT STATS" "[JSON]" 0..1 run::accept::stats, "What the accept schedule has done";
    Observer Service "ACTIONS" "[JSON]" 0..1 run::actions::list, "How it is with the store, and every durable action";
    Observer Service "ACTIONS NAMES" "" 0..0 run::actions::names, "What can be started";
    Operator Service "ACTIONS START" "name [args ...]" 1..many run::actions::start, "Start an action; answers its id when it is stored";
    Operator Service "ACTIONS PAUSE" "id" 1..1 run::actions::pause, "Begin no further step of it";
    Operator Service "ACTIONS RESUME" "id" 1..1 run::actions::resume, "Go on with what is paused, or parked after its attempts";
    Operator Service "ACTIONS CANCEL" "id" 1..1 run::actions::cancel, "End it where it stands";
    Operator Service "ACTIONS GO" "id" 1..1 run::actions::go, "The go that it waits for";
    Observer Service "ACTIONS HISTORY" "id" 1..1 run::actions::history, "What has become of it, a line for each change";
    Observer Service "FLEET" "[JSON]" 0..1 run::actions::fleet, "Every action of the fleet, and where each host is";
    Observer Service "FLEET HOSTS" "" 0..0 run::actions::fleet_hosts, "Hosts that hold a lease now";
    Operator Service "FLEET START" "skip|block name [args ...]" 2..many run::actions::fleet_start, "Start an action on every host, fleet_unavailable at a time; a host that dies is skipped, or blocks";
    Operator Service "FLEET CANCEL" "id" 1..1 run::actions::fleet_cancel, "No further host begins it";
    Observer Events "SUBSCRIBE" "event ..." 1..many run::events::subscribe, "Hear of life events: fork, ready, open, draining, exit, reload, ...";
    Observer Events "UNSUBSCRIBE" "[event ...]" 0..many run::events::unsubscribe, "Hear no more of them";
    Observer Events "PSUBSCRIBE" "pattern ..." 1..many run::events::psubscribe, "Hear of life events whose name matches: PSUBSCRIBE *";
    Observer Events "PUNSUBSCRIBE" "[pattern ...]" 0..many run::events::punsubscribe, "Hear no more of them";
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
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|w| w.as_bytes().to_vec()).collect()
    }

    fn own(name: &str, arity: i32, operator_only: bool) -> Registered {
        Registered {
            name: name.into(),
            arity,
            operator_only,
            help: String::new(),
            handler: None,
            data: std::ptr::null_mut(),
        }
    }

    fn look(line: &str, right: Right) -> std::result::Result<String, String> {
        let own = [own("flush", 2, true), own("peek", -1, false)];
        find(&own, &words(line), right).map(|c| c.name().to_owned())
    }

    #[test]
    fn the_longest_name_wins() {
        let name = |line| look(line, Right::Operator).unwrap();
        assert_eq!(name("command"), "COMMAND");
        assert_eq!(name("Command DOCS ping"), "COMMAND DOCS");
        assert_eq!(name("accept mode set hash"), "ACCEPT MODE SET");
        assert_eq!(name("reset"), "RESET");
        assert_eq!(name("reset slots"), "RESET SLOTS");
        assert_eq!(name("PEEK a b"), "peek");
        assert_eq!(name("flush x"), "flush");
    }

    #[test]
    fn errors_say_what_and_how() {
        let error = |line| look(line, Right::Operator).unwrap_err();
        assert!(error("x").starts_with("ERR unknown command 'x'"));
        assert!(error("client nosuch").contains("CLIENT LIST"));
        assert!(error("client").contains("CLIENT LIST"));
        assert!(error("command nosuch").contains("COMMAND DOCS"));
        assert!(error("scale").starts_with("ERR wrong number of arguments for 'scale'"));
        assert!(error("scale 1 2").contains("SCALE workers"));
        assert!(error("flush").starts_with("ERR wrong number"));
    }

    /// H09: the right to a command depends on nothing but the table.
    #[test]
    fn every_command_asks_for_its_right() {
        let own = [own("flush", 1, true), own("peek", 1, false)];
        for command in all(&own) {
            let (least, _) = command.count();
            let mut line = words(command.name());
            line.extend((0..least).map(|_| b"1".to_vec()));
            for right in [Right::Stranger, Right::Observer, Right::Operator] {
                let mut cases = vec![line.clone()];
                cases.push(line.iter().map(|w| w.to_ascii_lowercase()).collect());
                for case in cases {
                    let found = find(&own, &case, right);
                    let allowed = right >= command.right();
                    match found {
                        Ok(_) => assert!(allowed, "{}", command.name()),
                        Err(text) if right == Right::Stranger => {
                            assert!(!allowed && text.starts_with("NOAUTH"))
                        }
                        Err(text) => assert!(!allowed && text.starts_with("NOPERM"), "{text}"),
                    }
                }
            }
        }
        assert!(
            find(&own, &words("nosuch"), Right::Stranger).is_err_and(|e| e.starts_with("NOAUTH"))
        );
    }

    /// The page is the operators' manual: DTM_BLESS=1 renews its table.
    #[test]
    fn the_page_lists_every_command() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md");
        let page = std::fs::read_to_string(path).unwrap();
        let mut table = String::from("| command | | |\n|---|---|---|\n");
        for command in all(&[]) {
            let usage = format!("{} {}", command.name(), command.args()).replace('|', "\\|");
            let mark = if command.right() == Right::Operator {
                "O"
            } else {
                ""
            };
            let help = command.help().replace('|', "\\|");
            table += &format!("| `{}` | {mark} | {help} |\n", usage.trim_end());
        }
        let (begin, end) = ("<!-- commands -->\n", "<!-- end -->\n");
        let (before, rest) = page.split_once(begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        let fresh = format!("{before}{begin}{table}{end}{after}");
        if std::env::var_os("DTM_BLESS").is_some() {
            std::fs::write(path, &fresh).unwrap();
        } else {
            assert!(
                fresh == page,
                "docs/console.md is stale: run  DTM_BLESS=1 cargo test"
            );
        }
    }

    #[test]
    fn names_of_the_service() {
        assert!(check_name("my.cmd-1", &[]).is_ok());
        for bad in ["", "a b", "info", "CLIENT", "x\n", "flush"] {
            assert!(check_name(bad, &[own("FLUSH", 1, false)]).is_err(), "{bad}");
        }
    }
}
