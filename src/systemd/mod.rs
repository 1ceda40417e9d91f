//! systemd's notification protocol, spoken by hand: what the service manager is told of
//! the service ([`state`], purely), and how ([`notify`]); what it does not take at once is
//! tried again ([`unsent`]). Without NOTIFY_SOCKET in the
//! environment nothing is sent. N1
//!
//! Sockets that it passes (LISTEN_FDS) are taken in `net/inherited.rs`.

mod notify;
pub(crate) mod state;
mod unsent;

use crate::sys::now_ms;
use notify::Socket;
use state::{Event, State};
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use unsent::{Message, Unsent};

/// The service manager, as the master knows it.
pub(crate) struct Manager {
    socket: Socket,
    state: State,
    unsent: RefCell<Unsent>,
}

impl Manager {
    /// None: nobody wants to be told.
    pub(crate) fn from_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let socket = Socket::from_name(&variable("NOTIFY_SOCKET")?)?;
        let period = state::watchdog_period(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        let state = State::new(period, now_ms());
        Some(Self::of(socket, state))
    }

    fn of(socket: Socket, state: State) -> Self {
        let unsent = RefCell::default();
        Self {
            socket,
            state,
            unsent,
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        for message in self.state.step(event, now_ms()) {
            self.send(message, None);
        }
    }

    fn send(&self, text: String, fd: Option<BorrowedFd<'_>>) {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            if self.socket.send(&text, fd) {
                return;
            }
            unsent.refused(now_ms());
        }
        match fd.map(|fd| fd.try_clone_to_owned()).transpose() {
            Ok(fd) => unsent.add(Message { text, fd }),
            Err(error) => ::log::warn!("NOTIFY_SOCKET: a socket is not stored: {error}"),
        }
    }

    /// What was not taken before.
    fn retry(&self) {
        let mut unsent = self.unsent.borrow_mut();
        while let Some(message) = unsent.first() {
            if !self
                .socket
                .send(&message.text, message.fd.as_ref().map(AsFd::as_fd))
            {
                return unsent.refused(now_ms());
            }
            unsent.taken();
        }
    }

    /// The service starts; it needs no longer than this. None: there is no limit.
    pub(crate) fn starts(&mut self, within_ms: Option<u64>) {
        self.tell(Event::Starts { within_ms });
    }

    /// How it stands, and whether the newest generation serves.
    pub(crate) fn stands(&mut self, serves: bool, status: &str) {
        self.tell(Event::Stands { serves, status });
    }

    pub(crate) fn reload_begins(&mut self, within_ms: Option<u64>) {
        let now_us = crate::sys::now_ns() / 1_000;
        self.tell(Event::ReloadBegins { now_us, within_ms });
    }

    pub(crate) fn reload_ends(&mut self, outcome: &str) {
        self.tell(Event::ReloadEnds { outcome });
    }

    pub(crate) fn ends(&mut self, within_ms: Option<u64>) {
        self.tell(Event::Ends { within_ms });
    }

    /// Another process is the master now: nothing more is said here.
    pub(crate) fn successor(&mut self, pid: i32) {
        self.unsent.borrow_mut().clear();
        self.tell(Event::Successor { pid });
    }

    /// The manager knows who is the master: this process may end.
    pub(crate) fn knows_the_master(&self) -> bool {
        self.retry();
        !self.state.is_passed_on() || self.unsent.borrow().is_empty()
    }

    /// The loop runs: say so, if it is time; and what was not taken before.
    pub(crate) fn tick(&mut self) {
        self.tell(Event::Tick);
        let due = self.unsent.borrow().next();
        if due.is_some_and(|at| at <= now_ms()) {
            self.retry();
        }
    }

    /// When to call tick() at the latest.
    pub(crate) fn next(&self) -> Option<u64> {
        let unsent = self.unsent.borrow().next();
        self.state.next().into_iter().chain(unsent).min()
    }

    /// Have this socket kept, in case the master dies.
    pub(crate) fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        if !self.state.is_passed_on() {
            let text = format!("FDSTORE=1\nFDNAME={}", state::fd_name(name));
            self.send(text, Some(fd));
        }
    }

    /// It is closed.
    pub(crate) fn forget(&self, name: &str) {
        self.forget_named(&state::fd_name(name));
    }

    /// The same, by the name that it is kept under.
    pub(crate) fn forget_named(&self, name: &str) {
        if !self.state.is_passed_on() {
            self.send(format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut text = [0; 512];
        let receive = || socket.recv(&mut text).ok().map(|n| text[..n].to_vec());
        let all = std::iter::from_fn(receive);
        all.map(|text| String::from_utf8(text).unwrap()).collect()
    }

    /// Its queue is short, and it may be busy: what was said to it then comes to it all the
    /// same, in order, and with its descriptors.
    #[test]
    fn a_manager_that_does_not_read_hears_it_later() {
        let name = format!("dtm-test-systemd-{}", std::process::id());
        let theirs = SocketAddr::from_abstract_name(&name).unwrap();
        let theirs = UnixDatagram::bind_addr(&theirs).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let socket = Socket::from_name(&format!("@{name}")).unwrap();
        let mut manager = Manager::of(socket, State::new(None, now_ms()));
        let full = (0..100_000).find(|_| !manager.socket.send("X=1", None));
        assert!(full.is_some(), "its queue has no end");
        manager.store("a", theirs.as_fd());
        manager.stands(true, "2 serve");
        manager.stands(true, "3 serve");
        assert!(manager.next().is_some() && heard(&theirs).iter().all(|text| text == "X=1"));
        manager.retry();
        let expected = [
            "FDSTORE=1\nFDNAME=dtm-a",
            "READY=1\nSTATUS=2 serve",
            "STATUS=3 serve",
        ];
        assert_eq!(heard(&theirs), expected);
        assert_eq!(manager.next(), None);
        while manager.socket.send("X=1", None) {}
        manager.successor(7);
        assert!(!manager.knows_the_master());
        heard(&theirs);
        assert!(manager.knows_the_master());
        assert_eq!(heard(&theirs), ["MAINPID=7\nREADY=1"]);
    }
}
