//! A simulated world: carries actions out at once, holds the rules, remembers.

use super::super::*;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SLOTS: usize = 24;

pub(super) fn settings(workers: u32, funcs: Vec<FuncSpec>) -> Settings {
    Settings {
        workers,
        funcs,
        drain_ms: Some(30_000),
        grace_ms: 2_000,
        start_ms: Some(60_000),
        respawn_ms: 100,
        respawn_max_ms: 5_000,
        respawn_reset_ms: 30_000,
        budget: None,
        window_ms: 60_000,
        recycle: crate::config::Recycle {
            clients: None,
            requests: None,
            age: None,
            idle: None,
            memory_soft: None,
            memory_hard: None,
            stagger: 10,
            min_age: 10_000,
            parallel: 1,
        },
        scale: None,
        canary: Some(1),
        old_generations: 2,
    }
}

/// Carries actions out at once and remembers what matters.
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now: Ms,
    pub(super) next_pid: i32,
    /// spawn -> (slot, job, generation, told to end)
    pub(super) alive: BTreeMap<u64, (usize, Job, u32, bool)>,
    pub(super) zombies: BTreeSet<usize>,
    pub(super) open: BTreeSet<u64>,
    pub(super) replies: Vec<(Asker, i32, String)>,
    pub(super) forks: Vec<(usize, Job, u32, u64)>,
    pub(super) loads: u32,
    pub(super) reverts: u32,
    pub(super) next_load: Result<Settings, (i32, String)>,
    pub(super) fork_fails: bool,
    pub(super) lag: Ms,
    pub(super) banned: bool,
    pub(super) finished: Option<bool>,
    pub(super) log: Vec<Note>,
    /// Reloads that ended: generation, code, text, who is to blame.
    pub(super) ends: Vec<(u32, i32, String, Option<usize>)>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let next_load = Ok(settings.clone());
        let mut world = World {
            policy: Policy::new(settings, SLOTS),
            now: 1_000,
            next_pid: 100,
            alive: BTreeMap::new(),
            zombies: BTreeSet::new(),
            open: BTreeSet::new(),
            replies: Vec::new(),
            forks: Vec::new(),
            loads: 0,
            reverts: 0,
            next_load,
            fork_fails: false,
            lag: 0,
            banned: false,
            finished: None,
            log: Vec::new(),
            ends: Vec::new(),
        };
        world.send(Event::Begin);
        world
    }

    /// All that is to be heard for now.
    pub(super) fn send(&mut self, event: Event) {
        self.say(event);
        self.say(Event::Tick { heard: self.now });
    }

    /// And there is more to come at once.
    pub(super) fn say(&mut self, event: Event) {
        if let Event::Ban(on) = event {
            self.banned = on;
        }
        let mut out = Vec::new();
        self.policy.step(event, self.now, &mut out);
        let mut follow = Vec::new();
        for action in out {
            self.carry_out(action, &mut follow);
        }
        for event in follow {
            // Outcomes are heard one by one; once in a while time passes in between.
            self.now += std::mem::take(&mut self.lag);
            self.say(event);
        }
    }

    pub(super) fn carry_out(&mut self, action: Action, follow: &mut Vec<Event>) {
        match action {
            Action::Fork {
                slot,
                job,
                generation,
                spawn,
            } => {
                assert!(!self.banned, "forked while it is forbidden");
                assert!(self.finished.is_none(), "forked after the end");
                assert!(
                    !self.alive.values().any(|a| a.0 == slot),
                    "slot {slot} is occupied"
                );
                assert!(!self.zombies.contains(&slot), "slot {slot} holds a zombie");
                if self.fork_fails {
                    follow.push(Event::ForkFailed {
                        slot,
                        banned: false,
                    });
                    return;
                }
                if job == Job::Controller {
                    let others = self
                        .alive
                        .values()
                        .filter(|a| a.1 == Job::Controller)
                        .count();
                    assert_eq!(others, 0, "two controllers");
                }
                self.next_pid += 1;
                self.alive.insert(spawn, (slot, job, generation, false));
                self.forks.push((slot, job, generation, spawn));
                follow.push(Event::Forked {
                    slot,
                    spawn,
                    pid: self.next_pid,
                });
            }
            Action::Order { slot, .. } => {
                if let Some(child) = self.alive.values_mut().find(|a| a.0 == slot) {
                    child.3 = true;
                }
            }
            Action::Report { .. } => {}
            Action::Kill { slot, signal } => {
                let spawn = self
                    .alive
                    .iter()
                    .find(|(_, a)| a.0 == slot)
                    .map(|(s, _)| *s);
                if let Some(spawn) = spawn {
                    follow.push(self.death(
                        spawn,
                        Exit::Signal {
                            number: signal,
                            core: false,
                        },
                    ));
                }
            }
            Action::Open { slot } => {
                let found = self.alive.iter().find(|(_, a)| a.0 == slot);
                let (&spawn, &(_, job, generation, _)) = found.expect("opened a dead slot");
                self.open.insert(spawn);
                if matches!(job, Job::Worker { .. }) {
                    let old = self.generations().into_iter().filter(|g| *g != generation);
                    assert!(old.count() <= 2, "too many old generations");
                }
            }
            Action::Reap { slot, .. } => {
                assert!(self.zombies.remove(&slot), "nothing to reap in slot {slot}");
            }
            Action::LoadConfig => {
                self.loads += 1;
                follow.push(Event::Config(self.next_load.clone().map(Box::new)));
            }
            Action::RevertConfig => self.reverts += 1,
            Action::KeepConfig | Action::ShowListeners => {}
            Action::Reply { asker, code, text } | Action::ReplyNow { asker, code, text } => {
                self.replies.push((asker, code, text))
            }
            Action::EndReload {
                askers,
                generation,
                code,
                text,
                blame,
            } => {
                let answer = |asker| (asker, code, text.clone());
                self.replies.extend(askers.into_iter().map(answer));
                self.ends.push((generation, code, text, blame));
            }
            Action::Note(note) => self.log.push(note),
            Action::Finish { fast, .. } => {
                assert!(
                    self.alive.is_empty() && self.zombies.is_empty(),
                    "left children behind"
                );
                assert!(self.finished.replace(fast).is_none(), "finished twice");
            }
        }
    }

    pub(super) fn death(&mut self, spawn: u64, exit: Exit) -> Event {
        let (slot, ..) = self.alive.remove(&spawn).expect("it lives");
        self.open.remove(&spawn);
        self.zombies.insert(slot);
        Event::Died { slot, spawn, exit }
    }

    pub(super) fn die(&mut self, spawn: u64, exit: Exit) {
        let event = self.death(spawn, exit);
        self.send(event);
    }

    pub(super) fn advance(&mut self, ms: Ms) {
        self.now += ms;
        self.send(Event::Tick { heard: self.now });
    }

    /// Let every child do what it should until nothing moves any more.
    pub(super) fn cooperate(&mut self) {
        for _ in 0..200 {
            let leaving = self.alive.iter().find(|(_, a)| a.3).map(|(s, _)| *s);
            if let Some(spawn) = leaving {
                self.die(spawn, Exit::Code(0));
                continue;
            }
            let slots = self.policy.slots();
            let phase = |slot: usize| slots[slot].child.as_ref().map(|c| c.phase);
            let starting = self
                .alive
                .iter()
                .find(|(_, a)| phase(a.0) == Some(Phase::Starting));
            if let Some((&spawn, &(slot, ..))) = starting {
                self.send(Event::Ready { slot, spawn });
                continue;
            }
            let ready = self
                .alive
                .iter()
                .find(|(_, a)| phase(a.0) == Some(Phase::Ready));
            if let Some((&spawn, &(slot, ..))) = ready {
                self.send(Event::Updated { slot, spawn });
                continue;
            }
            match self.policy.next_deadline() {
                Some(at) if at > self.now && !self.banned => self.advance(at - self.now),
                _ => return,
            }
        }
    }

    pub(super) fn workers(&self) -> BTreeSet<u64> {
        let worker = |a: &(usize, Job, u32, bool)| matches!(a.1, Job::Worker { .. });
        self.alive
            .iter()
            .filter(|(_, a)| worker(a))
            .map(|(s, _)| *s)
            .collect()
    }

    /// Those of which a worker is alive.
    pub(super) fn generations(&self) -> BTreeSet<u32> {
        let workers = self.workers();
        workers.iter().map(|spawn| self.alive[spawn].2).collect()
    }

    pub(super) fn ask(&mut self, id: u64, command: Command) {
        self.send(Event::Command {
            asker: asker(id),
            command,
        });
    }

    pub(super) fn answers(&self, id: u64) -> Vec<i32> {
        self.replies
            .iter()
            .filter(|r| r.0 == asker(id))
            .map(|r| r.1)
            .collect()
    }
}

pub(super) fn asker(id: u64) -> Asker {
    Asker::Controller { spawn: 1, id }
}

pub(super) fn running(workers: u32) -> World {
    let mut world = World::new(settings(workers, Vec::new()));
    world.cooperate();
    world
}
