//! Reload as a transaction: the old generation is told nothing before the new
//! one is ready, up to date and open. flow: M16, M17, L3

use super::*;
use crate::ffi::{DTM_EFAILED, DTM_OK};

/// A reload in progress.
pub(super) struct Reload {
    /// 0 while the configuration is being loaded.
    pub(super) generation: u32,
    pub(super) askers: Vec<Asker>,
    pub(super) deadline: Option<Ms>,
    /// The settings to go back to.
    previous: Option<Settings>,
}

impl Policy {
    pub(super) fn start_reload(&mut self, askers: Vec<Asker>, out: &mut Actions) {
        self.reload = Some(Reload {
            generation: 0,
            askers,
            deadline: None,
            previous: None,
        });
        out.push(Action::LoadConfig);
    }

    /// The load that a reload or loadconf asked for has ended.
    pub(super) fn config_done(
        &mut self,
        result: Result<Settings, (i32, String)>,
        now: Ms,
        out: &mut Actions,
    ) {
        let reloading = self.reload.as_ref().is_some_and(|r| r.generation == 0);
        match (result, reloading) {
            (Err((code, text)), true) => self.end_reload(code, text, out),
            (Err((code, text)), false) => {
                let askers = self.loading.take().unwrap_or_default();
                reply_all(askers, code, &text, out);
            }
            (Ok(settings), false) => {
                let askers = self.loading.take().unwrap_or_default();
                let (code, text) = self.take_config(settings, now, out);
                reply_all(askers, code, &text, out);
            }
            (Ok(settings), true) => {
                let previous = std::mem::replace(&mut self.settings, settings);
                self.begin_generation(previous, now, out);
            }
        }
    }

    /// A configuration without a reload: all of it, or nothing.
    fn take_config(&mut self, settings: Settings, now: Ms, out: &mut Actions) -> (i32, String) {
        let workers = settings.workers;
        if let Err(error) = self.room_for(workers) {
            out.push(Action::RevertConfig);
            return error;
        }
        self.settings = settings;
        out.push(Action::KeepConfig);
        match self.try_scale(workers, now, out) {
            Ok(()) => {
                let text = "configuration loaded; processes forked from now on have it";
                (DTM_OK, text.into())
            }
            Err(error) => error,
        }
    }

    fn begin_generation(&mut self, previous: Settings, now: Ms, out: &mut Actions) {
        if self.stopped {
            out.push(Action::KeepConfig);
            let text = "configuration loaded; nothing runs, `start` starts the new generation";
            return self.end_reload(DTM_OK, text.into(), out);
        }
        let generation = self.newest + 1;
        if let Err(text) = self.populate(generation, now) {
            self.settings = previous;
            out.push(Action::RevertConfig);
            return self.end_reload(-libc::ENOSPC, text, out);
        }
        self.newest = generation;
        let deadline = self.settings.start_ms.map(|ms| now + ms);
        if let Some(reload) = &mut self.reload {
            reload.generation = generation;
            reload.deadline = deadline;
            reload.previous = Some(previous);
        }
        out.push(Action::Note(Note::ReloadBegins { generation }));
    }

    /// Open the new generation if every worker of it is up to date.
    pub(super) fn try_commit(&mut self, now: Ms, out: &mut Actions) {
        let Some(generation) = self
            .reload
            .as_ref()
            .map(|r| r.generation)
            .filter(|g| *g > 0)
        else {
            return;
        };
        let of_new = |s: &&Slot| s.generation == generation && s.is_worker();
        let updated = |s: &Slot| s.running().is_some_and(|c| c.phase == Phase::Updated);
        if !self.slots.iter().filter(of_new).all(updated) {
            return;
        }
        let old = self.serving;
        self.serving = generation;
        for slot in 0..self.slots.len() {
            if self.slots[slot].generation == generation && self.slots[slot].is_worker() {
                self.open(slot, now, out);
            }
        }
        self.retire_others(generation, now, out);
        self.stats.reloads += 1;
        out.push(Action::KeepConfig);
        self.end_reload(
            DTM_OK,
            format!("generation {generation} serves, generation {old} drains"),
            out,
        );
    }

    /// Every other generation drains; what was only planned for it is dropped.
    fn retire_others(&mut self, generation: u32, now: Ms, out: &mut Actions) {
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            let stays = matches!(slot.job, None | Some(Job::Controller));
            if slot.generation != generation && !stays {
                self.dismiss(at, Order::Drain, "a newer generation serves", now, out);
            }
        }
    }

    /// Undo a reload: clients have noticed nothing of it.
    pub(super) fn cancel_reload(&mut self, why: &str, now: Ms, out: &mut Actions) {
        let Some(reload) = &mut self.reload else {
            return;
        };
        let generation = reload.generation;
        if generation > 0 {
            if let Some(previous) = reload.previous.take() {
                self.settings = previous;
            }
            for at in 0..self.slots.len() {
                if self.slots[at].generation == generation {
                    self.dismiss(at, Order::Stop, "its reload is cancelled", now, out);
                }
            }
            out.push(Action::RevertConfig);
        }
        self.end_reload(
            DTM_EFAILED,
            format!("{why}; generation {} serves on", self.serving),
            out,
        );
    }

    fn end_reload(&mut self, code: i32, text: String, out: &mut Actions) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        reply_all(reload.askers, code, &text, out);
        let generation = if reload.generation > 0 {
            reload.generation
        } else {
            self.newest
        };
        out.push(Action::Note(Note::ReloadEnds {
            generation,
            code,
            text,
        }));
    }
}

pub(super) fn reply_all(askers: Vec<Asker>, code: i32, text: &str, out: &mut Actions) {
    for asker in askers {
        out.push(Action::Reply {
            asker,
            code,
            text: text.to_owned(),
        });
    }
}
