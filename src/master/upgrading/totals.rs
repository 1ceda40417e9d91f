//! What operators draw goes on from where it was, while both binaries count.

use super::TOTALS_MS;
use crate::accept::CARRIED;
use crate::master::Master;
use crate::shm::{Counts, Gauge};
use crate::sys::now_ms;
use crate::upgrade::wire::{Message, Totals};

/// Totals of the console, by their names between two binaries.
const OF_THE_CONSOLE: [(&str, Gauge); 3] = [
    ("console_connections", Gauge::ConsoleConnections),
    ("console_refused", Gauge::ConsoleRefused),
    ("console_commands", Gauge::ConsoleCommands),
];
/// In front of the names of the service's own counters.
const OWN: &str = "c:";

impl Master {
    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (name, value) in self.policy.counts.named() {
            totals.set(name, value);
        }
        for (name, value) in CARRIED.into_iter().zip(self.shared.schedule.carried()) {
            totals.set(name, value);
        }
        for (name, gauge) in OF_THE_CONSOLE {
            totals.set(name, self.shared.board.total(gauge));
        }
        for (at, name) in self.rt.counters.borrow().iter().enumerate() {
            let value = self.shared.board.counter(None, at);
            totals.set(format!("{OWN}{name}"), value);
        }
        totals
    }

    /// While we drain, what we count still counts.
    pub(in crate::master) fn send_totals(&mut self, now: bool) {
        if self.upgrade.next.is_none() || (self.upgrade.successor().is_none() && !now) {
            return;
        }
        if now || now_ms() >= self.upgrade.sent_at + TOTALS_MS {
            let totals = self.totals();
            self.upgrade.sent_at = now_ms();
            if now || totals != self.upgrade.sent {
                self.upgrade.sent = totals.clone();
                self.tell_next(Message::Totals(totals));
            }
            self.bequeath_changes();
        }
    }

    pub(super) fn inherit(&mut self, totals: Totals) {
        let before = std::mem::replace(&mut self.upgrade.heard, totals);
        let now = |name: &str| self.upgrade.heard.get(name).unwrap_or(0);
        // The policy counts on in the same place.
        for (name, _) in Counts::default().named() {
            if let Some(count) = Counts::find(name) {
                let more = now(name).saturating_sub(before.get(name).unwrap_or(0));
                self.policy.counts.add(count, more);
            }
        }
        self.shared.schedule.inherit(CARRIED.map(now));
        for (name, gauge) in OF_THE_CONSOLE {
            self.shared.board.inherit_total(gauge, now(name));
        }
        for (at, name) in self.rt.counters.borrow().iter().enumerate() {
            if let Some(value) = self.upgrade.heard.get(&format!("{OWN}{name}")) {
                self.shared.board.inherit(at, value);
            }
        }
        self.publish_facts();
    }
}
