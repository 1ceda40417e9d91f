//! The workers of the binary before this one, until they have left: who is there, and who
//! has to be ended. (state, event, now) -> actions; no system calls.
//!
//! The old master ends its workers itself, as long as it lives and works. So this one waits
//! a little longer than that, and need not know whether the other one is dead, or stopped.

use super::draining::Draining;

type Ms = u64;

/// The old master, if it is there, comes first.
const MARGIN_MS: Ms = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) told: Draining,
    /// When it should be gone; None: there is no limit.
    pub(crate) end_by: Option<Ms>,
    /// It was told to leave now, and no longer by the end of its drain.
    hurried: bool,
    pub(crate) killed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Adopted {
    workers: Vec<Worker>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The old binary tells of one, for the first time or again.
    Told {
        told: Draining,
        end_by: Option<Ms>,
    },
    /// It has ended.
    Gone {
        spawn: u64,
    },
    /// The old binary has: nobody counts their clients any more.
    Alone,
    /// This service ends at once, or, if it ends in order, has been asked again.
    Stop {
        grace: Ms,
    },
    /// Asked once more: nobody gets any more time.
    Hurry,
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The old master, if it lives, ends its service at once.
    TellStop,
    /// `signal`: it should leave now, or it is killed.
    Signal { spawn: u64, signal: i32 },
}

impl Adopted {
    pub(crate) fn workers(&self) -> &[Worker] {
        &self.workers
    }

    pub(crate) fn find(&self, spawn: u64) -> Option<&Worker> {
        self.workers.iter().find(|w| w.told.spawn == spawn)
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Ms> {
        let waiting = self.workers.iter().filter(|w| !w.killed);
        waiting.filter_map(Worker::kill_at).min()
    }

    pub(crate) fn step(&mut self, event: Event, now: Ms, out: &mut Vec<Action>) {
        match event {
            Event::Told { told, end_by } => self.told(told, end_by),
            Event::Gone { spawn } => self.workers.retain(|w| w.told.spawn != spawn),
            Event::Alone => {
                for worker in &mut self.workers {
                    worker.told.clients = None;
                }
            }
            Event::Stop { grace } => self.stop(grace, now, out),
            Event::Hurry => self.kill(|_| true, out),
            Event::Tick => self.kill(|worker| worker.kill_at().is_some_and(|at| at <= now), out),
        }
    }

    fn told(&mut self, told: Draining, end_by: Option<Ms>) {
        let known = self.workers.iter_mut().find(|w| w.told.spawn == told.spawn);
        match known {
            Some(worker) => {
                worker.told = told;
                if !worker.hurried {
                    worker.end_by = end_by;
                }
            }
            None => self.workers.push(Worker {
                told,
                end_by,
                hurried: false,
                killed: false,
            }),
        }
    }

    fn stop(&mut self, grace: Ms, now: Ms, out: &mut Vec<Action>) {
        if !self.workers.is_empty() {
            out.push(Action::TellStop);
        }
        for worker in self.workers.iter_mut().filter(|w| !w.killed) {
            worker.hurry(now.saturating_add(grace));
            out.push(Action::Signal {
                spawn: worker.told.spawn,
                signal: libc::SIGTERM,
            });
        }
    }

    fn kill(&mut self, whom: impl Fn(&Worker) -> bool, out: &mut Vec<Action>) {
        let alive = self.workers.iter_mut().filter(|w| !w.killed && whom(w));
        for worker in alive {
            worker.killed = true;
            out.push(Action::Signal {
                spawn: worker.told.spawn,
                signal: libc::SIGKILL,
            });
        }
    }
}

impl Worker {
    fn kill_at(&self) -> Option<Ms> {
        self.end_by.map(|at| at.saturating_add(MARGIN_MS))
    }

    fn hurry(&mut self, by: Ms) {
        self.hurried = true;
        self.end_by = Some(self.end_by.map_or(by, |at| at.min(by)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(spawn: u64, end_by: Option<Ms>) -> Event {
        let pid = 100 + i32::try_from(spawn).unwrap();
        let told = Draining {
            spawn,
            pid,
            clients: Some(1),
            ..Draining::default()
        };
        Event::Told { told, end_by }
    }

    fn step(adopted: &mut Adopted, event: Event, now: Ms) -> Vec<Action> {
        let mut out = Vec::new();
        adopted.step(event, now, &mut out);
        out
    }

    fn kill(spawn: u64) -> Action {
        let signal = libc::SIGKILL;
        Action::Signal { spawn, signal }
    }

    #[test]
    fn the_late_are_killed_once() {
        let mut adopted = Adopted::default();
        step(&mut adopted, told(1, Some(1_000)), 0);
        step(&mut adopted, told(2, None), 0);
        assert_eq!(adopted.deadline(), Some(1_000 + MARGIN_MS));
        assert!(step(&mut adopted, Event::Tick, 999 + MARGIN_MS).is_empty());
        let out = step(&mut adopted, Event::Tick, 1_000 + MARGIN_MS);
        assert_eq!(out, [kill(1)]);
        assert!(step(&mut adopted, Event::Tick, 9_000).is_empty());
        assert_eq!(adopted.deadline(), None, "the other one has no limit");
        step(&mut adopted, Event::Gone { spawn: 1 }, 9_000);
        assert_eq!(adopted.workers().len(), 1);
    }

    #[test]
    fn a_fast_end_gives_them_the_grace() {
        let mut adopted = Adopted::default();
        let stop = Event::Stop { grace: 500 };
        assert!(step(&mut adopted, stop, 0).is_empty());
        step(&mut adopted, told(1, None), 0);
        let signal = libc::SIGTERM;
        let out = step(&mut adopted, stop, 100);
        assert_eq!(out, [Action::TellStop, Action::Signal { spawn: 1, signal }]);
        // What the old one still says does not give them more time.
        step(&mut adopted, told(1, Some(99_000)), 200);
        assert_eq!(adopted.deadline(), Some(600 + MARGIN_MS));
        assert_eq!(step(&mut adopted, Event::Hurry, 300), [kill(1)]);
    }

    #[test]
    fn nobody_counts_for_a_dead_master() {
        let mut adopted = Adopted::default();
        step(&mut adopted, told(1, None), 0);
        assert_eq!(adopted.find(1).unwrap().told.clients, Some(1));
        step(&mut adopted, Event::Alone, 1);
        assert_eq!(adopted.find(1).unwrap().told.clients, None);
    }

    proptest! {
        /// Whatever happens: a signal goes only to who is there, SIGKILL once, and not
        /// before its time, nor before all was heard; who has a limit is due, or was killed.
        #[test]
        fn nobody_is_killed_early_or_forgotten(
            events in proptest::collection::vec((0..8u8, 1..4u64, 0..5_000u64), 0..60),
        ) {
            let mut adopted = Adopted::default();
            let mut killed = std::collections::BTreeSet::new();
            let (mut now, mut hurried) = (0, false);
            for (what, spawn, ms) in events {
                now += ms;
                let event = match what {
                    0..3 if !killed.contains(&spawn) => told(spawn, (ms > 1_000).then_some(now + ms)),
                    3 => Event::Gone { spawn },
                    4 => Event::Alone,
                    5 if ms > 4_000 => Event::Stop { grace: ms },
                    6 if ms > 4_000 => Event::Hurry,
                    _ => Event::Tick,
                };
                hurried |= matches!(event, Event::Hurry);
                let tick = matches!(event, Event::Tick);
                for action in step(&mut adopted, event, now) {
                    let Action::Signal { spawn, signal } = action else { continue };
                    let worker = *adopted.find(spawn).unwrap();
                    if signal == libc::SIGKILL {
                        prop_assert!(killed.insert(spawn), "twice");
                        prop_assert!(hurried || tick && worker.kill_at().unwrap() <= now);
                    } else {
                        prop_assert!(!killed.contains(&spawn), "it is dead");
                    }
                }
                if let Event::Gone { spawn } = event {
                    prop_assert!(adopted.find(spawn).is_none());
                    killed.remove(&spawn);
                }
                for worker in adopted.workers() {
                    let due = adopted.deadline().is_some_and(|at| !tick || at > now);
                    prop_assert!(worker.killed || worker.end_by.is_none() || due);
                }
            }
        }
    }
}
