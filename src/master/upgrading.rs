//! Carry out an upgrade, as the old binary or as the new one. flow: L2
//!
//! [`crate::upgrade`] decides.

use super::Master;
use super::policy::{Asker, Event, Hold, Job, Phase, describe};
use crate::accept::CARRIED;
use crate::channel::{FDS_MAX, Kind};
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::process::death;
use crate::runtime::Runtime;
use crate::shm::{Count, Counts, Gauge};
use crate::sys::now_ms;
use crate::upgrade::coming::Coming;
use crate::upgrade::link::{Heard, Link};
use crate::upgrade::new::{self, New};
use crate::upgrade::old::{self, Old};
use crate::upgrade::wire::{Message, Socket, Totals};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How often totals are sent while the old binary drains, ms.
const TOTALS_MS: u64 = 1_000;
/// Spawns of the old binary until it has left; the new one counts on behind them.
const SPAWNS: u64 = 10_000;

/// Totals of the console, by their names between two binaries.
const OF_THE_CONSOLE: [(&str, Gauge); 3] = [
    ("console_connections", Gauge::ConsoleConnections),
    ("console_refused", Gauge::ConsoleRefused),
    ("console_commands", Gauge::ConsoleCommands),
];
/// In front of the names of the service's own counters.
const OWN: &str = "c:";

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
                ..Self::default()
            },
        }
    }

    /// This binary is not in charge yet.
    pub(super) fn waits(&self) -> bool {
        self.new.as_ref().is_some_and(New::waits)
    }

    pub(super) fn successor(&self) -> Option<i32> {
        self.old.successor()
    }

    pub(super) fn busy(&self) -> bool {
        self.old.busy() || self.waits()
    }

    /// For process 1, which outlives its own service.
    pub(super) fn into_link(self) -> Option<(i32, Link)> {
        Some((self.old.successor()?, self.next?.link))
    }
}

impl Master {
    // --- The old binary ---

    pub(super) fn ask_upgrade(&mut self, asker: Asker) {
        let obstacle = match self.upgrade.busy() {
            true => Some((-libc::EBUSY, "an upgrade is in progress")),
            false => self.policy.obstacle(),
        };
        if let Some((code, why)) = obstacle {
            return self.reply(asker, code, &format!("upgrade: {why}"));
        }
        match self.start_next() {
            Ok(pid) => {
                let start = self.rt.start();
                ::log::info!("upgrade: {} starts as pid {pid}", start.program());
                let deadline = now_ms() + self.rt.config().upgrade_timeout;
                self.old_step(old::Event::Started {
                    pid,
                    asker,
                    deadline,
                });
            }
            Err(error) => {
                self.upgrade.next = None;
                self.reply(asker, error.code, &format!("upgrade: {}", error.text));
            }
        }
    }

    fn start_next(&mut self) -> Result<i32> {
        let (link, theirs) = Link::pair()?;
        self.send_inventory(&link)?;
        let pid = self.rt.start().again(&theirs)?;
        drop(theirs);
        let pidfd = death::pidfd(pid);
        let watched = self
            .watch(link.fd().as_raw_fd(), super::NEXT)
            .and_then(|()| match &pidfd {
                Some(fd) => self.watch(fd.as_raw_fd(), super::NEXT_DEATH),
                None => Ok(()),
            });
        self.upgrade.next = Some(Next { link, pidfd });
        if let Err(error) = watched {
            // SAFETY: a child of ours that is not waited for yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            death::reap(pid);
            return Err(error);
        }
        Ok(pid)
    }

    fn send_inventory(&self, link: &Link) -> Result<()> {
        link.send(
            &Message::Hello {
                generation: self.policy.newest(),
                spawn: self.policy.last_spawn() + SPAWNS,
            },
            &[],
        )?;
        let schedule = &self.shared.schedule;
        for (listener, file, address) in self.rt.listener_names() {
            let Some(fd) = schedule.base_fd(listener) else {
                continue;
            };
            let base = Message::Socket(Socket::Base { file, address });
            link.send(&base, &[borrowed(fd)])?;
            for doors in schedule.opened(listener).chunks(FDS_MAX) {
                let codes = doors.iter().map(|(code, _)| *code).collect();
                let fds: Vec<BorrowedFd<'_>> = doors.iter().map(|(_, fd)| borrowed(*fd)).collect();
                link.send(&Message::Socket(Socket::Doors(codes)), &fds)?;
            }
        }
        if let Some((file, address, fd)) = self.rt.control_name() {
            let control = Message::Socket(Socket::Control { file, address });
            link.send(&control, &[borrowed(fd)])?;
        }
        if let Some((file, address, fd)) = self.rt.metrics_name() {
            let metrics = Message::Socket(Socket::Metrics { file, address });
            link.send(&metrics, &[borrowed(fd)])?;
        }
        if let Some(pid_file) = &*self.rt.pid_file.borrow() {
            link.send(&Message::Socket(Socket::PidFile), &[pid_file.fd()])?;
        }
        if let Some(first) = &self.upgrade.first {
            link.send(&Message::Socket(Socket::Init), &[first.fd()])?;
        } else if let Some(last) = &self.upgrade.last {
            // Only process 1 is still there.
            link.send(&Message::Socket(Socket::Init), &[last.fd()])?;
        }
        link.send(&Message::Complete, &[])
    }

    /// What the new binary says.
    pub(super) fn hear_next(&mut self) {
        while let Some(next) = &self.upgrade.next {
            match next.link.hear() {
                Heard::Message(message, _) => self.old_step(old::Event::Heard(message)),
                Heard::Nothing => return,
                Heard::Gone => {
                    // Its death says how.
                    let fd = next.link.fd().as_raw_fd();
                    self.unwatch(fd);
                    return;
                }
            }
        }
    }

    /// Has the new binary's process ended?
    pub(super) fn look_at_next(&mut self) {
        let Some(pid) = self.upgrade.old.pid() else {
            return;
        };
        let Some(exit) = death::look(pid) else { return };
        self.hear_next();
        death::reap(pid);
        let successor = self.upgrade.successor() == Some(pid);
        let pidfd = self.upgrade.next.as_mut().and_then(|n| n.pidfd.take());
        drop(pidfd);
        if !successor && let Some(next) = self.upgrade.next.take() {
            self.unwatch(next.link.fd().as_raw_fd());
        }
        self.old_step(old::Event::Died {
            how: describe(exit),
        });
    }

    pub(super) fn disturb_upgrade(&mut self, why: &'static str) {
        if self.upgrade.old.busy() {
            self.old_step(old::Event::Disturbed { why });
        }
    }

    fn old_step(&mut self, event: old::Event) {
        let mut out = Vec::new();
        self.upgrade.old.step(event, now_ms(), &mut out);
        for action in out {
            self.old_act(action);
        }
    }

    fn old_act(&mut self, action: old::Action) {
        match action {
            old::Action::Send(message) => self.tell_next(&message),
            old::Action::Unlock => {
                self.hold(true);
                self.upgrade.unlocking = true;
                let controller = self.controller_slot();
                let acting = controller.is_some_and(|slot| {
                    let child = self.policy.slots()[slot].child.as_ref();
                    child.is_some_and(|c| c.phase == Phase::Open)
                });
                match controller.filter(|_| acting) {
                    // The ack, or its death, is what follows.
                    Some(slot) => self.tell(slot, Kind::Suspend, 0),
                    None => self.unlocked(),
                }
            }
            old::Action::Relock => {
                self.upgrade.unlocking = false;
                // The one that was passed on is never used again.
                self.lock_epoch += 1;
                self.hold(false);
            }
            old::Action::PassLock => {
                let epoch = self.lock_epoch + 1;
                self.tell_next(&Message::Lock { epoch });
            }
            old::Action::LetGo => {
                self.send_totals(true);
                self.shared.schedule.let_go();
                self.unwatch(self.shared.schedule.sentinel_fd());
            }
            old::Action::TakeBack => {
                self.shared.schedule.take_back();
                let _ = self.watch(self.shared.schedule.sentinel_fd(), super::SENTINEL);
                if let Some(pid_file) = &*self.rt.pid_file.borrow()
                    && let Err(error) = pid_file.claim()
                {
                    ::log::error!("{error}");
                }
            }
            old::Action::Retire { pid } => self.retire(pid),
            old::Action::Kill { pid } => {
                // SAFETY: a child of ours that is not waited for yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            old::Action::Reply { asker, code, text } => {
                let counted = match code {
                    DTM_OK => Count::Upgrades,
                    _ => Count::FailedUpgrades,
                };
                self.policy.counts.one_more(counted);
                self.publish_facts();
                self.send_totals(true);
                self.announce_upgrade(code, &text);
                self.reply(asker, code, &text);
            }
        }
    }

    fn retire(&mut self, pid: i32) {
        if let Some(mut manager) = self.systemd.take() {
            manager.successor(pid);
        }
        self.rt.own_files(false);
        for link in [&self.upgrade.first, &self.upgrade.last]
            .into_iter()
            .flatten()
        {
            let _ = link.send(&Message::Main { pid }, &[]);
        }
        self.send_totals(true);
        self.events.push_back(Event::Retire);
    }

    fn tell_next(&self, message: &Message) {
        if let Some(next) = &self.upgrade.next
            && let Err(error) = next.link.send(message, &[])
        {
            ::log::warn!("upgrade: {error}");
        }
    }

    /// The lock is the other binary's, or ours.
    fn hold(&mut self, lock: bool) {
        let gates = false;
        self.events.push_back(Event::Hold(Hold { lock, gates }));
    }

    /// Our controller has let go, or is dead.
    pub(super) fn unlocked(&mut self) {
        if std::mem::take(&mut self.upgrade.unlocking) {
            self.old_step(old::Event::Unlocked);
        }
    }

    fn controller_slot(&self) -> Option<usize> {
        let is_it = |s: &super::policy::Slot| s.job == Some(Job::Controller) && s.child.is_some();
        self.policy.slots().iter().position(is_it)
    }

    // --- Totals ---

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
    pub(super) fn send_totals(&mut self, now: bool) {
        if self.upgrade.next.is_none() || (self.upgrade.successor().is_none() && !now) {
            return;
        }
        if now || now_ms() >= self.upgrade.sent_at + TOTALS_MS {
            let totals = self.totals();
            self.upgrade.sent_at = now_ms();
            if now || totals != self.upgrade.sent {
                self.upgrade.sent = totals.clone();
                self.tell_next(&Message::Totals(totals));
            }
        }
    }

    fn inherit(&mut self, totals: Totals) {
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

    // --- The new binary ---

    pub(super) fn watch_last(&self) -> Result<()> {
        match &self.upgrade.last {
            Some(link) => self.watch(link.fd().as_raw_fd(), super::LAST),
            None => Ok(()),
        }
    }

    /// What the old binary says.
    pub(super) fn hear_last(&mut self) {
        while let Some(last) = &self.upgrade.last {
            match last.hear() {
                Heard::Message(Message::Totals(totals), _) => {
                    self.inherit(totals);
                    self.introduce();
                }
                Heard::Message(Message::Client { address }, fds) => {
                    self.take_client(&address, fds);
                }
                Heard::Message(message, _) => self.new_step(new::Event::Heard(message)),
                Heard::Nothing => return,
                Heard::Gone => {
                    let fd = last.fd().as_raw_fd();
                    self.unwatch(fd);
                    self.upgrade.last = None;
                    self.introduce();
                    self.new_step(new::Event::Gone);
                }
            }
        }
    }

    /// The old binary has accepted it, and nobody there serves it any more.
    fn take_client(&mut self, address: &str, fds: Vec<OwnedFd>) {
        let names = self.rt.listener_names();
        let named = names.iter().find(|(_, _, known)| known == address);
        let listener = named.map(|(listener, ..)| *listener);
        match (listener, fds.into_iter().next()) {
            (Some(listener), Some(client)) => self.pass_inherited(client, listener),
            _ => ::log::warn!("upgrade: a client of {address} has nobody to serve it"),
        }
    }

    /// Clients for whom there is nobody here: the new binary's.
    pub(super) fn hand_over_clients(&mut self) {
        if self.upgrade.successor().is_none() {
            return;
        }
        while let Some((listener, client)) = self.passing.give_up_next() {
            let listener = usize::try_from(listener).unwrap_or(usize::MAX);
            let name = self.rt.listener_name(listener);
            let (Some(next), Some(address)) = (&self.upgrade.next, name) else {
                continue;
            };
            let sent = next
                .link
                .send(&Message::Client { address }, &[client.as_fd()]);
            if let Err(error) = sent {
                ::log::warn!("upgrade: a client is lost: {error}");
            }
        }
    }

    /// The binary before this one has not left yet.
    pub(super) fn replaces_one(&self) -> bool {
        self.upgrade.last.is_some() && !self.upgrade.waits()
    }

    /// The service manager has been told of us.
    fn introduce(&mut self) {
        let over = self.upgrade.new.as_ref().is_some_and(New::is_over);
        if over && self.systemd.is_none() && !self.introduced {
            self.introduced = true;
            self.systemd = crate::systemd::Manager::from_environment();
            if let Some(manager) = &self.systemd {
                self.rt.store_listeners(manager);
            }
            self.tell_standing();
        }
    }

    pub(super) fn advance_upgrade(&mut self) {
        if self.upgrade.new.as_ref().is_some_and(|new| !new.is_over()) {
            let standing = self.policy.standing();
            self.new_step(new::Event::Stands(standing));
        }
    }

    /// A process of ours ended before we served.
    pub(super) fn fail_upgrade(&mut self, slot: usize, text: &str) {
        if self.upgrade.new.as_ref().is_some_and(|new| !new.is_over()) {
            let words = self.shared.words.read(slot).join(" | ");
            let said = match words.as_str() {
                "" => String::new(),
                words => format!("; its last words: {words}"),
            };
            self.new_step(new::Event::Failed(format!("{text}{said}")));
        }
    }

    fn new_step(&mut self, event: new::Event) {
        let mut out = Vec::new();
        if let Some(new) = &mut self.upgrade.new {
            new.step(event, &mut out);
        }
        for action in out {
            match action {
                new::Action::Send(message) => {
                    if let Some(last) = &self.upgrade.last {
                        let _ = last.send(&message, &[]);
                    }
                }
                new::Action::Lock { epoch } => {
                    self.lock_epoch = epoch.max(1) - 1;
                    let (lock, gates) = (false, true);
                    self.events.push_back(Event::Hold(Hold { lock, gates }));
                }
                new::Action::TakeOver => self.take_over(),
                new::Action::Quit => self.quit(),
            }
        }
    }

    fn take_over(&mut self) {
        ::log::info!("upgrade: this binary takes over");
        if let Some(pid_file) = &*self.rt.pid_file.borrow()
            && let Err(error) = pid_file.claim()
        {
            ::log::error!("{error}");
        }
        self.rt.own_files(true);
        self.shared.schedule.take_over();
        let _ = self.watch(self.shared.schedule.sentinel_fd(), super::SENTINEL);
        let (lock, gates) = (false, false);
        self.events.push_back(Event::Hold(Hold { lock, gates }));
    }

    /// It is not to be: nothing of the old binary's is touched.
    fn quit(&mut self) {
        self.rt.own_files(false);
        if let Some(pid_file) = self.rt.pid_file.take() {
            pid_file.let_go();
        }
        let text = "the upgrade failed: the old binary serves on";
        self.start_failed = Some(text.into());
        self.events.push_back(Event::Command {
            asker: Asker::Signal(0),
            command: super::policy::Command::ShutdownNow,
        });
    }

    // --- Both ---

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
        [totals, sweep, deadline].into_iter().flatten().min()
    }

    pub(super) fn upgrade_tick(&mut self) {
        if self.upgrade.old.busy() {
            if self
                .upgrade
                .next
                .as_ref()
                .is_some_and(|n| n.pidfd.is_none())
            {
                self.look_at_next();
            }
            self.old_step(old::Event::Tick);
            self.send_totals(false);
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
