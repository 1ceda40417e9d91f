//! Deaths of children, and the ban that defers what follows from them.
//! flow: M10-M12, L6

use super::policy::{Event, Reason};
use super::{Master, SWEEP_MS};
use crate::channel::{MESSAGES_MAX, drain};
use crate::process::death;
use crate::shm::{Count, Gauge};
use crate::signal::handler;
use std::os::fd::AsFd;

impl Master {
    /// Has the child of this slot ended?
    pub(super) fn look_at(&mut self, slot: usize) {
        let Some(child) = self.policy.slots().get(slot).and_then(|s| s.child.as_ref()) else {
            return;
        };
        let (spawn, pid) = (child.spawn, child.pid);
        let Some(exit) = death::look(pid) else { return };
        // Whatever it still said comes first; then nobody is there to accept.
        self.read_channel(slot, MESSAGES_MAX);
        self.finish_report(slot, exit);
        self.looking.set_stopped(slot, None);
        self.shared.schedule.retire(slot);
        self.recover_locks(slot, spawn);
        self.look_sooner();
        self.pass_again(slot);
        self.pidfds[slot] = None;
        self.outboxes[slot].clear();
        self.events.push_back(Event::Died { slot, spawn, exit });
    }

    /// What it had said last may have opened it, dead as it was. A death may be noticed twice,
    /// and somebody else be there by then.
    pub(super) fn retire_again(&mut self, slot: usize, spawn: u64) {
        let child = self.policy.slots()[slot].child.as_ref();
        if child.is_some_and(|c| c.spawn == spawn) {
            self.shared.schedule.retire(slot);
        }
    }

    /// What it held is free at once, although its zombie may have to stay. And so is
    /// what names nobody: it may have scribbled before it died. L1
    fn recover_locks(&self, slot: usize, spawn: u64) {
        let (locks, table) = (&self.shared.locks, &self.shared.table);
        let gone = |owner| owner == spawn || !table.knows(owner);
        let role = crate::role::name(self.rows_role(slot));
        locks.recover(gone, |lock, owner| {
            let who = if owner == spawn {
                format!("{role} slot {slot} spawn {spawn}, died")
            } else {
                format!("spawn {owner}, is nobody")
            };
            ::log::warn!("lock {}: its owner, {who}: released", locks.name(lock));
        });
    }

    /// Look at everybody: SIGCHLD said so, or there are no pidfds.
    pub(super) fn look_at_all(&mut self) {
        for slot in 0..self.pairs.len() {
            self.look_at(slot);
            self.look_if_stopped(slot);
        }
        if let Some(strangers) = &self.strangers {
            strangers.reap(&self.kin());
        }
    }

    /// The children that the policy knows of, dead or alive.
    fn kin(&self) -> std::collections::BTreeSet<i32> {
        let slots = self.policy.slots().iter();
        slots
            .flat_map(|s| [s.child.as_ref().map(|c| c.pid), s.corpse])
            .flatten()
            .collect()
    }

    /// The kernel tells a parent when a child is stopped, and when it goes on: a
    /// stopped worker gets no clients.
    fn look_if_stopped(&mut self, slot: usize) {
        let Some(child) = self.policy.slots()[slot].child.as_ref() else {
            return;
        };
        let spawn = child.spawn;
        if let Some(stopped) = death::look_if_stopped(child.pid) {
            self.looking.set_stopped(slot, stopped.then_some(spawn));
            if stopped {
                self.begin_to_look();
                self.passing.hurry(slot);
            }
            self.shared.schedule.stopped(slot, stopped);
            self.look_sooner();
        }
    }

    /// The zombie may go, and with it everything on the way from or to it.
    pub(super) fn reap(&mut self, slot: usize, pid: i32) {
        death::reap(pid);
        let board = &self.shared.board;
        let late = board
            .get(slot, Gauge::Late)
            .saturating_add(self.cut_short(slot));
        self.policy.counts.add(Count::LateClients, late);
        let pair = &self.pairs[slot];
        let lost = drain(pair.child.as_fd()) + drain(pair.master.as_fd());
        if lost > 0 {
            ::log::debug!("slot {slot}: {lost} messages of or for its dead process dropped");
        }
    }

    /// Clients that it had yet when it was killed because it did not leave in time. It may
    /// have scribbled, so no more than it can have had.
    fn cut_short(&self, slot: usize) -> u64 {
        let last = self.policy.slots()[slot].last;
        if !last.is_some_and(|(reason, _)| reason == Reason::Deadline) {
            return 0;
        }
        let clients = self.shared.board.get(slot, Gauge::Clients);
        clients.min(self.rt.config().max_clients.into())
    }

    /// The loop broke: nobody decides any more, but no child outlives dtm_run().
    /// SIGTERM, then SIGKILL when the grace is over.
    pub(super) fn stop_the_rest(&mut self) {
        let grace = crate::sys::now_ms() + self.rt.config().kill_grace;
        let mut left: Vec<i32> = Vec::new();
        for slot in self.policy.slots() {
            left.extend(slot.child.as_ref().map(|c| c.pid));
            left.extend(slot.corpse);
        }
        // What was forked last may not have reached the policy.
        left.extend(self.events.iter().filter_map(|event| match event {
            Event::Forked { pid, .. } => Some(*pid),
            _ => None,
        }));
        let mut signal = libc::SIGTERM;
        while !left.is_empty() {
            for pid in &left {
                // SAFETY: a child of ours that is not waited for yet.
                unsafe { libc::kill(*pid, signal) };
            }
            signal = 0;
            left.retain(|pid| {
                let ended = death::look(*pid).is_some();
                if ended {
                    death::reap(*pid);
                }
                !ended
            });
            if crate::sys::now_ms() >= grace {
                signal = libc::SIGKILL;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Children without a pidfd are looked at once a second.
    pub(super) fn needs_sweep(&self) -> bool {
        let slots = self.policy.slots().iter().zip(&self.pidfds);
        slots
            .into_iter()
            .any(|(slot, pidfd)| slot.child.is_some() && pidfd.is_none())
    }

    /// Whenever the loop runs, but not more often than once a second.
    pub(super) fn sweep(&mut self) {
        let now = crate::sys::now_ms();
        if now.saturating_sub(self.swept) < SWEEP_MS {
            return;
        }
        self.swept = now;
        self.look_at_all();
        Self::retake_signals();
    }

    /// C09: the service may have installed handlers of its own over ours.
    pub(super) fn retake_signals() {
        while let Some(signal) = handler::stolen() {
            let name = crate::signal::table::name(signal);
            ::log::warn!("the service replaced libdtm's handler of {name}: taking it back");
            if let Err(error) = handler::retake(signal) {
                ::log::error!("{error}");
                break;
            }
        }
    }

    /// The controller that may forbid forking; 0: none.
    fn controller_spawn(&self) -> u64 {
        let slots = self.policy.slots().iter();
        let controllers = slots.filter(|s| s.job == Some(super::policy::Job::Controller));
        controllers
            .filter_map(|s| s.child.as_ref())
            .map(|c| c.spawn)
            .next()
            .unwrap_or(0)
    }

    pub(super) fn ban_in_force(&self) -> bool {
        self.shared
            .ban
            .in_force(self.controller_spawn(), crate::sys::now_ms())
    }

    /// The ban ends by itself at its deadline, and with the controller that set it.
    pub(super) fn ban_ends(&self) -> Option<u64> {
        self.banned
            .then(|| self.shared.ban.read().map_or(0, |notice| notice.deadline))
    }

    pub(super) fn look_at_ban(&mut self) {
        let banned = self.ban_in_force();
        if banned == self.banned {
            return;
        }
        self.banned = banned;
        if banned {
            ::log::info!("forking is forbidden by the controller");
        } else {
            let lifted = self.shared.ban.read().is_some_and(|notice| !notice.active);
            let why = if lifted {
                "lifted"
            } else {
                "its time or its controller has ended"
            };
            ::log::info!("forking is allowed again: {why}");
        }
        // The policy must not hear of an older state after this one.
        self.events.retain(|event| !matches!(event, Event::Ban(_)));
        self.outcome(Event::Ban(banned));
    }
}
