//! systemd's notification protocol, spoken by hand: what the service manager is told of
//! the service ([`state`], purely), and how ([`notify`]). Without NOTIFY_SOCKET in the
//! environment nothing is sent. N1
//!
//! Sockets that it passes (LISTEN_FDS) are taken in `net/inherited.rs`.

mod notify;
pub(crate) mod state;

use crate::sys::now_ms;
use notify::Socket;
use state::{Event, State};
use std::os::fd::BorrowedFd;

/// The service manager, as the master knows it.
pub(crate) struct Manager {
    socket: Socket,
    state: State,
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
        Some(Self { socket, state })
    }

    fn tell(&mut self, event: Event<'_>) {
        for message in self.state.step(event, now_ms()) {
            self.socket.send(&message, None);
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

    /// Another process is the master now.
    pub(crate) fn successor(&mut self, pid: i32) {
        self.socket.send(&format!("MAINPID={pid}\nREADY=1"), None);
    }

    /// The loop runs: say so, if it is time.
    pub(crate) fn tick(&mut self) {
        self.tell(Event::Tick);
    }

    /// When to call tick() at the latest.
    pub(crate) fn next(&self) -> Option<u64> {
        self.state.next()
    }

    /// Have this socket kept, in case the master dies.
    pub(crate) fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        let message = format!("FDSTORE=1\nFDNAME={}", state::fd_name(name));
        self.socket.send(&message, Some(fd));
    }

    /// It is closed.
    pub(crate) fn forget(&self, name: &str) {
        self.forget_named(&state::fd_name(name));
    }

    /// The same, by the name that it is kept under.
    pub(crate) fn forget_named(&self, name: &str) {
        self.socket
            .send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
    }
}
