//! Carry out an upgrade, as the old binary or as the new one. flow: L2
//!
//! [`crate::upgrade`] decides.

mod adopting;
mod arriving;
mod bequest;
mod leaving;
mod totals;

use super::Master;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::runtime::Runtime;
use crate::sys::now_ms;
use crate::systemd::Manager;
use crate::upgrade::coming::Coming;
use crate::upgrade::link::Link;
use crate::upgrade::new::New;
use crate::upgrade::old::{self, Old};
use crate::upgrade::wire::Totals;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// How often totals are sent while the old binary drains, ms.
const TOTALS_MS: u64 = 1_000;
/// Spawns of the old binary until it has left; the new one counts on behind them.
const SPAWNS: u64 = 10_000;
/// Epochs of its control lock, until it has passed that on.
const EPOCHS: u64 = 1_000;

/// Who ends tries so often to say what could not be said before, this far apart.
const LAST_TRIES: u32 = 50;
const LAST_PAUSE: Duration = Duration::from_millis(20);

/// The master's part in an upgrade, on either side.
#[derive(Default)]
pub(super) struct Upgrade {
    old: Old,
    /// The binary that is to replace this one.
    next: Option<Next>,
    new: Option<New>,
    /// The binary that this one replaces, until it has left.
    last: Option<Link>,
    /// Process 1, or whoever was the first.
    first: Option<Link>,
    sent: Totals,
    sent_at: u64,
    heard: Totals,
    unlocking: bool,
    /// The first epoch of our control lock, if the old binary cannot say any more.
    epoch: u64,
    /// Workers of the binaries before this one.
    adopting: adopting::Adopting,
    /// What the next one is told of ours.
    bequest: bequest::Bequest,
}

struct Next {
    link: Link,
    pidfd: Option<OwnedFd>,
}

impl Upgrade {
    pub(super) fn of(coming: Option<Coming>) -> Self {
        match coming {
            None => Self::default(),
            Some(coming) => Self {
                new: Some(New::begin()),
                last: Some(coming.link),
                first: coming.init,
                epoch: coming.run.map_or(1, |(_, epoch)| epoch),
                ..Self::default()
            },
        }
    }

    /// This binary is not in charge yet.
    pub(super) fn waits(&self) -> bool {
        self.new.as_ref().is_some_and(New::waits)
    }

    /// Nor is it alone: the old one serves.
    pub(super) fn serves_elsewhere(&self) -> bool {
        self.waits() && self.last.is_some()
    }

    pub(super) fn successor(&self) -> Option<i32> {
        self.old.successor()
    }

    pub(super) fn busy(&self) -> bool {
        self.old.busy() || self.waits()
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        let next = self.next.as_ref().map(|next| &next.link);
        [next, self.last.as_ref(), self.first.as_ref()]
            .into_iter()
            .flatten()
    }

    /// What could not be said when it was to be.
    fn has_unsent(&self) -> bool {
        self.links().any(Link::has_unsent)
    }

    fn flush(&self) {
        self.links().for_each(|link| {
            link.flush();
        });
    }

    /// For process 1, which outlives its own service.
    pub(super) fn into_link(self) -> Option<(i32, Link)> {
        Some((self.old.successor()?, self.next?.link))
    }
}

impl Master {
    pub(super) fn upgrade_deadline(&self) -> Option<u64> {
        let totals = self
            .upgrade
            .successor()
            .map(|_| self.upgrade.sent_at + TOTALS_MS);
        let no_pidfd = self
            .upgrade
            .next
            .as_ref()
            .is_some_and(|n| n.pidfd.is_none());
        let sweep = (no_pidfd && self.upgrade.successor().is_none()).then(|| now_ms() + 100);
        let deadline = self.upgrade.old.deadline();
        let unsent = self.upgrade.has_unsent() || self.upgrade.bequest.is_on_its_way();
        let unsent = unsent.then(|| now_ms() + crate::master::UNSENT_MS);
        let adopted = self.adopted_deadline();
        [totals, sweep, deadline, unsent, adopted]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn upgrade_tick(&mut self) {
        self.upgrade.flush();
        if self.upgrade.old.busy() {
            if self
                .upgrade
                .next
                .as_ref()
                .is_some_and(|n| n.pidfd.is_none())
            {
                self.look_at_next();
            }
            let heard = self.heard.until().real;
            if self.upgrade.old.deadline().is_some_and(|at| at <= heard) {
                self.old_step(old::Event::Tick);
            }
            self.send_totals(false);
            self.bequeath();
        }
        self.adopted_tick();
    }

    /// This process ends: what the other binary has to know, or to have, yet, and the service
    /// manager of it. Who reads nothing is not waited for.
    pub(super) fn say_the_last(&mut self) {
        self.send_totals(true);
        for _ in 0..LAST_TRIES {
            self.hand_over_clients();
            self.upgrade.flush();
            let clients = self.upgrade.successor().is_some() && self.passing.has_homeless();
            let manager = self.systemd.as_ref();
            let known = manager.is_none_or(Manager::knows_the_master);
            if known && !clients && !self.upgrade.has_unsent() {
                return;
            }
            std::thread::sleep(LAST_PAUSE);
        }
    }

    fn announce_upgrade(&mut self, code: i32, text: &str) {
        self.announce(DTM_EVENT_UPGRADE, None, code, text, code < 0);
    }

    /// In a child: none of its business.
    pub(super) fn forget_upgrade(&mut self) {
        self.upgrade = Upgrade::default();
    }
}

/// Make the schedule of a binary that is not in charge yet.
pub(super) fn stand_by(rt: &Runtime, master: &mut Master) -> Result<()> {
    if let Some(coming) = &*rt.coming.borrow() {
        master.policy.succeed(coming.generation, coming.spawn);
    }
    for (listener, doors) in rt.take_doors() {
        master.shared.schedule.adopt(listener, doors);
    }
    Ok(())
}

fn borrowed<'a>(fd: i32) -> BorrowedFd<'a> {
    // SAFETY: a listener of the runtime's, open throughout the one call that it is for.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The result of dtm_run() for a process 1 whose successor has ended.
pub(super) fn outcome_of(status: i32) -> Result<()> {
    match status {
        0 => Ok(()),
        status => Err(Error::new(
            DTM_EFAILED,
            format!("the binary that replaced this one ended with status {status}"),
        )),
    }
}
