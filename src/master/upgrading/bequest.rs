//! The old binary's part with its workers: tell the next one of them, and, when it holds
//! their lifeline, tell them that they may outlive their master.

use crate::channel::Kind;
use crate::daemon::identity::start_of;
use crate::master::Master;
use crate::master::policy::Slot;
use crate::shm::Gauge;
use crate::upgrade::draining::Draining;
use crate::upgrade::link::is_full;
use crate::upgrade::wire::Message;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// What is to be told yet, for the link holds a few hundred messages.
#[derive(Default)]
pub(super) struct Bequest {
    began: bool,
    letters: VecDeque<Letter>,
    /// What was told last, by spawn.
    told: BTreeMap<u64, Draining>,
}

enum Letter {
    Own {
        slot: usize,
        spawn: u64,
    },
    OwnLifeline,
    Adopted {
        spawn: u64,
    },
    Lifeline(Rc<OwnedFd>),
    /// The end.
    Adopt,
}

impl Bequest {
    pub(super) fn is_on_its_way(&self) -> bool {
        !self.letters.is_empty()
    }
}

impl Master {
    /// Once it serves in our place, and ours know that they are to leave, and by when.
    pub(in crate::master) fn bequeath(&mut self) {
        if self.upgrade.successor().is_none() || !self.policy.is_ending() {
            return;
        }
        if !self.upgrade.bequest.began {
            self.upgrade.bequest.began = true;
            self.upgrade.bequest.letters = self.letters();
        }
        while let Some(letter) = self.upgrade.bequest.letters.pop_front() {
            if !self.deliver(&letter) {
                self.upgrade.bequest.letters.push_front(letter);
                return;
            }
        }
    }

    fn letters(&self) -> VecDeque<Letter> {
        let slots = self.policy.slots().iter().enumerate();
        let workers = slots.filter(|(_, slot)| slot.is_worker());
        let mut letters: VecDeque<Letter> = workers
            .filter_map(|(at, slot)| {
                let spawn = slot.child.as_ref()?.spawn;
                Some(Letter::Own { slot: at, spawn })
            })
            .collect();
        if !letters.is_empty() {
            letters.push_back(Letter::OwnLifeline);
        }
        for (lifeline, spawns) in self.upgrade.adopting.lifelines() {
            letters.extend(spawns.into_iter().map(|spawn| Letter::Adopted { spawn }));
            letters.push_back(Letter::Lifeline(lifeline));
        }
        letters.push_back(Letter::Adopt);
        letters
    }

    /// False: there is no room at the moment.
    fn deliver(&mut self, letter: &Letter) -> bool {
        let pidfds = &self.pidfds;
        let adopting = &self.upgrade.adopting;
        let (message, fd): (_, Option<BorrowedFd<'_>>) = match letter {
            Letter::Own { slot, spawn } => match self.describe(*slot, *spawn) {
                Some(told) => {
                    let pidfd = pidfds[*slot].as_ref().map(AsFd::as_fd);
                    (Message::Worker(told), pidfd)
                }
                None => return true, // it has left
            },
            Letter::Adopted { spawn } => match adopting.state.find(*spawn) {
                Some(worker) => {
                    let pidfd = adopting.pidfd(*spawn).map(AsFd::as_fd);
                    (Message::Worker(worker.told), pidfd)
                }
                None => return true,
            },
            Letter::OwnLifeline => match &self.lifeline {
                Some(lifeline) => (Message::Lifeline, Some(lifeline.master.as_fd())),
                None => return true,
            },
            Letter::Lifeline(fd) => (Message::Lifeline, Some(fd.as_fd())),
            Letter::Adopt => (Message::Adopt, None),
        };
        let Some(next) = &self.upgrade.next else {
            return true;
        };
        let sent = next.link.send(&message, fd.as_slice());
        let full = sent.is_err_and(|error| is_full(&error));
        if let (Message::Worker(told), false) = (message, full) {
            self.upgrade.bequest.told.insert(told.spawn, told);
        }
        !full
    }

    fn describe(&self, slot: usize, spawn: u64) -> Option<Draining> {
        let found = self.policy.slots().get(slot)?;
        let child = found.child.as_ref().filter(|c| c.spawn == spawn)?;
        let clients = self.shared.board.get(slot, Gauge::Clients);
        let known = self.upgrade.bequest.told.get(&spawn);
        let started = match known {
            Some(told) => told.started,
            None => start_of(child.pid).unwrap_or(0),
        };
        Some(Draining {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: found.generation,
            spawn,
            pid: child.pid,
            started,
            until: self.killed_at(found),
            clients: Some(u32::try_from(clients).unwrap_or(u32::MAX)),
        })
    }

    /// When it is killed if it is still there, CLOCK_MONOTONIC.
    fn killed_at(&self, slot: &Slot) -> Option<u64> {
        let stop = slot.child.as_ref()?.stop?;
        stop.deadline.map(|at| self.clock.when(at))
    }

    /// What has changed since.
    pub(super) fn bequeath_changes(&mut self) {
        if !self.upgrade.bequest.began {
            return;
        }
        let known: Vec<u64> = self.upgrade.bequest.told.keys().copied().collect();
        for spawn in known {
            let slots = self.policy.slots().iter();
            let is_it = |s: &Slot| s.child.as_ref().is_some_and(|c| c.spawn == spawn);
            let slot = slots.enumerate().find(|(_, s)| is_it(s)).map(|(at, _)| at);
            let Some(told) = slot.and_then(|slot| self.describe(slot, spawn)) else {
                continue;
            };
            if self.upgrade.bequest.told.get(&spawn) != Some(&told) {
                self.tell_next(Message::Worker(told));
                self.upgrade.bequest.told.insert(spawn, told);
            }
        }
    }

    /// The next binary holds all lifelines: ours may let go of their parent.
    pub(super) fn bequeathed(&mut self) {
        let workers = self.policy.slots().iter().enumerate();
        let workers: Vec<(usize, u64)> = workers
            .filter(|(_, slot)| slot.is_worker() && slot.child.is_some())
            .map(|(at, slot)| (at, self.killed_at(slot).unwrap_or(u64::MAX)))
            .collect();
        if !workers.is_empty() {
            let count = workers.len();
            ::log::info!("upgrade: the new binary has adopted our {count} workers");
        }
        for (slot, until) in workers {
            self.tell(slot, Kind::Adopted, until);
        }
        self.pass_adopted_on();
    }
}
