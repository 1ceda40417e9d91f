//! Upgrade of the binary: the new one comes up as a full second runtime beside the old
//! one, takes over step by step, and only then the old one drains and leaves. flow: L2
//!
//! ```text
//! old                                   new
//! exec, with one end of a socket pair   dtm_new() finds LIBDTM_UPGRADE in its environment
//! Hello, sockets, pid file ---------->  dtm_listen() finds its sockets among them
//!                                       its workers and its controller are ready
//!                          <----------  Ready
//! its controller lets go
//! Lock ------------------------------>  its controller has the lock; workers are updated
//!                          <----------  Updated
//! lets go of the accept groups
//! Go -------------------------------->  takes over pid file, files, groups; opens
//!                          <----------  Opened
//! its workers drain
//! Worker ..., Lifeline, Adopt ------->  it holds their lifeline, and watches them
//!                          <----------  Adopted
//! they outlive it from here on
//! sends totals, leaves
//! ```
//!
//! Whatever fails before Opened, the old one takes back what it had let go of, and serves
//! on. If the old one dies before, the new one takes over all the same: nobody else would.
//! If it dies later, its workers drain under the new one, if that has adopted them.
//!
//! | file | what it does |
//! |---|---|
//! | `wire`, `draining` | the messages; purely |
//! | `coming` | what the new one has been given |
//! | `link` | sends and receives them |
//! | `unsent` | what it had no room for yet; purely |
//! | `old`, `new` | what each side does next; purely |
//! | `adopted` | the old binary's workers, in the new one; purely |
//! | `start` | how this program was started, and starting the next one the same way |
//! | `init` | process 1, whose successor serves |

pub(crate) mod adopted;
pub(crate) mod coming;
pub(crate) mod draining;
pub(crate) mod init;
pub(crate) mod link;
pub(crate) mod new;
pub(crate) mod old;
pub(crate) mod start;
mod unsent;
pub(crate) mod wire;

/// The variable that names the descriptor of the link.
pub(crate) const VARIABLE: &str = "LIBDTM_UPGRADE";
