//! Messages to workers and funcs: written straight into their channels, in
//! order, queued while a channel is full, and never to another spawn. flow: C9

use super::{Controller, WRITABLE};
use crate::channel::{Frame, Head, Kind, Outbox, Sent};
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::shm::Row;
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub(crate) struct Messages {
    peers: Vec<Peer>,
    sequence: Cell<u64>,
}

struct Peer {
    /// The master end of the slot's channel; none for the controller's own slot.
    end: Option<OwnedFd>,
    spawn: Cell<u64>,
    outbox: Outbox,
    watched: Cell<bool>,
}

impl Messages {
    pub(super) fn new(ends: Vec<Option<OwnedFd>>, limit: usize) -> Self {
        let peer = |end| Peer {
            end,
            spawn: Cell::new(0),
            outbox: Outbox::new(limit),
            watched: Cell::new(false),
        };
        Self {
            peers: ends.into_iter().map(peer).collect(),
            sequence: Cell::new(0),
        }
    }

    /// The slot has another process now: what waits for the last one is void.
    pub(super) fn occupied_by(&self, slot: usize, spawn: u64) {
        if let Some(peer) = self.peers.get(slot)
            && peer.spawn.replace(spawn) != spawn
        {
            peer.outbox.clear();
        }
    }
}

impl Controller {
    pub(super) fn post(
        &self,
        slot: usize,
        row: &Row,
        kind: Kind,
        arg: u64,
        payload: &[u8],
    ) -> Result<()> {
        let gone = || Error::new(DTM_EGONE, "no such process");
        let peer = self.messages.peers.get(slot).ok_or_else(gone)?;
        let end = peer.end.as_ref().ok_or_else(gone)?;
        let sequence = self.messages.sequence.get() + 1;
        self.messages.sequence.set(sequence);
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        let (generation, spawn) = (row.generation, row.spawn);
        let head = Head {
            kind,
            slot,
            generation,
            spawn,
            seq: sequence,
            arg,
            arg2: 0,
        };
        #[cfg(feature = "fault")]
        crate::fault::hit("channel.send");
        match peer.outbox.push(end.as_fd(), &Frame { head, payload })? {
            Sent::Done => {}
            Sent::Full => return Err(Error::new(-libc::EAGAIN, "channel_queue is full")),
            Sent::Gone => return Err(gone()),
        }
        if !peer.outbox.is_empty() && !peer.watched.get() {
            let output = libc::EPOLLOUT.unsigned_abs();
            self.reactor()
                .own_add(end.as_raw_fd(), output, WRITABLE + slot)?;
            peer.watched.set(true);
        }
        Ok(())
    }

    pub(super) fn flush(&self, slot: u32) {
        let Some(peer) = usize::try_from(slot)
            .ok()
            .and_then(|s| self.messages.peers.get(s))
        else {
            return;
        };
        let Some(end) = &peer.end else { return };
        peer.outbox.flush(end.as_fd());
        if peer.outbox.is_empty() {
            self.reactor().own_del(end.as_raw_fd());
            peer.watched.set(false);
        }
    }

    /// dtm_send()
    pub(crate) fn send_to(&self, spawn: u64, payload: &[u8]) -> Result<()> {
        self.send(spawn, Kind::Data, 0, payload)
    }

    /// A message of the library's own, without a payload.
    pub(crate) fn send_kind(&self, spawn: u64, kind: Kind, arg: u64) -> Result<()> {
        self.send(spawn, kind, arg, &[])
    }

    fn send(&self, spawn: u64, kind: Kind, arg: u64, payload: &[u8]) -> Result<()> {
        self.refresh();
        let (slot, row) = self.roster.find(spawn).ok_or_else(|| {
            Error::new(
                DTM_EGONE,
                format!("there is no process with spawn id {spawn} any more"),
            )
        })?;
        self.post(slot, &row, kind, arg, payload)
    }

    /// dtm_send_all(): how many took it, and the first failure.
    pub(crate) fn send_all(&self, generation: u32, payload: &[u8]) -> (u32, Result<()>) {
        let (mut count, mut result) = (0, Ok(()));
        for worker in self.workers() {
            let wanted = generation == 0 || worker.generation == generation;
            if !wanted || worker.pid == 0 {
                continue;
            }
            match self.send_to(worker.spawn, payload) {
                Ok(()) => count += 1,
                Err(error) => result = result.and(Err(error)),
            }
        }
        (count, result)
    }
}
