//! Into the background: the process that was started waits for the word that the first
//! generation serves, and its exit status tells whether it came. The background is a
//! grandchild in a session of its own, which can never get a terminal again.

use crate::error::{Context, Error, Result};
use crate::ffi::*;
use crate::process::fork::{Forked, fork};
use crate::process::{death, exit_now};
use crate::signal::mask;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

/// The word: everything is well. Anything else is the reason why not.
const READY: u8 = b'\0';

/// In the background: somebody waits to hear how it went.
pub(crate) struct Waiting(File);

impl Waiting {
    /// The service is up.
    pub(crate) fn ready(mut self) {
        // Whoever waited may be gone: the service is up all the same.
        let _ = self.0.write_all(&[READY]);
    }

    /// It is not, and this is why.
    pub(crate) fn failed(mut self, text: &str) {
        let _ = self.0.write_all(text.as_bytes());
    }
}

/// Returns in the background only.
pub(crate) fn detach(name: &str) -> Result<Waiting> {
    let flags = nix::fcntl::OFlag::O_CLOEXEC;
    let (read, write) = nix::unistd::pipe2(flags).context("daemonize: pipe2")?;
    let before = mask::block_all();
    match fork() {
        Err(error) => {
            mask::set(&before);
            Err(error)
        }
        Ok(Forked::Parent(pid)) => {
            mask::set(&before);
            drop(write);
            exit_now(wait(pid, read, name))
        }
        Ok(Forked::Child) => {
            drop(read);
            let waiting = Waiting(File::from(write));
            match leave_the_session() {
                Ok(()) => {
                    mask::set(&before);
                    Ok(waiting)
                }
                Err(error) => {
                    waiting.failed(&error.to_string());
                    exit_now(1)
                }
            }
        }
    }
}

fn leave_the_session() -> Result<()> {
    nix::unistd::setsid().context("daemonize: setsid")?;
    // Who leads a session gets the terminal that it opens. Its child does not.
    if let Forked::Parent(_) = fork()? {
        exit_now(0);
    }
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.context("daemonize: /dev/null")?;
    for fd in 0..=2 {
        // SAFETY: plain system call; 0, 1 and 2 are open, see sys::open_standard_fds().
        if unsafe { libc::dup2(null.as_raw_fd(), fd) } < 0 {
            return Err(Error::last_os("daemonize: dup2"));
        }
    }
    crate::role::assume(
        DTM_ROLE_MASTER,
        DTM_OFF,
        0,
        0,
        0,
        nix::unistd::getpid().as_raw(),
    );
    Ok(())
}

/// In the process that was started: its exit status.
fn wait(child: i32, from: OwnedFd, name: &str) -> i32 {
    let mut word = Vec::new();
    // The end comes when the background has said all, or died.
    let read = File::from(from).take(4096).read_to_end(&mut word);
    while death::look(child).is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    death::reap(child);
    if read.is_ok() && word == [READY] {
        return 0;
    }
    let why = match String::from_utf8_lossy(&word) {
        text if text.is_empty() => "the background process died before the service was up".into(),
        text => text,
    };
    // SAFETY: stderr stays open for this call; a closed one answers EBADF.
    let stderr = unsafe { std::os::fd::BorrowedFd::borrow_raw(2) };
    let _ = nix::unistd::write(stderr, format!("{name}: {why}\n").as_bytes());
    1
}
