//! Process 1, whose successor serves. It cannot leave: the container, or the machine,
//! would end with it. So it stays, with nothing else to do than what a process 1 does:
//! wait for whoever has lost his parent, and pass signals on.

use super::link::{Heard, Link};
use super::wire::Message;
use crate::channel::AT_ONCE;
use crate::signal::mask;

/// Is this process one that has to stay?
pub(crate) fn must_stay() -> bool {
    std::process::id() == 1
}

/// Until the master has ended: its exit status, 128 and the signal if one killed it.
pub(crate) fn stay(mut master: i32, link: &Link) -> i32 {
    let before = mask::block_all();
    let status = loop {
        if let Some(status) = reap(master) {
            // It may have been replaced itself, and have told us of that before it ended.
            match next(link, master) {
                Some(pid) => master = pid,
                None => break status,
            }
        }
        pass_signals_on(&mut master, link);
    };
    mask::set(&before);
    status
}

/// The newest master that was named on the link.
fn next(link: &Link, current: i32) -> Option<i32> {
    let mut newest = None;
    for _ in 0..AT_ONCE {
        match link.hear() {
            Heard::Message(Message::Main { pid }, _) => newest = Some(pid),
            Heard::Message(..) | Heard::Unknown => {}
            Heard::Nothing | Heard::Gone => break,
        }
    }
    newest.filter(|pid| *pid != current)
}

/// Wait for all who have ended; the master's status, if it is among them.
fn reap(master: i32) -> Option<i32> {
    let mut ended = None;
    loop {
        let mut status = 0;
        #[allow(
            clippy::disallowed_methods,
            reason = "it has no children of its own left"
        )]
        // SAFETY: valid storage. Process 1 waits for everybody: nobody else could.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return ended;
        }
        if pid == master {
            ended = Some(if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                128 + libc::WTERMSIG(status)
            });
        }
    }
}

fn pass_signals_on(master: &mut i32, link: &Link) {
    let mut all = mask::empty();
    let timeout = libc::timespec {
        tv_sec: 3_600,
        tv_nsec: 0,
    };
    // SAFETY: a valid set and valid storage; all signals are blocked, so they wait here.
    let signal = unsafe {
        libc::sigfillset(&raw mut all);
        libc::sigtimedwait(&raw const all, std::ptr::null_mut(), &raw const timeout)
    };
    if let Some(pid) = next(link, *master) {
        *master = pid;
    }
    if signal > 0 && signal != libc::SIGCHLD {
        // SAFETY: a child of ours that is not waited for yet.
        unsafe { libc::kill(*master, signal) };
    }
}
