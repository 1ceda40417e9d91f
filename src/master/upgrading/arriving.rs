//! The new binary's part: come up beside the old one, take over, or give up.

use crate::channel::AT_ONCE;
use crate::error::Result;
use crate::master::policy::{Asker, Command, Event, Hold};
use crate::master::{LAST, Master};
use crate::upgrade::link::Heard;
use crate::upgrade::new::{self, New};
use crate::upgrade::wire::Message;
use std::os::fd::{AsRawFd, OwnedFd};

impl Master {
    pub(in crate::master) fn watch_last(&self) -> Result<()> {
        match &self.upgrade.last {
            Some(link) => self.watch(link.fd().as_raw_fd(), LAST),
            None => Ok(()),
        }
    }

    /// What the old binary says.
    pub(in crate::master) fn hear_last(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(last) = &self.upgrade.last else {
                return;
            };
            match last.hear() {
                Heard::Unknown => {}
                Heard::Message(Message::Totals(totals), _) => self.inherit(totals),
                Heard::Message(message @ Message::Main { .. }, _) => {
                    self.new_step(new::Event::Heard(message));
                    self.introduce();
                }
                Heard::Message(Message::Client { address }, fds) => {
                    self.take_client(&address, fds);
                }
                Heard::Message(Message::Worker(told), fds) => self.told_of_worker(told, fds),
                Heard::Message(Message::Lifeline, fds) => self.take_lifeline(fds),
                Heard::Message(Message::Adopt, _) => self.adopt(),
                Heard::Message(message, _) => self.new_step(new::Event::Heard(message)),
                Heard::Nothing => return,
                Heard::Gone => {
                    let fd = last.fd().as_raw_fd();
                    self.unwatch(fd);
                    self.upgrade.last = None;
                    self.new_step(new::Event::Gone);
                    self.publish_facts();
                    self.introduce();
                    self.adopted_alone();
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

    /// The binary before this one has not left yet, or a worker of it.
    pub(in crate::master) fn replaces_one(&self) -> bool {
        let there = self.upgrade.last.is_some() || !self.upgrade.adopting.is_empty();
        there && !self.upgrade.waits()
    }

    /// The service manager has been told of us: before that, it would hear nothing from here.
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

    pub(in crate::master) fn advance_upgrade(&mut self) {
        if self.upgrade.new.as_ref().is_some_and(|new| !new.is_over()) {
            let standing = self.policy.standing();
            self.new_step(new::Event::Stands(standing));
        }
    }

    /// A process of ours ended before we served.
    pub(in crate::master) fn fail_upgrade(&mut self, slot: usize, text: &str) {
        if self.upgrade.new.as_ref().is_some_and(|new| !new.is_over()) {
            let said = self.last_words(slot);
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
                        last.post(message);
                    }
                }
                new::Action::Lock { epoch } => {
                    let epoch = if epoch == 0 {
                        self.upgrade.epoch
                    } else {
                        epoch
                    };
                    self.lock_epoch = epoch.max(1) - 1;
                    let (lock, gates) = (false, true);
                    self.events.push_back(Event::Hold(Hold { lock, gates }));
                }
                new::Action::TakeOver => self.take_over(),
                new::Action::Quit { serves } => self.quit(serves),
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
        self.watch_queues();
        let (lock, gates) = (false, false);
        self.events.push_back(Event::Hold(Hold { lock, gates }));
    }

    /// It is not to be: nothing of the old binary's is touched.
    fn quit(&mut self, serves: bool) {
        self.rt.own_files(false);
        if let Some(pid_file) = self.rt.pid_file.take() {
            pid_file.let_go();
        }
        let text = "the upgrade failed: the old binary serves on";
        self.start_failed = Some(text.into());
        // Its lock is the old one's: what belongs to that is not given back.
        self.suspend_controller();
        self.events.push_back(Event::Command {
            asker: Asker::Signal(0),
            command: match serves {
                true => Command::Shutdown,
                false => Command::ShutdownNow,
            },
        });
    }
}
