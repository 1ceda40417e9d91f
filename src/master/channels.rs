//! What children say, and what the master says to them. flow: M15, L7

use super::Master;
use super::policy::{Asker, Command, Event, Job};
use crate::channel::{Buffer, Frame, Head, Kind, Recv, Sent, recv, send_with};
use crate::error::{Error, Result};
use crate::ffi::*;
use std::os::fd::AsFd;

impl Master {
    /// At most so many messages: what is left is still reported.
    pub(super) fn read_channel(&mut self, slot: usize, most: usize) {
        let Some(mut buffer) = self.buffer.take() else {
            return;
        };
        if (0..most).all(|_| self.read_one(slot, &mut buffer)) {
            self.heard.leave_some();
        }
        self.buffer = Some(buffer);
    }

    fn read_one(&mut self, slot: usize, buffer: &mut Buffer) -> bool {
        let Some(pair) = self.pairs.get(slot) else {
            return false;
        };
        match recv(pair.master.as_fd(), buffer) {
            Recv::Frame(frame) => {
                // Only the process that lives in the slot speaks for it.
                let child = self.policy.slots()[slot].child.as_ref();
                if child.is_some_and(|c| c.spawn == frame.head.spawn) {
                    self.hear(slot, &frame);
                } else {
                    ::log::debug!("slot {slot}: dropped a message of a process that is gone");
                }
                true
            }
            Recv::Bad(why) => {
                ::log::warn!("slot {slot}: dropped a malformed message: {why:?}");
                true
            }
            Recv::Empty | Recv::Closed => false,
        }
    }

    fn hear(&mut self, slot: usize, frame: &Frame<'_>) {
        let spawn = frame.head.spawn;
        match frame.head.kind {
            Kind::Ready => self.events.push_back(Event::Ready { slot, spawn }),
            Kind::Updated => self.events.push_back(Event::Updated { slot, spawn }),
            Kind::Refusal => {
                ::log::warn!(
                    "the worker in slot {slot} refused its update: -{}",
                    frame.head.arg
                );
                self.pass_up(Kind::Refused, spawn, frame.head.arg, &[]);
            }
            Kind::Taken => self.client_taken(slot, frame.head.arg),
            Kind::Room => self.look_sooner(),
            Kind::Awake => self.begin_to_look(),
            Kind::Extend => self.extend(slot, spawn, frame.head.arg, frame.head.arg2),
            Kind::Report => self.hear_report(slot, frame.payload),
            Kind::Declined => self.client_declined(slot, frame.head.arg),
            Kind::ClientsUp => {
                self.pass_up(Kind::Clients, spawn, frame.head.arg, frame.payload);
            }
            Kind::AnswerUp => self.pass_up(Kind::Answer, spawn, 0, frame.payload),
            Kind::Suspended if self.policy.slots()[slot].job == Some(Job::Controller) => {
                self.unlocked();
            }
            Kind::Command if self.policy.slots()[slot].job == Some(Job::Controller) => {
                self.hear_command(spawn, frame);
            }
            other => {
                ::log::warn!("slot {slot}: message {other:?} means nothing to the master: dropped")
            }
        }
    }

    fn hear_command(&mut self, spawn: u64, frame: &Frame<'_>) {
        let asker = Asker::Controller {
            spawn,
            id: frame.head.arg,
        };
        let kind = frame
            .payload
            .first_chunk()
            .map_or(0, |b| u32::from_le_bytes(*b));
        let arg = frame
            .payload
            .last_chunk()
            .map_or(0, |b| u64::from_le_bytes(*b));
        let command = match kind {
            DTM_CMD_LOADCONF => Command::LoadConfig,
            DTM_CMD_RELOAD => Command::Reload,
            DTM_CMD_START => Command::Start,
            DTM_CMD_STOP => Command::Stop,
            DTM_CMD_SCALE => Command::Scale(u32::try_from(arg).unwrap_or(u32::MAX)),
            DTM_CMD_UPGRADE => return self.ask_upgrade(asker),
            DTM_CMD_RESET => Command::Reset,
            DTM_CMD_RECYCLE => Command::Recycle(arg),
            DTM_CMD_SHUTDOWN => Command::Shutdown,
            DTM_CMD_SHUTDOWN_NOW => Command::ShutdownNow,
            DTM_CMD_NOFORK | DTM_CMD_FORK => {
                // This thread forks, and is here: so none is in flight. The ban is
                // looked at before every fork from now on.
                self.look_at_ban();
                let text = if self.banned {
                    "forking is forbidden"
                } else {
                    "forking is allowed"
                };
                return self.reply(asker, DTM_OK, text);
            }
            DTM_CMD_ACCEPT_MODE | DTM_CMD_ACCEPT_TOKENS => {
                let (code, text) = self.accept_command(kind, arg);
                return self.reply(asker, code, &text);
            }
            DTM_CMD_LOG_LEVEL => {
                let (code, text) = self.log_command(arg);
                return self.reply(asker, code, &text);
            }
            DTM_CMD_REOPEN_LOG => {
                return match self.reopen_logs() {
                    Ok(()) => self.reply(asker, DTM_OK, "logs reopened"),
                    Err(error) => self.reply(asker, DTM_EFAILED, &error.text),
                };
            }
            _ => {
                return self.reply(asker, DTM_ENOTSUP, "this version has no such command");
            }
        };
        self.command(asker, command);
    }

    /// What an upgrade that is in progress does not allow is refused; an end ends it. But who
    /// asks the new binary to end before it serves means the service, which is the old one.
    pub(super) fn command(&mut self, asker: Asker, command: Command) {
        let asked_here = matches!(asker, Asker::Controller { .. });
        match command {
            _ if asked_here && self.upgrade.serves_elsewhere() => {
                let text = "an upgrade is in progress";
                return self.reply(asker, -libc::EBUSY, text);
            }
            Command::Shutdown | Command::ShutdownNow | Command::Stop => {
                self.disturb_upgrade("the service was told to end");
            }
            _ if self.upgrade.busy() => {
                let text = "an upgrade is in progress";
                return self.reply(asker, -libc::EBUSY, text);
            }
            _ => {}
        }
        self.events.push_back(Event::Command { asker, command });
    }

    pub(super) fn reply(&mut self, asker: Asker, code: i32, text: &str) {
        match asker {
            Asker::Signal(0) if code == DTM_OK => ::log::info!("request: {text}"),
            Asker::Signal(signal) if code == DTM_OK => {
                ::log::info!("{}: {text}", crate::signal::table::name(signal));
            }
            Asker::Signal(_) => ::log::error!("{text}"),
            Asker::Controller { spawn, id } => {
                // A reply to a controller that is gone is for nobody.
                if self.controller().is_some_and(|(_, s)| s == spawn) {
                    let code = u64::from(code.unsigned_abs());
                    self.tell_controller(Kind::Reply, id, code, text.as_bytes());
                }
            }
        }
    }

    /// Slot and spawn of the controller.
    pub(super) fn controller(&self) -> Option<(usize, u64)> {
        let slots = self.policy.slots().iter().enumerate();
        let mut found = slots.filter(|(_, s)| s.job == Some(Job::Controller));
        found.find_map(|(slot, s)| Some((slot, s.child.as_ref()?.spawn)))
    }

    pub(super) fn head(&mut self, kind: Kind, slot: usize, arg: u64, arg2: u64) -> Option<Head> {
        self.sequence += 1;
        let entry = &self.policy.slots()[slot];
        let spawn = entry.child.as_ref()?.spawn;
        let (generation, seq) = (entry.generation, self.sequence);
        let slot = u32::try_from(slot).ok()?;
        Some(Head {
            kind,
            slot,
            generation,
            spawn,
            seq,
            arg,
            arg2,
        })
    }

    /// In every process, as far as that goes. The first error: whose log was not opened anew.
    pub(super) fn reopen_logs(&mut self) -> Result<()> {
        let mut first = Ok(());
        let mut note = |result: Result<()>| {
            if let Err(error) = &result {
                ::log::error!("{error}");
            }
            if first.is_ok() {
                first = result;
            }
        };
        note(self.rt.reopen_log());
        let config = self.rt.config();
        for role in [DTM_ROLE_WORKER, DTM_ROLE_CONTROLLER, DTM_ROLE_FUNC] {
            let slots: Vec<usize> = (0..self.pairs.len())
                .filter(|slot| self.rows_role(*slot) == role)
                .collect();
            if slots.is_empty() {
                continue;
            }
            let file = match crate::log::open_for(&config.log, role).transpose() {
                Ok(file) => file,
                Err(error) => {
                    note(Err(error));
                    continue;
                }
            };
            for slot in slots {
                note(self.hand_log(slot, file.as_ref()));
            }
        }
        first
    }

    /// It goes on in this file; without one it opens its own.
    fn hand_log(&mut self, slot: usize, file: Option<&std::fs::File>) -> Result<()> {
        let Some(head) = self.head(Kind::ReopenLog, slot, 0, 0) else {
            return Ok(());
        };
        let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        let frame = Frame { head, payload: &[] };
        let text = match send_with(self.pairs[slot].master.as_fd(), &frame, &fds) {
            Ok(Sent::Done | Sent::Gone) => return Ok(()),
            Ok(Sent::Full) => "it does not read".into(),
            Err(error) => error.text,
        };
        let text = format!("slot {slot} goes on with its old log: {text}");
        Err(Error::new(DTM_EFAILED, text))
    }
}
