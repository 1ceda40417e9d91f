//! What the master needs of the schedule to take clients and to pass them on.

use super::door::Door;
use super::handover::HandOver;
use super::schedule::Schedule;
use super::words::Told;
use crate::bpf::away;
use std::sync::atomic::Ordering::Relaxed;

/// A worker that has been busy for longer is overdue.
const OVERDUE_NS: u64 = 2_000_000;

impl Schedule {
    /// Open workers that take clients.
    pub(crate) fn willing(&self) -> impl Iterator<Item = usize> {
        let open = self.pool.words.open_slots();
        open.filter(|slot| self.pool.takes_clients(*slot))
    }

    /// Open workers that new connections may be sent to until this is asked again: what
    /// keeps them away is nothing that passes by itself, without a word to the master.
    pub(super) fn selectable(&self) -> impl Iterator<Item = usize> {
        let words = &self.pool.words;
        let passing = away::DOUBTED | away::FULL;
        let open = words.open_slots();
        open.filter(move |slot| words.row(*slot).away() & !passing == 0)
    }

    /// Has it been busy for so long that others are better?
    pub(super) fn is_overdue(&self, slot: usize, now_ns: u64) -> bool {
        let since = self.pool.words.row(slot).beat().load(Relaxed);
        since.saturating_add(OVERDUE_NS) < now_ns
    }

    /// Take the client of this number back. False: the worker of this slot has taken it.
    pub(crate) fn settle(&self, slot: usize, number: u64) -> bool {
        self.pool.words.row(slot).settle(number)
    }

    /// Is this listener served by the master?
    pub(crate) fn passes(&self, listener: usize) -> bool {
        let serves = self.lanes.serving_at(listener).is_some();
        serves && self.pool.mode(listener) == super::mode::Mode::Pass
    }

    /// Is any?
    pub(crate) fn passes_any(&self) -> bool {
        (0..self.pool.listeners()).any(|listener| self.passes(listener))
    }

    /// The master has taken a client from this door.
    pub(crate) fn was_taken(&self, door: Door) {
        self.pool.words.tell_more(Told::Passed);
        self.expect_drops(crate::sys::now_ms());
        if let super::door::Kind::Own { slot } = door.kind {
            self.pool.words.row(slot).took(1);
        }
    }

    pub(crate) fn count_switch(&self) {
        self.pool.words.tell_more(Told::Switches);
    }

    pub(crate) fn was_passed_again(&self) {
        self.pool.words.tell_more(Told::Repassed);
    }

    /// The master could not accept.
    pub(crate) fn failed(&self) {
        self.pool.words.tell_more(Told::Errors);
    }

    pub(crate) fn fd(&self, door: Door) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.pool.fd(door)
    }

    pub(crate) fn base(&self, listener: usize) -> Door {
        Door::shared(listener, 0)
    }
}
