//! Reload as a transaction: the old generation is told nothing before the new
//! one is ready, up to date and open. flow: M16, M17, L3

use super::*;
use crate::ffi::{DTM_EFAILED, DTM_OK};
use std::collections::BTreeSet;

/// An old generation that had to make room leaves within the grace, by SIGKILL if
/// need be. What is not gone this long after that hangs in the kernel.
const ROOM_MS: Ms = 5_000;

/// A reload in progress.
pub(super) struct Reload {
    /// 0 while the configuration is being loaded.
    pub(super) generation: u32,
    pub(super) askers: Vec<Asker>,
    pub(super) deadline: Option<Ms>,
    stage: Stage,
    /// The settings to go back to.
    previous: Option<Settings>,
}

/// How far the new generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first workers show that it can start at all.
    Canary,
    /// All of it is forked.
    Rest,
    /// All of it is up to date; old generations that are too many have to go.
    Room,
}

impl Reload {
    /// The settings of the generation that serves yet, where there are newer ones.
    pub(super) fn before(&self) -> Option<&Settings> {
        self.previous.as_ref()
    }
}

impl Policy {
    pub(super) fn start_reload(&mut self, askers: Vec<Asker>, out: &mut Actions) {
        self.reload = Some(Reload {
            generation: 0,
            askers,
            deadline: None,
            stage: Stage::Canary,
            previous: None,
        });
        out.push(Action::Note(Note::ReloadAsked));
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
            (Err((code, text)), true) => self.end_reload(code, text, None, out),
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
        out.push(Action::ShowListeners);
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
            out.push(Action::ShowListeners);
            let text = "configuration loaded; nothing runs, `start` starts the new generation";
            return self.end_reload(DTM_OK, text.into(), None, out);
        }
        let generation = self.newest + 1;
        if let Err(text) = self.populate(generation, now) {
            self.settings = previous;
            out.push(Action::RevertConfig);
            return self.end_reload(-libc::ENOSPC, text, None, out);
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

    /// The configuration is loaded for a reload, not just for who is forked next.
    pub(crate) fn loads_for_reload(&self) -> bool {
        self.reload.as_ref().is_some_and(|r| r.generation == 0)
    }

    /// The generation that a reload prepares.
    pub(crate) fn reloading(&self) -> Option<u32> {
        self.reload.as_ref().map(|r| r.generation)
    }

    /// Is this slot's worker one that has to wait for the canary?
    pub(super) fn waits_for_canary(&self, slot: &Slot) -> bool {
        let in_canary = |r: &Reload| r.stage == Stage::Canary && r.generation == slot.generation;
        self.reload.as_ref().is_some_and(in_canary) && !self.is_canary(slot)
    }

    fn is_canary(&self, slot: &Slot) -> bool {
        match slot.job {
            Some(Job::Worker { index }) => self.settings.canary.is_none_or(|n| index < n),
            _ => true,
        }
    }

    /// Go on with the reload, as far as its workers are.
    pub(super) fn advance_reload(&mut self, now: Ms, out: &mut Actions) {
        let Some((generation, stage)) = self.reload.as_ref().map(|r| (r.generation, r.stage))
        else {
            return;
        };
        if generation == 0 {
            return;
        }
        if stage == Stage::Canary && self.is_updated(generation, true) {
            // What follows has a start timeout of its own.
            let deadline = self.settings.start_ms.map(|ms| now + ms);
            self.enter(Stage::Rest, deadline);
        }
        if self.is_updated(generation, false) && self.make_room(generation, now, out) {
            self.commit(generation, now, out);
        }
    }

    /// Is every worker of the generation up to date, or every one in the canary?
    fn is_updated(&self, generation: u32, canary: bool) -> bool {
        let workers = self.slots.iter().filter(|s| s.is_worker());
        workers
            .filter(|s| s.generation == generation && (!canary || self.is_canary(s)))
            .all(|s| s.running().is_some_and(|c| c.phase == Phase::Updated))
    }

    fn enter(&mut self, stage: Stage, deadline: Option<Ms>) {
        if let Some(reload) = &mut self.reload {
            reload.stage = stage;
            reload.deadline = deadline;
        }
    }

    /// With this generation open, are the old ones few enough? If not, the oldest
    /// have drained for long enough.
    fn make_room(&mut self, generation: u32, now: Ms, out: &mut Actions) -> bool {
        let old: BTreeSet<u32> = self.living().map(|(_, s)| s.generation).collect();
        let old: Vec<u32> = old.into_iter().filter(|g| *g != generation).collect();
        let most = usize::try_from(self.settings.old_generations).unwrap_or(usize::MAX);
        let surplus = old.len().saturating_sub(most);
        if surplus == 0 {
            return true;
        }
        if self.reload.as_ref().is_some_and(|r| r.stage != Stage::Room) {
            let deadline = now + self.settings.grace_ms + ROOM_MS;
            self.enter(Stage::Room, Some(deadline));
        }
        for at in 0..self.slots.len() {
            if old[..surplus].contains(&self.slots[at].generation) {
                self.dismiss(at, Order::Expire, Leave::TooOld, now, out);
            }
        }
        false
    }

    /// Open the new generation: every worker of it is up to date.
    fn commit(&mut self, generation: u32, now: Ms, out: &mut Actions) {
        let old = self.serving;
        self.serving = generation;
        for slot in 0..self.slots.len() {
            if self.slots[slot].generation == generation && self.slots[slot].is_worker() {
                self.open(slot, now, out);
            }
        }
        // In force before the others are told to leave: they serve what is queued
        // where nobody listens any more.
        out.push(Action::KeepConfig);
        self.retire_others(generation, now, out);
        // Whoever is open now knows those that are new.
        out.push(Action::ShowListeners);
        let text = format!("generation {generation} serves, generation {old} drains");
        self.end_reload(DTM_OK, text, None, out);
    }

    /// Every other generation drains; what was only planned for it is dropped.
    fn retire_others(&mut self, generation: u32, now: Ms, out: &mut Actions) {
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            let stays = matches!(slot.job, None | Some(Job::Controller));
            if slot.generation != generation && !stays {
                self.dismiss(at, Order::Drain, Leave::Reload, now, out);
            }
        }
    }

    /// The new generation took too long: name who is to blame.
    pub(super) fn reload_timed_out(&mut self, now: Ms, out: &mut Actions) {
        let Some(reload) = &self.reload else {
            return;
        };
        if reload.stage == Stage::Room {
            let why = "an old generation that had to make room did not end";
            return self.cancel_reload(why, None, now, out);
        }
        let generation = reload.generation;
        let late = |s: &Slot| {
            let needed = if s.is_worker() {
                Phase::Updated
            } else {
                Phase::Ready
            };
            s.generation == generation
                && !self.waits_for_canary(s)
                && s.child.as_ref().is_none_or(|c| c.phase < needed)
        };
        let blame = self.slots.iter().position(late);
        let why = match blame.map(|at| &self.slots[at]) {
            Some(slot) => overdue(slot),
            None => "the new generation was not up to date in time".to_owned(),
        };
        self.cancel_reload(&why, blame, now, out);
    }

    /// Undo a reload: clients have noticed nothing of it.
    pub(super) fn cancel_reload(
        &mut self,
        why: &str,
        blame: Option<usize>,
        now: Ms,
        out: &mut Actions,
    ) {
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
                    self.dismiss(at, Order::Stop, Leave::Cancelled, now, out);
                }
            }
            out.push(Action::RevertConfig);
        }
        let text = format!("{why}; generation {} serves on", self.serving);
        self.end_reload(DTM_EFAILED, text, blame, out);
    }

    fn end_reload(&mut self, code: i32, text: String, blame: Option<usize>, out: &mut Actions) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        let generation = match reload.generation {
            0 => self.newest,
            begun => begun,
        };
        if code == DTM_OK {
            let forked = u64::from(reload.generation > 0);
            self.counts.add(Count::Reloads, forked);
        } else {
            self.counts.one_more(Count::FailedReloads);
        }
        out.push(Action::EndReload {
            askers: reload.askers,
            generation,
            code,
            text,
            blame,
        });
    }
}

/// What a process of the new generation has not done in time.
fn overdue(slot: &Slot) -> String {
    let name = slot.job.map_or_else(String::new, Job::describe);
    match &slot.child {
        None => format!("{name} of the new generation could not be forked in time"),
        Some(child) => {
            let what = if child.phase < Phase::Ready {
                "ready"
            } else {
                "up to date"
            };
            let pid = child.pid;
            format!("{name} of the new generation (pid {pid}) was not {what} in time")
        }
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
