//! The new binary's part with the workers that the old one has left: hold their lifeline,
//! watch them, end who does not leave. They are not its children: it sees that they have
//! ended, but not how.

use crate::daemon::identity::start_of;
use crate::master::policy::Event;
use crate::master::{ADOPTED, Master};
use crate::process::death;
use crate::shm::AdoptedBlock;
use crate::upgrade::adopted::{self, Action, Adopted};
use crate::upgrade::draining::Draining;
use crate::upgrade::wire::Message;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// Those without a pidfd are looked at this often, ms.
const LOOK_MS: u64 = 500;

#[derive(Default)]
pub(super) struct Adopting {
    pub(super) state: Adopted,
    /// By spawn.
    held: BTreeMap<u64, Held>,
    /// The binary after this one has adopted them: it sees them off.
    passed_on: bool,
    last_token: u64,
    looked: u64,
}

struct Held {
    pidfd: Option<OwnedFd>,
    token: u64,
    /// The writing end; one for all workers of one master.
    lifeline: Option<Rc<OwnedFd>>,
}

impl Adopting {
    pub(super) fn is_empty(&self) -> bool {
        self.state.workers().is_empty()
    }

    pub(super) fn pidfd(&self, spawn: u64) -> Option<&OwnedFd> {
        self.held.get(&spawn)?.pidfd.as_ref()
    }

    /// With those who hang on it, for the next binary.
    pub(super) fn lifelines(&self) -> Vec<(Rc<OwnedFd>, Vec<u64>)> {
        let mut all: Vec<(Rc<OwnedFd>, Vec<u64>)> = Vec::new();
        for (spawn, held) in &self.held {
            let Some(lifeline) = &held.lifeline else {
                continue;
            };
            match all
                .iter_mut()
                .find(|(known, _)| Rc::ptr_eq(known, lifeline))
            {
                Some((_, spawns)) => spawns.push(*spawn),
                None => all.push((Rc::clone(lifeline), vec![*spawn])),
            }
        }
        all
    }

    fn lacks_pidfd(&self) -> bool {
        self.held.values().any(|held| held.pidfd.is_none())
    }

    fn publish(&self, block: &AdoptedBlock, when: impl Fn(u64) -> u64) {
        let shown = |worker: &adopted::Worker| Draining {
            until: worker.end_by.map(&when),
            ..worker.told
        };
        let workers: Vec<Draining> = self.state.workers().iter().map(shown).collect();
        block.publish(&workers);
    }
}

impl Master {
    /// The old binary tells of one of its workers.
    pub(super) fn told_of_worker(&mut self, told: Draining, fds: Vec<OwnedFd>) {
        if self.upgrade.waits() {
            return;
        }
        if self.upgrade.adopting.passed_on {
            return self.tell_next(Message::Worker(told));
        }
        let known = self.upgrade.adopting.held.contains_key(&told.spawn);
        if !known && !self.take_hold(told, fds.into_iter().next()) {
            return;
        }
        let left = told.until.map(|at| at.saturating_sub(crate::sys::now_ms()));
        let now = self.now();
        let end_by = left.map(|ms| now.saturating_add(ms));
        self.adopt_step(adopted::Event::Told { told, end_by });
    }

    /// False: it is gone already.
    fn take_hold(&mut self, told: Draining, handed: Option<OwnedFd>) -> bool {
        // Without a pidfd of its parent's: a hold first, then a look at who that is.
        let pidfd = handed.or_else(|| {
            let own = death::pidfd(told.pid);
            own.filter(|_| is_it(&told))
        });
        let gone = match &pidfd {
            Some(hold) => death::is_over(hold),
            None => !is_it(&told),
        };
        if gone {
            return false;
        }
        let adopting = &mut self.upgrade.adopting;
        adopting.last_token += 1;
        let token = ADOPTED + (adopting.last_token & 0xffff);
        let watched = pidfd.filter(|fd| match self.watch(fd.as_raw_fd(), token) {
            Ok(()) => true,
            Err(error) => {
                ::log::warn!("{error}: looking for the end of pid {} instead", told.pid);
                false
            }
        });
        let held = Held {
            pidfd: watched,
            token,
            lifeline: None,
        };
        self.upgrade.adopting.held.insert(told.spawn, held);
        true
    }

    pub(super) fn take_lifeline(&mut self, fds: Vec<OwnedFd>) {
        let Some(lifeline) = fds.into_iter().next().map(Rc::new) else {
            return;
        };
        for held in self.upgrade.adopting.held.values_mut() {
            held.lifeline.get_or_insert_with(|| Rc::clone(&lifeline));
        }
    }

    /// The old binary has told of all. Once it has our answer, they outlive it.
    pub(super) fn adopt(&mut self) {
        if self.upgrade.waits() {
            return;
        }
        let held = &self.upgrade.adopting.held;
        if held.values().any(|held| held.lifeline.is_none()) {
            return ::log::warn!(
                "upgrade: out of descriptors: the old binary's workers end with its master"
            );
        }
        if !held.is_empty() {
            ::log::info!("upgrade: {} workers of the old binary adopted", held.len());
        }
        if let Some(last) = &self.upgrade.last {
            last.post(Message::Adopted);
        }
    }

    /// An event of its pidfd.
    pub(in crate::master) fn look_at_adopted(&mut self, token: u64) {
        let held = &self.upgrade.adopting.held;
        let found = held.iter().find(|(_, held)| held.token == token);
        if let Some((&spawn, _)) = found {
            self.adopted_gone(spawn);
        }
    }

    fn adopted_gone(&mut self, spawn: u64) {
        let Some(held) = self.upgrade.adopting.held.remove(&spawn) else {
            return;
        };
        if let Some(pidfd) = &held.pidfd {
            self.unwatch(pidfd.as_raw_fd());
        }
        if let Some(worker) = self.upgrade.adopting.state.find(spawn) {
            let how = if worker.killed {
                "was killed"
            } else {
                "has left"
            };
            ::log::info!("{} {how}", name(&worker.told));
        }
        self.adopt_step(adopted::Event::Gone { spawn });
    }

    pub(super) fn adopted_alone(&mut self) {
        self.adopt_step(adopted::Event::Alone);
    }

    pub(in crate::master) fn stop_adopted(&mut self) {
        let grace = self.rt.config().kill_grace;
        self.adopt_step(adopted::Event::Stop { grace });
    }

    pub(in crate::master) fn hurry_adopted(&mut self) {
        self.adopt_step(adopted::Event::Hurry);
    }

    /// The next binary sees them off. Their lifelines stay here, too, as long as this
    /// process does.
    pub(super) fn pass_adopted_on(&mut self) {
        let held = &self.upgrade.adopting.held;
        for pidfd in held.values().filter_map(|held| held.pidfd.as_ref()) {
            self.unwatch(pidfd.as_raw_fd());
        }
        self.upgrade.adopting.state = Adopted::default();
        self.upgrade.adopting.passed_on = true;
        self.tell_of_adopted();
    }

    pub(in crate::master) fn adopted_deadline(&self) -> Option<u64> {
        let adopting = &self.upgrade.adopting;
        let deadline = adopting.state.deadline().map(|at| self.clock.when(at));
        let look = !adopting.passed_on && adopting.lacks_pidfd();
        let look = look.then_some(adopting.looked + LOOK_MS);
        [deadline, look].into_iter().flatten().min()
    }

    pub(super) fn adopted_tick(&mut self) {
        if self.upgrade.adopting.is_empty() {
            return;
        }
        let now = crate::sys::now_ms();
        if now >= self.upgrade.adopting.looked + LOOK_MS {
            self.upgrade.adopting.looked = now;
            self.sweep_adopted();
        }
        let deadline = self.upgrade.adopting.state.deadline();
        if deadline.is_some_and(|at| at <= self.heard.until().policy) {
            self.adopt_step(adopted::Event::Tick);
        }
    }

    fn sweep_adopted(&mut self) {
        let adopting = &self.upgrade.adopting;
        let is_gone = |worker: &&adopted::Worker| {
            adopting.pidfd(worker.told.spawn).is_none() && !is_it(&worker.told)
        };
        let gone = adopting.state.workers().iter().filter(is_gone);
        let gone: Vec<u64> = gone.map(|worker| worker.told.spawn).collect();
        for spawn in gone {
            self.adopted_gone(spawn);
        }
    }

    fn adopt_step(&mut self, event: adopted::Event) {
        let now = self.now();
        let mut out = Vec::new();
        let adopting = &mut self.upgrade.adopting;
        let before = adopting.state.workers().to_vec();
        adopting.state.step(event, now, &mut out);
        for action in out {
            match action {
                Action::TellStop => self.tell_old_to_stop(),
                Action::Signal { spawn, signal } => self.signal_adopted(spawn, signal),
            }
        }
        if self.upgrade.adopting.state.workers() != before {
            self.tell_of_adopted();
        }
    }

    /// The controller shows them, the policy counts them.
    fn tell_of_adopted(&mut self) {
        let adopting = &self.upgrade.adopting;
        adopting.publish(&self.shared.adopted, |at| self.clock.when(at));
        let count = adopting.state.workers().len();
        self.events.push_back(Event::Adopted(count));
    }

    fn tell_old_to_stop(&self) {
        let before = [&self.upgrade.last, &self.upgrade.first];
        for link in before.into_iter().flatten() {
            link.post(Message::Stop);
        }
    }

    fn signal_adopted(&self, spawn: u64, signal: i32) {
        let adopting = &self.upgrade.adopting;
        let Some(worker) = adopting.state.find(spawn) else {
            return;
        };
        let told = &worker.told;
        if signal == libc::SIGKILL {
            if crate::report::dumps_core(told.pid) {
                return ::log::info!("{}: not killed, it dumps core", name(told));
            }
            ::log::warn!("{} is killed: it did not leave in time", name(told));
        }
        let hold = adopting.pidfd(spawn);
        if hold.is_none() && !is_it(told) {
            return; // somebody else has its pid now
        }
        if let Err(errno) = death::signal(hold, told.pid, signal) {
            ::log::warn!("{}: {}", name(told), errno.desc());
        }
    }
}

/// Does the process with this pid live, and is it the one? Not known means no.
fn is_it(told: &Draining) -> bool {
    told.started != 0 && start_of(told.pid) == Some(told.started)
}

fn name(told: &Draining) -> String {
    let Draining {
        slot,
        generation,
        spawn,
        pid,
        ..
    } = told;
    format!("worker slot {slot} gen {generation} pid {pid} spawn {spawn} of the old binary")
}
