//! One line per life event, with role, slot, generation, pid and reason; and
//! the `event` callback. flow: M12

use super::Master;
use super::policy::{Asker, Command, Event, Job, Next, Note, Who, describe};
use crate::channel::{Kind, Life};
use crate::child::birth::Birth;
use crate::console::LIFE_RELOADING;
use crate::ffi::*;
use crate::func::Func;
use crate::guard::timed;
use crate::process::death;
use std::ffi::CString;

impl Master {
    pub(super) fn note(&mut self, note: &Note) {
        match note {
            Note::Ready { slot } => self.tell_life(DTM_EVENT_READY, *slot, 0, "ready"),
            Note::Opened { slot } => {
                let controller = self.rows_role(*slot) == DTM_ROLE_CONTROLLER;
                let text = if controller {
                    "has the control lock"
                } else {
                    "open for business"
                };
                self.tell_life(DTM_EVENT_OPEN, *slot, 0, text);
            }
            Note::Draining { slot, why } => {
                self.tell_life(
                    DTM_EVENT_DRAINING,
                    *slot,
                    0,
                    &format!("told to leave: {}", why.text()),
                );
            }
            Note::Died {
                slot,
                who,
                exit,
                asked,
                next,
            } => {
                let how = if *asked { "as told" } else { "unasked" };
                let next = match next {
                    Next::Free => "its slot is free".to_owned(),
                    Next::Respawn(0) => "a replacement follows at once".to_owned(),
                    Next::Respawn(ms) => format!("a replacement follows in {ms} ms"),
                    Next::Deferred => "a replacement follows when forking is allowed".to_owned(),
                    Next::AfterReload => {
                        "a replacement follows when the reload has ended".to_owned()
                    }
                    Next::Left => "no replacement is wanted".to_owned(),
                    Next::GivenUp => "no replacement: too many deaths".to_owned(),
                };
                let text = format!("{} {how}; {next}", describe(*exit));
                let status = death::encode(*exit);
                if !*asked {
                    self.start_fails(*slot, who, &text);
                }
                self.announce(DTM_EVENT_EXIT, Some((*slot, who)), status, &text, !*asked);
                if who.job == Job::Controller {
                    self.unlocked();
                }
                if !*asked {
                    let text = format!("{} {}", who.job.describe(), describe(*exit));
                    self.fail_upgrade(*slot, &text);
                }
            }
            Note::Killed { slot, why } => {
                self.tell_life(DTM_EVENT_DRAINING, *slot, 0, &format!("killed: {why}"));
            }
            Note::Hung { slot, stuck } => {
                let text = format!("hangs: no progress for {stuck} ms; SIGABRT was sent");
                self.tell_life(DTM_EVENT_HANG, *slot, 0, &text);
            }
            Note::Recycle { slot, why } => {
                let text = format!(
                    "recycled ({}): it leaves when its successor is open",
                    why.text()
                );
                self.tell_life(DTM_EVENT_RECYCLE, *slot, 0, &text);
            }
            Note::Scale { from, to, why } => {
                let text = format!("scaling from {from} to {to} workers: {why}");
                let to = i32::try_from(*to).unwrap_or(i32::MAX);
                self.announce(DTM_EVENT_SCALE, None, to, &text, false);
            }
            Note::CannotScale { text } => ::log::warn!("automatic scaling: {text}"),
            Note::Failed {
                slot,
                who,
                deaths,
                window_ms,
            } => {
                let text = format!(
                    "given up after {deaths} deaths in {} s; a reload or DTM_CMD_RESET gives it \
                     another chance",
                    window_ms.div_ceil(1_000)
                );
                self.announce(DTM_EVENT_FAILED, Some((*slot, who)), 0, &text, true);
            }
            Note::ReloadAsked => self.tell_reload(),
            Note::ReloadBegins { generation } => {
                let text = format!("reload: generation {generation} starts");
                ::log::info!("{text}");
                self.tell_console(&Life::of_service(LIFE_RELOADING, *generation), &text);
            }
            Note::ReloadEnds {
                generation,
                code,
                text,
            } => {
                self.reload_ended(*code);
                let text = format!("reload to generation {generation}: {text}");
                if let Some(manager) = &mut self.systemd {
                    manager.reload_ends(&text);
                }
                self.announce(DTM_EVENT_RELOAD, None, *code, &text, *code < 0);
            }
            Note::Deferred { what } => {
                ::log::info!("{what} waits until forking is allowed");
                if *what == "reload" {
                    self.tell_deferred_reload();
                }
            }
            Note::Hurried => self.hurry_adopted(),
            Note::Ending { fast } => {
                self.tell_end(*fast);
                if *fast {
                    self.stop_adopted();
                }
                ::log::info!(
                    "{} shutdown begins",
                    if *fast { "fast" } else { "graceful" }
                );
            }
        }
    }

    pub(super) fn note_fork(&mut self, slot: usize, birth: &Birth, job: Job, pid: i32) {
        let (generation, spawn) = (birth.generation, birth.spawn);
        let who = Who {
            job,
            generation,
            spawn,
            pid,
        };
        self.announce(DTM_EVENT_FORK, Some((slot, &who)), 0, "forked", false);
    }

    pub(super) fn note_config(&mut self, code: i32, text: &str) {
        self.config_ended(code);
        self.announce(DTM_EVENT_CONFIG, None, code, text, code < 0);
    }

    /// What the last process of this slot complained of, to be put behind a text.
    pub(super) fn last_words(&self, slot: usize) -> String {
        match self.shared.words.read(slot).join(" | ").as_str() {
            "" => String::new(),
            words => format!("; its last words: {words}"),
        }
    }

    /// Whoever waits for the service to come up is told of the first death before it has,
    /// and then there is to be no service.
    fn start_fails(&mut self, slot: usize, who: &Who, text: &str) {
        if self.start_failed.is_some() || self.rt.waiting.borrow().is_none() {
            return;
        }
        let name = self.name(who.job);
        let text = format!(
            "cannot start: {name} pid {}: {text}{}; the log says more",
            who.pid,
            self.last_words(slot)
        );
        ::log::error!("{text}");
        self.start_failed = Some(text);
        self.events.push_back(Event::Command {
            asker: Asker::Signal(0),
            command: Command::ShutdownNow,
        });
    }

    /// The console's subscribers hear of it, too.
    fn tell_console(&mut self, life: &Life, text: &str) {
        if self.rt.has_console() {
            self.tell_controller(Kind::Life, 0, 0, &life.encode(text));
        }
    }

    /// "worker", "func mailer"
    fn name(&self, job: Job) -> String {
        let kind = crate::role::name(job.role());
        let Job::Func { func, .. } = job else {
            return kind.to_owned();
        };
        let name = Func::numbered(self.rt, func, |f| format!("{kind} {}", f.name));
        name.unwrap_or_else(|| format!("{kind} ?"))
    }

    pub(super) fn rows_role(&self, slot: usize) -> u32 {
        self.policy.slots()[slot].who().map_or(0, |w| w.job.role())
    }

    fn tell_life(&mut self, kind: u32, slot: usize, status: i32, text: &str) {
        let who = self.policy.slots()[slot].who();
        self.announce(kind, who.as_ref().map(|w| (slot, w)), status, text, false);
    }

    pub(super) fn announce(
        &mut self,
        kind: u32,
        whom: Option<(usize, &Who)>,
        status: i32,
        text: &str,
        bad: bool,
    ) {
        let level = if bad {
            ::log::Level::Warn
        } else {
            ::log::Level::Info
        };
        match whom {
            Some((slot, who)) => ::log::log!(
                level,
                "{} slot {slot} gen {} pid {} spawn {}: {text}",
                self.name(who.job),
                who.generation,
                who.pid,
                who.spawn
            ),
            None => ::log::log!(level, "{text}"),
        }
        let life = Life {
            kind,
            role: whom.map_or(0, |w| w.1.job.role()),
            slot: whom.map_or(DTM_OFF, |w| u32::try_from(w.0).unwrap_or(DTM_OFF)),
            generation: whom.map_or(0, |w| w.1.generation),
            spawn: whom.map_or(0, |w| w.1.spawn),
            pid: whom.map_or(0, |w| w.1.pid),
            status,
        };
        self.tell_console(&life, text);
        let Some(event) = self.rt.callbacks.event else {
            return;
        };
        let reason = CString::new(text).unwrap_or_default();
        let told = dtm_event_t {
            size: size_of::<dtm_event_t>(),
            kind,
            role: life.role,
            slot: life.slot,
            generation: life.generation,
            spawn: life.spawn,
            pid: life.pid,
            status,
            reason: reason.as_ptr(),
        };
        // SAFETY: the service's function; the struct lives during the call.
        timed("event", || unsafe {
            event(self.rt.handle(), &raw const told, self.rt.user_data);
        });
    }
}
