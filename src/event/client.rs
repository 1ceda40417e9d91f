//! Clients: accepted, asked and told by the API, drained, closed.

use super::clock::{Clock, NS_PER_MS};
use super::entry::{BUSY, Entry, IN_CALL, Kind, NOT_ARMED, SHARED, TAKEN, small};
use super::handle::{Object, alive, ask, callback_on, open, own_or};
use super::reactor::Reactor;
use super::step::Verdict;
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard::{self, SERVING};
use crate::net::Peer;
use crate::shm::Doing;
use std::cell::RefCell;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// `idle_ms` of a client whose open callback may still set it.
const UNDECIDED: u32 = 0;

#[inline(always)]
fn open_client<'a>(client: *const dtm_client_t) -> Result<&'a Entry> {
    open(client, Object::Client)
}

/// Ask a client for something, or give it a word to keep.
#[inline(always)]
pub(crate) fn ask_client<T: Answer>(
    client: *const dtm_client_t,
    get: impl Fn(&Entry) -> T,
) -> T::C {
    ask(client, SERVING, Object::Client, get)
}

/// Listener, tag and peer.
pub(crate) fn client_origin(client: *const dtm_client_t) -> Result<(i32, u64, Peer)> {
    alive(client, Object::Client).map(Entry::origin)
}

/// Number and fd of a client of the library's own.
pub(crate) fn client_key(client: *const dtm_client_t) -> Result<(u64, RawFd)> {
    alive(client, Object::Client).map(|entry| (entry.id(), entry.fd.get()))
}

/// The state that the service sees it in.
pub(crate) fn client_set_state(client: *const dtm_client_t, text: &[u8]) -> Result<()> {
    let entry = alive(client, Object::Client)?;
    let label = match text {
        [] => 0,
        text => crate::report::label::number(text)?,
    };
    entry.set_label(label);
    Ok(())
}

/// Whether a request is in flight. Most steps say so, and many say nothing new.
#[inline(always)]
pub(crate) fn set_busy(client: *const dtm_client_t, busy: bool) -> i32 {
    let other = || set_busy_of_another(client, busy);
    let own = |entry: &Entry| match entry.reason.get() {
        0 if entry.has(BUSY) == busy => DTM_OK,
        0 => change_busy(entry, busy).unwrap_or_else(other),
        _ => other(),
    };
    own_or(client, Object::Client, own, other)
}

/// In a callback of the client, at whose end a drain looks at it.
fn change_busy(entry: &Entry, busy: bool) -> Option<i32> {
    guard::adjust(|rt| {
        rt.reactor()?.set_busy(entry, busy);
        Some(DTM_OK)
    })?
}

#[inline(never)]
extern "C" fn set_busy_of_another(client: *const dtm_client_t, busy: bool) -> i32 {
    guard::enter(SERVING, |rt| {
        let reactor = super::of(rt)?;
        reactor.client_set_busy(client, busy)?;
        if reactor.setup.busy_counts {
            rt.tell_others();
        }
        Ok(())
    })
}

/// Where a client comes from.
pub(crate) struct Origin {
    pub(crate) listener: i32,
    pub(crate) tag: u64,
    pub(crate) peer: Peer,
    pub(crate) copies: Copies,
}

/// Who has its socket, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    None,
    /// The master, until it hears our answer.
    Master,
    /// And for longer than that a worker that did not take it: it lies in its channel.
    Stray,
}

impl Origin {
    /// Nobody else has its socket.
    pub(crate) fn sole(listener: i32, tag: u64, peer: Peer) -> Self {
        Self {
            listener,
            tag,
            peer,
            copies: Copies::None,
        }
    }
}

impl Reactor {
    /// Clients that came and are gone.
    #[inline(always)]
    pub(crate) fn departed(&self) -> u64 {
        self.last_id.get() - u64::from(self.clients.get())
    }

    /// A new client: its open callback runs here, and the close callback too if it
    /// is refused there. An error says that it was closed before any callback ran.
    #[unsafe(link_section = ".text.hot")]
    pub(crate) fn client_add(&self, fd: OwnedFd, from: Origin) -> Result<()> {
        let Origin {
            listener,
            tag,
            peer,
            copies,
        } = from;
        if self.full() || self.down.get() {
            return Err(Error::new(-libc::ENOSPC, "no room for another client"));
        }
        let kind = Kind::Client {
            stray: copies == Copies::Stray,
            listener: i16::try_from(listener).unwrap_or(-1),
            peer,
            tag,
        };
        let entry = self.slab.take(kind, fd.as_raw_fd(), std::ptr::null_mut())?;
        let _ = fd.into_raw_fd(); // the entry owns it now
        if copies != Copies::None {
            entry.raise(SHARED);
        }
        self.stir();
        self.clients.set(self.clients.get() + 1);
        self.last_id.set(self.last_id.get() + 1);
        entry
            .id
            .set(super::census::birth(self.last_id.get(), self.now_ms()));
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
        self.begin(Doing::Open, entry);
        entry.raise(IN_CALL);
        let (rt, client, user_data) = (self.setup.rt, entry.handle(), self.setup.user_data);
        // SAFETY: the service's function, with a living client.
        let call = || unsafe { open(rt, client, user_data) };
        let result = callback_on(entry, Object::Client, call);
        entry.lower(IN_CALL);
        result
    }

    /// Open clients.
    pub(crate) fn clients(&self) -> u32 {
        self.clients.get()
    }

    /// Those of them with a request in flight.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.get()
    }

    #[inline(always)]
    pub(super) fn set_busy(&self, entry: &Entry, busy: bool) {
        match (entry.has(BUSY), busy) {
            (false, true) => {
                entry.raise(BUSY);
                self.busy.set(self.busy.get().wrapping_add(1));
            }
            (true, false) => return self.leave_busy(entry, true),
            _ => return,
        }
        if self.setup.busy_counts {
            self.stir();
        }
    }

    /// `served`: what it was busy with was a request, and is done.
    #[inline(always)]
    pub(super) fn leave_busy(&self, entry: &Entry, served: bool) {
        if !entry.has(BUSY) {
            return;
        }
        entry.lower(BUSY);
        self.busy.set(self.busy.get().wrapping_sub(1));
        if served {
            self.progress.get().count_request();
        }
        if self.setup.busy_counts {
            self.stir();
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
            entry.unsettle();
            if entry.has(BUSY) {
                entry.pending.set(entry.pending.get() | small(DTM_DRAIN));
            }
            self.enqueue(entry);
        });
    }

    /// The same, but idle clients stay until their next request: so none that is on
    /// its way is lost.
    pub(crate) fn start_patient_drain(&self) {
        if !self.draining() {
            // To the nanosecond: what a client did in the last pass was before this.
            let now = match self.now.get() {
                0 => Clock::read().ns(),
                now => now,
            };
            self.spares.set(now.max(1));
            self.start_drain();
        }
    }

    /// The time for the drain is over: busy clients are closed, those that were spared
    /// are not any more. How many of them were busy.
    pub(crate) fn expire_drain(&self) -> u32 {
        self.spares.set(0);
        let busy = self.busy();
        self.each(Entry::is_client, |entry| {
            if entry.has(BUSY) {
                self.end(entry, DTM_CLOSE_DEADLINE);
            } else {
                self.enqueue(entry);
            }
        });
        busy
    }

    /// Busy clients, for people: at most so many.
    pub(crate) fn busy_clients(&self, most: usize) -> Vec<String> {
        let found = RefCell::new(Vec::new());
        let now = self.now_ms();
        self.each(Entry::is_client, |entry| {
            let Kind::Client { peer, .. } = entry.kind.get() else {
                return;
            };
            if entry.has(BUSY) && found.borrow().len() < most {
                let quiet = now.saturating_sub(entry.stamp.get() / NS_PER_MS);
                let line = format!("client {peer}, quiet for {quiet} ms");
                found.borrow_mut().push(line);
            }
        });
        found.into_inner()
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

    pub(crate) fn client_set_busy(&self, client: *const dtm_client_t, busy: bool) -> Result<()> {
        let client = open_client(client)?;
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
        self.set_interest(open_client(client)?, interest)
    }

    pub(crate) fn client_wake(&self, client: *const dtm_client_t) -> Result<()> {
        self.wake(open_client(client)?);
        Ok(())
    }

    pub(crate) fn client_set_timeout(&self, client: *const dtm_client_t, ms: u32) -> Result<()> {
        let default = self.setup.client_timeout_ms;
        self.rearm_idle(open_client(client)?, if ms == 0 { default } else { ms });
        Ok(())
    }

    pub(crate) fn client_close(&self, client: *const dtm_client_t) -> Result<()> {
        self.ask_to_end(open_client(client)?, DTM_CLOSE_ASKED);
        Ok(())
    }

    /// Give the fd away, open. In the client's own callbacks too: what open and step
    /// return means nothing then.
    pub(crate) fn client_release(&self, client: *const dtm_client_t) -> Result<i32> {
        let entry = alive(client, Object::Client)?;
        let fd = entry.fd.get();
        if fd < 0 {
            return Err(Error::new(DTM_EGONE, "the client was released before"));
        }
        if entry.armed.replace(NOT_ARMED) != NOT_ARMED {
            self.poller.delete(fd);
        }
        entry.fd.set(-1);
        self.end(entry, DTM_CLOSE_ASKED);
        Ok(fd)
    }
}
