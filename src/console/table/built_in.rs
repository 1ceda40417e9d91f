//! The console's own commands: name, arguments, right, group, help, function.

use crate::console::access::Right;
use crate::console::run::{self, Run};

/// What a command belongs to, for COMMAND DOCS and the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Group {
    Connection,
    Server,
    Service,
    Events,
    Own,
}

impl Group {
    pub(in crate::console) fn name(self) -> &'static str {
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
pub(in crate::console) struct BuiltIn {
    /// In capitals; of several words where there are subcommands.
    pub(in crate::console) name: &'static str,
    /// What may follow it.
    pub(in crate::console) args: &'static str,
    /// Fewest and most words behind the name.
    pub(in crate::console) count: (usize, usize),
    pub(in crate::console) right: Right,
    pub(in crate::console) group: Group,
    pub(in crate::console) help: &'static str,
    pub(in crate::console) run: Run,
}

/// No limit of the console's.
pub(in crate::console) const MANY: usize = usize::MAX;

macro_rules! table {
    ($($right:ident $group:ident $name:literal $args:literal $least:literal..$most:tt $run:path, $help:literal;)*) => {
        pub(in crate::console) const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
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
