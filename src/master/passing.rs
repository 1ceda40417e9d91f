//! Clients that the master accepts and passes on: all of them in accept mode
//! pass, otherwise those that wait where no worker takes them. flow: M5

use super::Master;
use crate::accept::Door;
use crate::channel::{Frame, Kind, Sent, send_with};
use crate::net::{self, AcceptError};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Clients accepted at one event; others of the master's events come between.
const BATCH: u32 = 64;
/// Goes with a client whose socket another worker has in its channel, too.
const STRAY: &[u8] = &[1];
/// Time to the next try when nobody takes clients, or no descriptor is free, ms.
const RETRY: u64 = 20;

impl Master {
    /// Have exactly the listeners in the loop that the master accepts from.
    pub(super) fn watch_passed(&mut self) {
        let able = self.has_taker() && !self.passing.has_homeless();
        for listener in 0..self.shared.schedule.listeners() {
            let schedule = &self.shared.schedule;
            let ours = schedule.passes(listener) && !schedule.stands_by();
            let wanted = ours && able && !self.exhausted();
            if wanted == self.watched[listener] {
                continue;
            }
            let door = self.shared.schedule.base(listener);
            let Some(fd) = self.shared.schedule.fd(door).map(|fd| fd.as_raw_fd()) else {
                continue;
            };
            if wanted {
                let token = super::PASS + u64::try_from(listener).unwrap_or(0);
                if let Err(error) = self.watch(fd, token) {
                    // Meanwhile the sentinel observes.
                    ::log::warn!("listener {listener}: {error}: trying again");
                    self.exhausted_until = Some(crate::sys::now_ms() + 5 * RETRY);
                    continue;
                }
            } else {
                self.unwatch(fd);
            }
            self.watched[listener] = wanted;
            // Where nobody could be given a client, the sentinel observes.
            self.shared.schedule.observe(listener, !wanted);
        }
    }

    /// A listener in accept mode pass is ready.
    pub(super) fn pass_clients(&mut self, listener: usize) {
        let door = self.shared.schedule.base(listener);
        self.take_from(door);
    }

    fn has_taker(&self) -> bool {
        self.taker(&[], true).is_some()
    }

    fn taker(&self, not: &[usize], overdue: bool) -> Option<usize> {
        self.passing.taker(&self.shared.schedule, not, overdue)
    }

    /// Accept what waits at this door, as long as somebody takes it. What waits for
    /// busy workers is not given to one that is as busy.
    pub(super) fn take_from(&mut self, door: Door) {
        let overdue = self.shared.schedule.passes(door.listener);
        if self.passing.has_homeless() {
            return; // those come first, and more of them would only use up descriptors
        }
        for _ in 0..BATCH {
            // Chosen before the client is there, and kept to: a moment later all may look
            // busy, and the one that hangs would be as good as the others.
            let Some(taker) = self.taker(&[], overdue) else {
                return;
            };
            let Some(accepted) = self.shared.schedule.fd(door).map(net::accept) else {
                return;
            };
            match accepted {
                Ok(Some((client, _))) => {
                    self.shared.schedule.was_taken(door);
                    let listener = u32::try_from(door.listener).unwrap_or(0);
                    let id = self.passing.add(client, listener);
                    if !self.give(id, taker) && !self.pass(id, Some(taker)) {
                        return; // others would fare no better
                    }
                }
                Ok(None) => return,
                Err(AcceptError::Transient(_)) => self.shared.schedule.failed(),
                Err(AcceptError::Exhausted(errno) | AcceptError::Broken(errno)) => {
                    self.shared.schedule.failed();
                    ::log::warn!("the master cannot accept: {}", errno.desc());
                    self.exhausted_until = Some(crate::sys::now_ms() + 5 * RETRY);
                    return;
                }
            }
        }
    }

    /// Give it to the best worker that has room in its channel, but for `not`. False: nobody
    /// could be given it now; it is kept.
    pub(super) fn pass(&mut self, id: u64, not: Option<usize>) -> bool {
        let mut tried: Vec<usize> = not.into_iter().collect();
        while let Some(slot) = self.taker(&tried, true) {
            if self.give(id, slot) {
                return true;
            }
            tried.push(slot);
        }
        self.passing.keep(id);
        false
    }

    /// False: its channel is full.
    fn give(&mut self, id: u64, slot: usize) -> bool {
        let sent = self.send_client(id, slot);
        if sent {
            self.passing.sent(id, slot, crate::sys::now_ms());
        }
        sent
    }

    fn send_client(&mut self, id: u64, slot: usize) -> bool {
        let listener = self.passing.get(id).map_or(0, |p| u64::from(p.listener));
        let (Some(head), Some(passed)) = (
            self.head(Kind::Client, slot, listener, self.passing.next_number()),
            self.passing.get(id),
        ) else {
            return false;
        };
        let payload = if passed.is_stray() { STRAY } else { &[] };
        let frame = Frame { head, payload };
        let end = self.pairs[slot].master.as_fd();
        matches!(
            send_with(end, &frame, &[passed.client.as_fd()]),
            Ok(Sent::Done)
        )
    }

    /// A client that another binary has accepted.
    pub(super) fn pass_inherited(&mut self, client: OwnedFd, listener: usize) {
        let listener = u32::try_from(listener).unwrap_or(0);
        let id = self.passing.add(client, listener);
        self.pass(id, None);
    }

    /// It can be given the next one.
    pub(super) fn client_taken(&mut self, slot: usize, number: u64) {
        self.passing.taken(number, slot);
        self.look_sooner();
    }

    pub(super) fn client_declined(&mut self, slot: usize, number: u64) {
        if let Some(id) = self.passing.declined(number, slot) {
            self.shared.schedule.was_passed_again();
            self.pass(id, Some(slot));
        }
    }

    /// The worker is dead, and all it had said was heard.
    pub(super) fn pass_again(&mut self, slot: usize) {
        if let Some(id) = self.passing.left_behind(slot) {
            self.shared.schedule.was_passed_again();
            self.pass(id, Some(slot));
        }
    }

    /// Clients that their workers do not take, while others are free: stopped or blocked in
    /// the moment in which they were sent it, these could not be told from idle ones. A10
    fn recall_late(&mut self) {
        let now = crate::sys::now_ms();
        while let Some(slot) = self.passing.next_late(now) {
            let Some(free) = self.taker(&[slot], false) else {
                return;
            };
            let settle = |number| self.shared.schedule.settle(slot, number);
            if let Some(id) = self.passing.recall(slot, settle) {
                ::log::debug!("slot {slot} does not take a client: it goes to slot {free}");
                self.shared.schedule.was_passed_again();
                if !self.give(id, free) {
                    self.pass(id, Some(slot));
                }
            }
        }
    }

    /// Those for whom there was nobody.
    pub(super) fn retry_passing(&mut self) {
        self.hand_over_clients();
        self.recall_late();
        if self
            .exhausted_until
            .is_some_and(|at| at <= crate::sys::now_ms())
        {
            self.exhausted_until = None;
        }
        let passes = self.shared.schedule.passes_any() || self.watched.contains(&true);
        if !passes && !self.passing.has_homeless() {
            return;
        }
        // Until the first that cannot be passed on: the taker may be dead already, and its
        // death is noticed in the loop, not here.
        while self.has_taker() {
            let id = self.passing.next_homeless();
            if id.is_none_or(|id| !self.pass(id, None)) {
                break;
            }
        }
        self.watch_passed();
    }

    pub(super) fn exhausted(&self) -> bool {
        self.exhausted_until.is_some()
    }

    /// When to try again: a worker that takes clients again does not say so.
    pub(super) fn passing_deadline(&self, now: u64) -> Option<u64> {
        let homeless = self.passing.has_homeless().then_some(now + RETRY);
        let late = self.passing.late_from();
        let recall = late.map(|at| if at > now { at } else { now + RETRY });
        let due = homeless.into_iter().chain(recall);
        due.chain(self.exhausted_until).min()
    }
}
