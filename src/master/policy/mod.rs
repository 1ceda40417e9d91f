//! The master's decisions, as a pure state machine: (state, event, now) ->
//! actions. No syscalls, no clock, no shared memory: what a dying worker may
//! scribble there cannot reach it. `master/` carries the actions out.

mod command;
mod death;
mod facts;
mod hang;
mod note;
mod recycle;
mod reload;
mod scale;
mod settings;
mod slot;
mod spawn;
mod stop;
mod types;
mod upgrade;
mod why;

#[cfg(test)]
mod tests;

pub(crate) use death::describe;
pub(crate) use hang::{Hangs, Stand};
pub(crate) use note::{Next, Note, Who};
pub(crate) use recycle::Usage;
pub(crate) use scale::Demand;
pub(crate) use settings::{FuncSpec, Restart, Settings};
pub(crate) use slot::{Child, Phase, Slot};
pub(crate) use types::*;
pub(crate) use why::{Leave, Worn};

use crate::shm::{Count, Counts};
use reload::Reload;

/// The state. Everything the master knows about its children.
pub(crate) struct Policy {
    settings: Settings,
    slots: Vec<Slot>,
    /// The generation that serves; 0 before the first.
    serving: u32,
    newest: u32,
    last_spawn: u64,
    reload: Option<Reload>,
    /// A reload to run when forking is allowed, or when the running one has ended.
    next_reload: Option<Vec<Asker>>,
    /// Config loads waiting for the ban to end; one load answers them all.
    next_load: Vec<Asker>,
    /// Waiting for the last child to leave: `start` and `stop`.
    next_start: Vec<Asker>,
    stop_askers: Vec<Asker>,
    /// Who waits for the outcome of the LoadConfig in flight, when it is no reload.
    loading: Option<Vec<Asker>>,
    /// All workers and funcs are stopped on demand.
    stopped: bool,
    banned: bool,
    ending: Option<stop::Ending>,
    finished: bool,
    hold: Hold,
    /// Of the binary before this one: the service has not ended before they have.
    adopted: usize,
    scaler: scale::Scaler,
    pub(crate) counts: Counts,
}

/// What another binary has, in an upgrade.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The control lock: our controller does not get it.
    pub(crate) lock: bool,
    /// The clients: our workers' gates stay shut.
    pub(crate) gates: bool,
}

type Actions = Vec<Action>;

impl Policy {
    pub(crate) fn new(settings: Settings, slots: usize) -> Self {
        Self {
            settings,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            serving: 0,
            newest: 0,
            last_spawn: 0,
            reload: None,
            next_reload: None,
            next_load: Vec::new(),
            next_start: Vec::new(),
            stop_askers: Vec::new(),
            loading: None,
            stopped: false,
            banned: false,
            ending: None,
            finished: false,
            hold: Hold::default(),
            adopted: 0,
            scaler: scale::Scaler::default(),
            counts: Counts::default(),
        }
    }

    /// The one entry: what happened, when; what to do about it.
    pub(crate) fn step(&mut self, event: Event, now: Ms, out: &mut Actions) {
        match event {
            Event::Begin => self.begin(now, out),
            Event::Forked { slot, spawn, pid } => self.forked(slot, spawn, pid, now, out),
            Event::ForkFailed { slot, banned } => self.fork_failed(slot, banned, now),
            Event::Ready { slot, spawn } => self.ready(slot, spawn, now, out),
            Event::Updated { slot, spawn } => self.updated(slot, spawn, now, out),
            Event::Died { slot, spawn, exit } => self.died(slot, spawn, exit, now, out),
            Event::Looked(usages) => self.looked(&usages, now, out),
            Event::Demand(demand) => self.demanded(demand, now, out),
            Event::Hung { slot, spawn, stuck } => self.hung(slot, spawn, stuck, now, out),
            Event::Extended { slot, spawn, ms } => self.extended(slot, spawn, ms, now),
            Event::Ban(on) => self.ban(on, out),
            Event::Command { asker, command } => self.command(asker, command, now, out),
            Event::Config(result) => self.config_done(result.map(|settings| *settings), now, out),
            Event::Hold(hold) => self.set_hold(hold, now, out),
            Event::Retire => self.retire(now, out),
            Event::Adopted(count) => self.adopted = count,
            Event::Tick { heard } => {
                self.advance_reload(now, out);
                self.timers(heard, now, out);
            }
        }
        self.settle(now, out);
        self.fork_due(now, out);
    }

    /// When [`Event::Tick`] is due at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Ms> {
        let slots = self.slots.iter().filter_map(|s| self.slot_deadline(s));
        slots
            .chain(self.reload.as_ref().and_then(|r| r.deadline))
            .min()
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Every worker of the generation in charge is open, and the controller, too.
    /// The generation that serves; 0 before the first.
    pub(crate) fn serving(&self) -> u32 {
        self.serving
    }

    pub(crate) fn serves(&self) -> bool {
        let controller = |s: &Slot| {
            s.job == Some(Job::Controller)
                && s.child.as_ref().is_some_and(|c| c.phase == Phase::Open)
        };
        self.is_open(self.serving) && self.slots.iter().any(controller)
    }

    /// Workers per generation, as wanted now.
    pub(crate) fn workers(&self) -> u32 {
        self.settings.workers
    }

    /// The live child of a slot, if it is that spawn.
    fn child(&mut self, slot: usize, spawn: u64) -> Option<&mut Child> {
        self.slots
            .get_mut(slot)?
            .child
            .as_mut()
            .filter(|c| c.spawn == spawn)
    }

    /// Workers and funcs that are alive (not the controller).
    fn living(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let alive = |s: &Slot| s.child.is_some() && s.job != Some(Job::Controller);
        self.slots.iter().enumerate().filter(move |(_, s)| alive(s))
    }
}
