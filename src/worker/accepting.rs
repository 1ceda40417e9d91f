//! Accepting, when the schedule gives this worker the turn. flow: W6, L5, L12

use super::{PAUSE, Worker};
use crate::accept::Door;
use crate::channel::{Attached, Frame, Kind};
use crate::event::{Copies, Origin};
use crate::net::{self, AcceptError, Peer};
use crate::shm::Gauge;
use std::os::fd::OwnedFd;

/// How long a worker without free descriptors takes no turn.
const EXHAUSTED_MS: u64 = 100;

impl Worker {
    /// Something waits at this door.
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn accept(&self, door: Door) {
        // Armed by the master an instant before its message was read.
        if !self.seat.may_accept(door) || !self.is_open() {
            return;
        }
        for _ in 0..self.seat.share(door) {
            if self.paused.get() || !self.take_one(door) {
                break;
            }
        }
    }

    /// Accept one client at this door. False: there was none.
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn take_one(&self, door: Door) -> bool {
        let Some(fd) = self.seat.fd(door) else {
            return false;
        };
        #[cfg(feature = "fault")]
        if crate::fault::fallible("accept").is_err() {
            self.seat.failed();
            self.exhausted(nix::errno::Errno::EMFILE);
            return false;
        }
        match net::accept(fd) {
            Ok(Some((client, peer))) => {
                // The next turn is arranged before any work is done for this client.
                self.seat.accepted(door, || self.departed());
                #[cfg(feature = "fault")]
                crate::fault::hit("token.armed");
                self.welcome(client, door.listener, peer, Copies::None);
                true
            }
            Ok(None) => {
                self.seat.empty();
                false
            }
            Err(error) => {
                self.accept_failed(door, error);
                false
            }
        }
    }

    #[unsafe(link_section = ".text.hot")]
    fn welcome(&self, client: OwnedFd, listener: usize, peer: Peer, copies: Copies) {
        for gauge in [Gauge::Accepted, Gauge::TotalAccepted] {
            self.child.gauges.add(gauge, 1);
        }
        let tag = self.tags.get(listener).copied().unwrap_or(0);
        let from = Origin {
            copies,
            ..Origin::sole(i32::try_from(listener).unwrap_or(-1), tag, peer)
        };
        if let Err(error) = self.reactor().client_add(client, from) {
            ::log::warn!("a client was refused: {error}");
        }
        if self.reactor().full() {
            self.pause();
        }
    }

    /// Clients that have left. None have where the loop is the service's own: how long its
    /// passes take is not seen here.
    #[inline(always)]
    pub(super) fn departed(&self) -> u64 {
        match self.own_loop {
            false => self.reactor().departed(),
            true => 0,
        }
    }

    /// The master passes a client on. It keeps it until it is answered; the answer
    /// comes before any work, for what was begun cannot be begun by another. It may have
    /// taken it back meanwhile.
    pub(super) fn take_passed(&self, frame: &Frame<'_>, attached: &mut Attached) {
        let (listener, number) = (frame.head.arg, frame.head.arg2);
        let serving = self.is_open() && !self.paused.get() && !self.child.is_leaving();
        let alone = self.was_open.get() && !self.seat.has_successor();
        let wanted = (serving || alone) && !self.reactor().full();
        match (attached.fds.pop(), usize::try_from(listener)) {
            (Some(client), Ok(listener)) if wanted && self.seat.row().settle(number) => {
                // Counted first: with the answer, the master looks at the load again.
                self.seat.was_passed(listener);
                self.child.link.must_send(Kind::Taken, number, 0, &[]);
                let peer = net::peer_of(&client);
                let copies = match frame.payload {
                    [] => Copies::Master,
                    _ => Copies::Stray,
                };
                self.welcome(client, listener, peer, copies);
            }
            (client, _) => {
                drop(client);
                self.child.link.must_send(Kind::Declined, number, 0, &[]);
                if attached.cut {
                    self.seat.failed();
                    self.exhausted(nix::errno::Errno::EMFILE);
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn accept_failed(&self, door: Door, error: AcceptError) {
        self.seat.failed();
        match error {
            AcceptError::Transient(_) => {}
            AcceptError::Exhausted(errno) => self.exhausted(errno),
            AcceptError::Broken(_) if self.seat.closes(door) => {}
            AcceptError::Broken(errno) => {
                ::log::error!(
                    "accept on listener {}: {}: leaving",
                    door.listener,
                    errno.desc()
                );
                crate::process::exit_now(crate::ffi::DTM_EXIT_FDS);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn exhausted(&self, errno: nix::errno::Errno) {
        ::log::warn!(
            "accept: {}: no new clients for {EXHAUSTED_MS} ms",
            errno.desc()
        );
        self.exhausted.set(true);
        self.pause();
        self.reactor().own_timer(PAUSE, Some(EXHAUSTED_MS));
    }

    #[cold]
    fn pause(&self) {
        if !self.paused.replace(true) {
            self.seat.pause();
        }
    }

    /// If nothing speaks against it any more.
    #[cold]
    pub(super) fn resume(&self) {
        let ready = !self.exhausted.get() && !self.reactor().full();
        if ready && self.paused.replace(false) && self.seat.resume() {
            // Without it the master looks again a moment later.
            let _ = self.child.link.send(Kind::Room, 0, 0, &[]);
        }
    }
}
