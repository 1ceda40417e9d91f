//! Carry out what the policy decided.

use super::policy::{Action, Asker, Event, Job, Note, Order};
use super::{Master, prepare};
use crate::channel::Kind;
use crate::error::Result;
use crate::ffi::*;
use crate::runtime::Change;
use crate::shm;
use std::fs::File;
use std::io::Seek;
use std::os::fd::AsFd;

impl Master {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Fork {
                slot,
                job,
                generation,
                spawn,
            } => self.fork(slot, job, generation, spawn),
            Action::Order {
                slot,
                order,
                signal,
            } => self.order(slot, order, signal),
            Action::Kill { slot, signal } => self.kill(slot, signal),
            Action::Report { slot, why, stuck } => self.store_report(slot, why, stuck),
            Action::Open { slot } => self.open(slot),
            Action::Reap { slot, pid } => self.reap(slot, pid),
            Action::LoadConfig => self.load_config(),
            Action::RevertConfig => {
                self.rt.revert_config();
                self.rt.revert_listeners(self.policy.last_spawn());
                self.restore_overrides();
                self.tell_controller(Kind::ConfigReverted, 0, 0, &[]);
            }
            Action::KeepConfig => {
                let level = self.rt.keep_config();
                self.tell_level(level);
                self.begin_closing();
            }
            Action::ShowListeners => self.show_listeners(),
            Action::Reply { asker, code, text } => self.replies.push((asker, code, text)),
            Action::ReplyNow { asker, code, text } => self.reply(asker, code, &text),
            Action::EndReload {
                askers,
                generation,
                code,
                text,
                blame,
            } => self.end_reload(askers, generation, code, text, blame),
            Action::Note(note) => self.note(&note),
            Action::Finish { fast, signal } => self.finish = Some((fast, signal)),
        }
    }

    /// The answer says what the process had to say that the reload failed of, and which
    /// listeners could not be had as wanted.
    fn end_reload(
        &mut self,
        askers: Vec<Asker>,
        generation: u32,
        code: i32,
        mut text: String,
        blame: Option<usize>,
    ) {
        if let Some(slot) = blame {
            text.push_str(&self.last_words(slot));
        }
        for why in std::mem::take(&mut self.unshown) {
            text.push_str("; but ");
            text.push_str(&why);
        }
        // Whoever asks next, asks of what is in force now.
        self.publish_all();
        for asker in askers {
            self.reply(asker, code, &text);
        }
        self.note(&Note::ReloadEnds {
            generation,
            code,
            text,
        });
    }

    /// What an action led to is heard before whatever else waits: so the policy never
    /// decides about a child that is forked but not yet known to it.
    pub(super) fn outcome(&mut self, event: Event) {
        self.events.push_front(event);
    }

    /// The order stands in the table; the signal only says "look", and so does the
    /// message, to a service whose own loop has taken the signal.
    fn order(&mut self, slot: usize, order: Order, signal: i32) {
        self.shared.schedule.retire(slot);
        self.look_sooner();
        let Some(child) = &self.policy.slots()[slot].child else {
            return;
        };
        let order = match order {
            Order::Drain => shm::Order::Drain,
            Order::Expire => shm::Order::Expire,
            Order::Stop => shm::Order::Stop,
        };
        self.shared.table.set_order(slot, child.spawn, order);
        self.tell(slot, Kind::Nudge, 0);
        self.kill(slot, signal);
    }

    /// The pid cannot be another's: the child is not reaped before its death
    /// was noted.
    fn kill(&self, slot: usize, signal: i32) {
        let Some(child) = &self.policy.slots()[slot].child else {
            return;
        };
        if signal == libc::SIGKILL && crate::report::dumps_core(child.pid) {
            // It is dying already; the signal would only cut its core short.
            return ::log::info!("slot {slot} pid {}: not killed, it dumps core", child.pid);
        }
        // SAFETY: a plain system call on a child of ours.
        if unsafe { libc::kill(child.pid, signal) } != 0 {
            let error = crate::error::Error::last_os(format!("kill {}", child.pid));
            ::log::warn!("{error}");
        }
        if signal == libc::SIGABRT && self.looking.is_stopped(slot, child.spawn) {
            // It has last words to say, for which it has to run.
            // SAFETY: the same.
            unsafe { libc::kill(child.pid, libc::SIGCONT) };
        }
    }

    /// A worker's gate, or the control lock. flow: C5, L10
    fn open(&mut self, slot: usize) {
        match self.policy.slots()[slot].job {
            Some(Job::Worker { .. }) => {
                self.tell(slot, Kind::Open, 0);
                self.shared.schedule.admit(slot);
            }
            Some(Job::Controller) => {
                self.lock_epoch += 1;
                self.tell(slot, Kind::Open, self.lock_epoch);
            }
            // A helper has no gate.
            Some(Job::Func { .. }) | None => {}
        }
    }

    fn load_config(&mut self) {
        self.unshown.clear();
        let loaded = self.try_load();
        let result = match loaded {
            Ok(file) => {
                self.hand_config(file);
                Ok(prepare::settings(&self.rt.config(), self.rt))
            }
            Err(error) => Err((error.code, error.text.into_owned())),
        };
        let (code, text) = match &result {
            Ok(_) => (DTM_OK, "configuration loaded"),
            Err((code, text)) => (*code, text.as_str()),
        };
        self.note_config(code, text);
        self.outcome(Event::Config(result.map(Box::new)));
    }

    fn try_load(&mut self) -> Result<Option<File>> {
        let change = match self.policy.loads_for_reload() {
            true => Change::Reload,
            false => Change::Load,
        };
        self.hurry_closing();
        let file = self.rt.open_config_file()?;
        let loaded = self.rt.load_config(file.as_ref(), change, &|fresh| {
            let room = self.policy.check_room(fresh.workers);
            room.map_err(|(code, text)| crate::error::Error::new(code, text))?;
            let wanted = self.shared.schedule.check_mode(fresh.accept_mode);
            wanted.map(drop)
        });
        if let Err(error) = loaded {
            self.rt.revert_listeners(self.policy.last_spawn());
            return Err(error);
        }
        self.drop_overrides();
        self.begin_to_look(); // there may be other limits now
        Ok(file)
    }

    /// The controller reads it from its beginning, as we did.
    fn hand_config(&mut self, file: Option<File>) {
        let file = file.filter(|mut file| file.rewind().is_ok());
        let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        self.tell_controller_with(Kind::ConfigLoaded, &fds);
    }
}
