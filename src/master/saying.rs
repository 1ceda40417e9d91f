//! What the master says to its children, and passes on to the controller.

use super::Master;
use crate::channel::{Frame, Kind, Sent, send_with};
use std::os::fd::{AsFd, BorrowedFd};

/// How often to say that messages were dropped, ms.
const LOSS_MS: u64 = 1_000;

impl Master {
    /// What a worker says to the controller. It stands in one line with what the master has to
    /// say, but takes no more than half of the room.
    pub(super) fn pass_up(&mut self, kind: Kind, spawn: u64, arg: u64, payload: &[u8]) {
        let Some((slot, _)) = self.controller() else {
            return;
        };
        if !self.outboxes[slot].is_half_full() {
            return self.say(slot, kind, spawn, arg, payload);
        }
        self.lost_on_the_way_up += 1;
        let now = crate::sys::now_ms();
        if now >= self.loss_told + LOSS_MS {
            let lost = std::mem::take(&mut self.lost_on_the_way_up);
            ::log::error!(
                "the controller does not read: {lost} messages of workers to it were dropped"
            );
            self.loss_told = now;
        }
    }

    pub(super) fn tell_controller(&mut self, kind: Kind, arg: u64, arg2: u64, payload: &[u8]) {
        if let Some((slot, _)) = self.controller() {
            self.say(slot, kind, arg, arg2, payload);
        }
    }

    pub(super) fn tell(&mut self, slot: usize, kind: Kind, arg: u64) {
        self.say(slot, kind, arg, 0, &[]);
    }

    /// Never waits: what the channel does not take now is queued, within limits.
    fn say(&mut self, slot: usize, kind: Kind, arg: u64, arg2: u64, payload: &[u8]) {
        // What waits will wake it as well.
        if matches!(kind, Kind::Nudge | Kind::TableChanged) && !self.outboxes[slot].is_empty() {
            return;
        }
        let Some(head) = self.head(kind, slot, arg, arg2) else {
            return;
        };
        let end = self.pairs[slot].master.as_fd();
        match self.outboxes[slot].push(end, &Frame { head, payload }) {
            Ok(Sent::Done | Sent::Gone) => {}
            Ok(Sent::Full) => {
                ::log::error!("slot {slot} does not read: dropped a message {kind:?}");
            }
            Err(error) => ::log::error!("slot {slot}: message {kind:?}: {error}"),
        }
    }

    /// With descriptors, which do not wait in line: without them when the channel is full.
    pub(super) fn tell_controller_with(&mut self, kind: Kind, fds: &[BorrowedFd<'_>]) {
        let Some((slot, _)) = self.controller() else {
            return;
        };
        let Some(head) = self.head(kind, slot, 0, 0) else {
            return;
        };
        let frame = Frame { head, payload: &[] };
        let end = self.pairs[slot].master.as_fd();
        let at_once = self.outboxes[slot].is_empty()
            && !matches!(send_with(end, &frame, fds), Ok(Sent::Full) | Err(_));
        if !at_once {
            self.tell_controller(kind, 0, 0, &[]);
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    pub(super) fn retry_unsent(&mut self) {
        for (outbox, pair) in self.outboxes.iter().zip(&self.pairs) {
            if !outbox.is_empty() {
                outbox.flush(pair.master.as_fd());
            }
        }
    }
}
