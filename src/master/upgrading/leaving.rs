//! The old binary's part: start the next one, let go step by step, or take back.

use super::{EPOCHS, Next, SPAWNS, borrowed};
use crate::channel::{AT_ONCE, FDS_MAX, Kind};
use crate::error::Result;
use crate::ffi::*;
use crate::master::policy::{Asker, Command, Event, Hold, Job, Phase, Slot, describe};
use crate::master::{Master, NEXT, NEXT_DEATH};
use crate::process::death;
use crate::shm::Count;
use crate::sys::now_ms;
use crate::upgrade::link::{Heard, Link, is_full};
use crate::upgrade::old;
use crate::upgrade::wire::{Message, Socket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

impl Master {
    pub(in crate::master) fn ask_upgrade(&mut self, asker: Asker) {
        let obstacle = match self.upgrade.busy() {
            true => Some((-libc::EBUSY, "an upgrade is in progress")),
            // A reload or the end may have been asked for a moment before.
            false if self.has_commands() => Some((-libc::EBUSY, "another command comes first")),
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

    fn has_commands(&self) -> bool {
        let is_command = |event: &Event| matches!(event, Event::Command { .. });
        self.events.iter().any(is_command)
    }

    fn start_next(&mut self) -> Result<i32> {
        let (link, theirs) = Link::pair()?;
        self.send_inventory(&link)?;
        let pid = self.rt.start().again(&theirs)?;
        drop(theirs);
        let pidfd = death::pidfd(pid);
        let watched = self
            .watch(link.fd().as_raw_fd(), NEXT)
            .and_then(|()| match &pidfd {
                Some(fd) => self.watch(fd.as_raw_fd(), NEXT_DEATH),
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
        let run = Message::Run {
            name: self.rt.run_name().to_owned(),
            epoch: self.lock_epoch + EPOCHS,
        };
        link.send(&run, &[])?;
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
    pub(in crate::master) fn hear_next(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(next) = &self.upgrade.next else {
                return;
            };
            match next.link.hear() {
                Heard::Unknown => {}
                Heard::Message(Message::Adopted, _) => self.bequeathed(),
                Heard::Message(Message::Stop, _) => self.stop_with_next(),
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

    /// The service ends at once: so do we, and who drains here.
    fn stop_with_next(&mut self) {
        if self.upgrade.successor().is_some() {
            self.events.push_back(Event::Command {
                asker: Asker::Signal(0),
                command: Command::ShutdownNow,
            });
        }
    }

    /// Has the new binary's process ended?
    pub(in crate::master) fn look_at_next(&mut self) {
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

    pub(in crate::master) fn disturb_upgrade(&mut self, why: &'static str) {
        if self.upgrade.old.busy() {
            self.old_step(old::Event::Disturbed { why });
        }
    }

    pub(super) fn old_step(&mut self, event: old::Event) {
        let mut out = Vec::new();
        self.upgrade.old.step(event, now_ms(), &mut out);
        for action in out {
            self.old_act(action);
        }
    }

    fn old_act(&mut self, action: old::Action) {
        match action {
            old::Action::Send(message) => self.tell_next(message),
            old::Action::Unlock => {
                self.hold(true);
                self.upgrade.unlocking = true;
                // Its ack, or its death, is what follows.
                if !self.suspend_controller() {
                    self.unlocked();
                }
            }
            old::Action::Relock => {
                self.upgrade.unlocking = false;
                // The one that was passed on is never used again.
                self.lock_epoch += 1;
                self.hold(false);
            }
            old::Action::PassLock => {
                // From then on its controller is the one that operators ask.
                self.send_totals(true);
                let epoch = self.lock_epoch + 1;
                self.tell_next(Message::Lock { epoch });
            }
            old::Action::LetGo => {
                self.send_totals(true);
                self.shared.schedule.let_go();
                self.unwatch(self.shared.schedule.sentinel_fd());
            }
            old::Action::TakeBack => {
                self.shared.schedule.take_back();
                self.watch_queues();
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
        if let Some(manager) = &mut self.systemd {
            manager.successor(pid);
        }
        self.tell_next(Message::Main { pid });
        self.rt.own_files(false);
        for link in [&self.upgrade.first, &self.upgrade.last]
            .into_iter()
            .flatten()
        {
            link.post(Message::Main { pid });
        }
        self.send_totals(true);
        self.events.push_back(Event::Retire);
    }

    pub(super) fn tell_next(&self, message: Message) {
        if let Some(next) = &self.upgrade.next {
            next.link.post(message);
        }
    }

    /// The lock is the other binary's, or ours.
    fn hold(&mut self, lock: bool) {
        let gates = false;
        self.events.push_back(Event::Hold(Hold { lock, gates }));
    }

    /// Our controller has let go, or is dead.
    pub(in crate::master) fn unlocked(&mut self) {
        if std::mem::take(&mut self.upgrade.unlocking) {
            self.old_step(old::Event::Unlocked);
        }
    }

    /// False: there is none that acts.
    pub(super) fn suspend_controller(&mut self) -> bool {
        let acts = |s: &Slot| {
            let child = s.child.as_ref();
            s.job == Some(Job::Controller) && child.is_some_and(|c| c.phase == Phase::Open)
        };
        let slot = self.policy.slots().iter().position(acts);
        if let Some(slot) = slot {
            self.tell(slot, Kind::Suspend, 0);
        }
        slot.is_some()
    }

    /// Clients for whom there is nobody here: the new binary's.
    pub(in crate::master) fn hand_over_clients(&mut self) {
        if self.upgrade.successor().is_none() {
            return;
        }
        while let Some((id, passed)) = self.passing.first_homeless() {
            let listener = usize::try_from(passed.listener).unwrap_or(usize::MAX);
            let name = self.rt.listener_name(listener);
            if let (Some(next), Some(address)) = (&self.upgrade.next, name) {
                let client = Message::Client { address };
                match next.link.send(&client, &[passed.client.as_fd()]) {
                    // It stays here until there is.
                    Err(error) if is_full(&error) => return,
                    Err(error) => ::log::warn!("upgrade: a client is lost: {error}"),
                    Ok(()) => {}
                }
            }
            self.passing.give_up(id);
        }
    }
}
