//! Clients: accepted, asked and told by the API, drained, closed.

use super::entry::{BUSY, Entry, IN_CALL, Kind, TAKEN, small};
use super::reactor::Reactor;
use super::step::Verdict;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard::callback;
use crate::net::Peer;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

/// `idle_ms` of a client whose open callback may still set it.
const UNDECIDED: u32 = 0;

impl Reactor {
    /// A new client: its open callback runs here, and the close callback too if it
    /// is refused there. An error says that it was closed before any callback ran.
    pub(crate) fn client_add(
        &self,
        fd: OwnedFd,
        listener: i32,
        tag: u64,
        peer: Peer,
    ) -> Result<()> {
        if self.full() || self.down.get() {
            return Err(Error::new(-libc::ENOSPC, "no room for another client"));
        }
        let kind = Kind::Client {
            tag,
            listener,
            peer,
        };
        let entry = self.slab.take(kind, fd.as_raw_fd(), std::ptr::null_mut())?;
        let _ = fd.into_raw_fd(); // the entry owns it now
        self.clients.set(self.clients.get() + 1);
        self.last_id.set(self.last_id.get() + 1);
        entry.id.set(self.last_id.get());
        self.set_busy(entry, true);
        entry.interest.set(small(DTM_READ));
        entry.idle_ms.set(UNDECIDED);

        let result = self.call_open(entry);
        let mut idle_ms = self.setup.client_timeout_ms;
        if Verdict::of(result) == Verdict::Taken {
            entry.raise(TAKEN);
            idle_ms = DTM_OFF; // its activity is not seen here
        }
        if entry.idle_ms.get() == UNDECIDED {
            self.rearm_idle(entry, idle_ms);
        }
        self.settle(entry, result);
        Ok(())
    }

    fn call_open(&self, entry: &Entry) -> i32 {
        let Some(open) = self.setup.open else {
            return DTM_KEEP;
        };
        entry.raise(IN_CALL);
        let rt = self.setup.rt;
        // SAFETY: the service's function, with a living client.
        let result = callback(|| unsafe { open(rt, entry.handle(), self.setup.user_data) });
        entry.lower(IN_CALL);
        result
    }

    /// Open clients.
    pub(crate) fn clients(&self) -> u32 {
        self.clients.get()
    }

    /// Those of them with a request in flight.
    #[allow(dead_code)]
    pub(crate) fn busy(&self) -> u32 {
        self.busy.get()
    }

    pub(super) fn set_busy(&self, entry: &Entry, busy: bool) {
        match (entry.has(BUSY), busy) {
            (false, true) => {
                entry.raise(BUSY);
                self.busy.set(self.busy.get() + 1);
            }
            (true, false) => {
                entry.lower(BUSY);
                self.busy.set(self.busy.get() - 1);
            }
            _ => {}
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.clients.get() >= self.setup.max_clients
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Idle clients are closed and busy ones are told, from the next queue on.
    pub(crate) fn start_drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        self.each(Entry::is_client, |entry| {
            if entry.has(BUSY) {
                entry.pending.set(entry.pending.get() | small(DTM_DRAIN));
            }
            self.enqueue(entry);
        });
    }

    /// Close every client, now; one whose step is running, when that returns.
    pub(crate) fn close_clients(&self, reason: i32) {
        self.each(Entry::is_client, |entry| self.end(entry, reason));
    }

    /// Close clients and watches, stop all timers, take nothing new.
    pub(crate) fn shutdown(&self, reason: i32) {
        self.down.set(true);
        self.close_clients(reason);
        self.each(Entry::is_watch, |entry| self.end(entry, reason));
        self.each(Entry::is_timer, |entry| self.timer_end(entry));
        for token in 0..super::TOKENS {
            self.own_timer(token, None);
        }
        self.foreign_end();
    }

    fn each(&self, of_kind: fn(&Entry) -> bool, act: impl Fn(&Entry)) {
        let mut index = 0;
        while let Some(entry) = self.slab.get(index) {
            if of_kind(entry) {
                act(entry);
            }
            index += 1;
        }
    }

    /// The client behind a handle: alive, be it only for its close callback.
    fn client(&self, client: *const dtm_client_t) -> Result<&Entry> {
        self.entry(client, Entry::is_client, "client")
    }

    /// ... and not about to end.
    fn open_client(&self, client: *const dtm_client_t) -> Result<&Entry> {
        self.open_entry(client, Entry::is_client, "client")
    }

    pub(crate) fn client_fd(&self, client: *const dtm_client_t) -> Result<i32> {
        Ok(self.client(client)?.fd.get())
    }

    pub(crate) fn client_id(&self, client: *const dtm_client_t) -> Result<u64> {
        Ok(self.client(client)?.id.get())
    }

    /// Listener, tag and peer.
    pub(crate) fn client_origin(&self, client: *const dtm_client_t) -> Result<(i32, u64, Peer)> {
        match self.client(client)?.kind.get() {
            Kind::Client {
                listener,
                tag,
                peer,
            } => Ok((listener, tag, peer)),
            _ => Err(Error::new(DTM_EGONE, "the client is closed")),
        }
    }

    pub(crate) fn client_data(&self, client: *const dtm_client_t) -> Result<*mut c_void> {
        Ok(self.client(client)?.data.get())
    }

    pub(crate) fn client_set_data(
        &self,
        client: *const dtm_client_t,
        data: *mut c_void,
    ) -> Result<()> {
        self.client(client)?.data.set(data);
        Ok(())
    }

    pub(crate) fn client_set_busy(&self, client: *const dtm_client_t, busy: bool) -> Result<()> {
        let client = self.open_client(client)?;
        self.set_busy(client, busy);
        if !busy && self.draining() && !client.has(IN_CALL) {
            self.enqueue(client); // may be what the drain was waiting for
        }
        Ok(())
    }

    pub(crate) fn client_set_interest(
        &self,
        client: *const dtm_client_t,
        interest: u32,
    ) -> Result<()> {
        self.set_interest(self.open_client(client)?, interest)
    }

    pub(crate) fn client_wake(&self, client: *const dtm_client_t) -> Result<()> {
        self.wake(self.open_client(client)?);
        Ok(())
    }

    pub(crate) fn client_set_timeout(&self, client: *const dtm_client_t, ms: u32) -> Result<()> {
        let default = self.setup.client_timeout_ms;
        self.rearm_idle(
            self.open_client(client)?,
            if ms == 0 { default } else { ms },
        );
        Ok(())
    }

    pub(crate) fn client_close(&self, client: *const dtm_client_t) -> Result<()> {
        self.ask_to_end(self.open_client(client)?, DTM_CLOSE_ASKED);
        Ok(())
    }
}
