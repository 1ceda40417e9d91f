//! The old binary's part: what it does next. (state, event) -> actions; no system calls.

use super::wire::Message;
use crate::ffi::{DTM_EFAILED, DTM_OK};
use crate::master::policy::Asker;

type Ms = u64;

/// A new binary that was told to go gets this long to end by itself, ms.
const GRACE_MS: Ms = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It starts.
    Starting,
    /// Our controller lets go of its lock.
    Unlocking,
    /// Its controller brings its workers up to date.
    Updating,
    /// It takes over.
    Opening,
    /// It serves; we drain.
    Over,
    /// It failed, and is to end.
    Failed,
}

struct Running {
    pid: i32,
    stage: Stage,
    /// How far it came, if it failed.
    reached: Stage,
    deadline: Ms,
    asker: Asker,
}

#[derive(Default)]
pub(crate) struct Old {
    running: Option<Running>,
}

pub(crate) enum Event {
    /// It was started.
    Started {
        pid: i32,
        asker: Asker,
        deadline: Ms,
    },
    Heard(Message),
    /// Our controller has let go.
    Unlocked,
    /// The new process ended. `how`: for people.
    Died {
        how: String,
    },
    /// The service is to end, or the like.
    Disturbed {
        why: &'static str,
    },
    Tick,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Message),
    /// Have our controller let go of its lock, or have it act again.
    Unlock,
    Relock,
    /// Let go of the accept groups, or take them back: at once when it fails, for somebody has
    /// to serve, and again when it is gone, for it may have taken over all the same.
    LetGo,
    TakeBack,
    /// Hand over the lock with the next epoch.
    PassLock,
    /// The new one serves: drain and leave.
    Retire {
        pid: i32,
    },
    Kill {
        pid: i32,
    },
    Reply {
        asker: Asker,
        code: i32,
        text: String,
    },
}

impl Old {
    /// One is on its way.
    pub(crate) fn busy(&self) -> bool {
        self.running.is_some()
    }

    /// The process that serves in our place.
    pub(crate) fn successor(&self) -> Option<i32> {
        let over = self.running.as_ref().filter(|r| r.stage == Stage::Over);
        over.map(|r| r.pid)
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|r| r.pid)
    }

    pub(crate) fn deadline(&self) -> Option<Ms> {
        let waiting = self.running.as_ref().filter(|r| r.stage != Stage::Over);
        waiting.map(|r| r.deadline)
    }

    pub(crate) fn step(&mut self, event: Event, now: Ms, out: &mut Vec<Action>) {
        match event {
            Event::Started {
                pid,
                asker,
                deadline,
            } => {
                self.running = Some(Running {
                    pid,
                    stage: Stage::Starting,
                    reached: Stage::Starting,
                    deadline,
                    asker,
                });
            }
            Event::Heard(message) => self.heard(message, now, out),
            Event::Unlocked => {
                if self.reach(Stage::Unlocking, Stage::Updating) {
                    out.push(Action::PassLock);
                }
            }
            Event::Died { how } => self.died(&how, now, out),
            Event::Disturbed { why } => self.fail(why, now, out),
            Event::Tick => self.tick(now, out),
        }
    }

    fn heard(&mut self, message: Message, now: Ms, out: &mut Vec<Action>) {
        match message {
            Message::Ready if self.reach(Stage::Starting, Stage::Unlocking) => {
                out.push(Action::Unlock);
            }
            Message::Updated if self.reach(Stage::Updating, Stage::Opening) => {
                out.push(Action::LetGo);
                out.push(Action::Send(Message::Go));
            }
            Message::Opened if self.reach(Stage::Opening, Stage::Over) => {
                if let Some(running) = &self.running {
                    let (pid, asker) = (running.pid, running.asker);
                    let text = format!("the new binary serves as pid {pid}, this one drains");
                    let code = DTM_OK;
                    out.push(Action::Reply { asker, code, text });
                    out.push(Action::Retire { pid });
                }
            }
            Message::Failed(why) => self.fail(&why, now, out),
            _ => {}
        }
    }

    /// From one stage to the next; anything else comes too early or too late.
    fn reach(&mut self, from: Stage, to: Stage) -> bool {
        match &mut self.running {
            Some(running) if running.stage == from => {
                running.stage = to;
                true
            }
            _ => false,
        }
    }

    fn tick(&mut self, now: Ms, out: &mut Vec<Action>) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.stage == Stage::Over || running.deadline > now {
            return;
        }
        if running.stage == Stage::Failed {
            running.deadline = now + GRACE_MS;
            return out.push(Action::Kill { pid: running.pid });
        }
        let what = match running.stage {
            Stage::Starting => "it was not ready in time (upgrade_timeout)",
            Stage::Unlocking => "our controller did not let go of its lock in time",
            _ => "it did not take over in time (upgrade_timeout)",
        };
        self.fail(what, now, out);
    }

    /// Take back what was let go of; whoever asked is told why. The lock that was passed on
    /// stays so until the new one is gone: never do two controllers act.
    fn fail(&mut self, why: &str, now: Ms, out: &mut Vec<Action>) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.stage >= Stage::Over {
            return;
        }
        let stage = std::mem::replace(&mut running.stage, Stage::Failed);
        running.reached = stage;
        running.deadline = now + GRACE_MS;
        out.push(Action::Send(Message::Cancel));
        if stage >= Stage::Opening {
            out.push(Action::TakeBack);
        }
        if stage == Stage::Unlocking {
            out.push(Action::Relock);
        }
        out.push(Action::Reply {
            asker: running.asker,
            code: DTM_EFAILED,
            text: format!("upgrade: {why}; the old binary serves on"),
        });
    }

    fn died(&mut self, how: &str, now: Ms, out: &mut Vec<Action>) {
        self.fail(&format!("the new binary {how}"), now, out);
        let Some(failed) = self.running.take_if(|r| r.stage == Stage::Failed) else {
            return;
        };
        if failed.reached >= Stage::Opening {
            out.push(Action::TakeBack);
        }
        if failed.reached >= Stage::Updating {
            out.push(Action::Relock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASKER: Asker = Asker::Signal(12);

    fn started() -> Old {
        let mut old = Old::default();
        let (pid, asker, deadline) = (7, ASKER, 1_000);
        step(
            &mut old,
            Event::Started {
                pid,
                asker,
                deadline,
            },
            0,
        );
        old
    }

    fn step(old: &mut Old, event: Event, now: Ms) -> Vec<Action> {
        let mut out = Vec::new();
        old.step(event, now, &mut out);
        out
    }

    fn heard(old: &mut Old, message: Message) -> Vec<Action> {
        step(old, Event::Heard(message), 10)
    }

    #[test]
    fn step_by_step() {
        let mut old = started();
        assert_eq!(heard(&mut old, Message::Ready), [Action::Unlock]);
        assert_eq!(step(&mut old, Event::Unlocked, 10), [Action::PassLock]);
        assert_eq!(
            heard(&mut old, Message::Updated),
            [Action::LetGo, Action::Send(Message::Go)]
        );
        let out = heard(&mut old, Message::Opened);
        assert!(matches!(&out[0], Action::Reply { code: 0, .. }));
        assert_eq!(out[1], Action::Retire { pid: 7 });
        assert_eq!((old.successor(), old.deadline()), (Some(7), None));
        // What becomes of it is no matter of ours any more.
        let how = "died".to_owned();
        assert!(step(&mut old, Event::Died { how }, 10).is_empty());
        assert_eq!(old.successor(), Some(7));
    }

    /// After each number of steps: what was let go of is taken back at once, and again when
    /// the new one is gone; not before that the lock, if it had it.
    #[test]
    fn a_failure_at_each_step() {
        for steps in 0..4 {
            let mut old = started();
            if steps > 0 {
                heard(&mut old, Message::Ready);
            }
            if steps > 1 {
                step(&mut old, Event::Unlocked, 10);
            }
            if steps > 2 {
                heard(&mut old, Message::Updated);
            }
            let out = step(&mut old, Event::Tick, 1_000);
            assert_eq!(out[0], Action::Send(Message::Cancel));
            assert_eq!(out.contains(&Action::TakeBack), steps > 2);
            assert_eq!(out.contains(&Action::Relock), steps == 1);
            assert!(matches!(out.last(), Some(Action::Reply { code, .. }) if *code < 0));
            // It is killed if it does not go, and until then nothing new begins.
            assert!(old.busy());
            assert!(heard(&mut old, Message::Opened).is_empty());
            assert_eq!(
                step(&mut old, Event::Tick, 3_000),
                [Action::Kill { pid: 7 }]
            );
            let how = "was killed".to_owned();
            let expected: &[Action] = match steps {
                0 | 1 => &[],
                2 => &[Action::Relock],
                _ => &[Action::TakeBack, Action::Relock],
            };
            assert_eq!(step(&mut old, Event::Died { how }, 3_000), expected);
            assert!(!old.busy());
        }
    }

    proptest! {
        /// Whatever it says in whatever order: one answer, and never both ways out. Who has not
        /// been replaced has in the end what he had, and the lock never beside the new one.
        #[test]
        fn one_answer(words in proptest::collection::vec(0..7u8, 0..20)) {
            let mut old = started();
            let mut out = Vec::new();
            for (now, word) in (1u64..).zip(words.into_iter().chain([5])) {
                let event = match word {
                    0 => Event::Heard(Message::Ready),
                    1 => Event::Unlocked,
                    2 => Event::Heard(Message::Updated),
                    3 => Event::Heard(Message::Opened),
                    4 => Event::Heard(Message::Failed("x".into())),
                    5 => Event::Died { how: "died".into() },
                    _ => Event::Tick,
                };
                let (died, before) = (word == 5, out.len());
                old.step(event, now * 100, &mut out);
                let passed = out.contains(&Action::PassLock);
                prop_assert!(died || !passed || !out[before..].contains(&Action::Relock));
            }
            let count = |f: fn(&Action) -> bool| out.iter().filter(|a| f(a)).count();
            let answers = count(|a| matches!(a, Action::Reply { .. }));
            let retired = count(|a| matches!(a, Action::Retire { .. }));
            let cancelled = count(|a| matches!(a, Action::Send(Message::Cancel)));
            prop_assert!(answers == 1 && retired + cancelled == answers);
            let unlocked = count(|a| *a == Action::Unlock);
            prop_assert_eq!(count(|a| *a == Action::Relock) + retired, unlocked);
            let let_go = count(|a| *a == Action::LetGo) - retired;
            prop_assert_eq!(count(|a| *a == Action::TakeBack), 2 * let_go);
        }
    }
}
