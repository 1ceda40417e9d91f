//! The new binary's part: what it does next. (state, event) -> actions; no system calls.

use super::wire::Message;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Its processes start.
    Starting,
    /// They are ready; the lock is the old one's still.
    Ready,
    /// Its controller acts.
    Updating,
    /// All are up to date; the old one serves still.
    Updated,
    /// It takes over.
    Opening,
    /// It serves, and has said so: too late, perhaps, for the old one may have given up
    /// just before, and serve again.
    Opened,
    /// The old one has heard it.
    Over,
}

/// How far the first generation is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// All workers wait at their gates, and the controller for its lock.
    pub(crate) ready: bool,
    pub(crate) updated: bool,
    pub(crate) serves: bool,
}

pub(crate) enum Event {
    Stands(Standing),
    Heard(Message),
    /// The old binary is gone.
    Gone,
    /// A process of ours failed before we served.
    Failed(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Message),
    /// Epoch 0: the old binary is gone, and has not said.
    Lock {
        epoch: u64,
    },
    TakeOver,
    /// It is not to be: leave, touch nothing. `serves`: it may have clients.
    Quit {
        serves: bool,
    },
}

pub(crate) struct New {
    stage: Stage,
    /// Nobody can be asked any more: go on alone.
    alone: bool,
}

impl New {
    pub(crate) fn begin() -> Self {
        Self {
            stage: Stage::Starting,
            alone: false,
        }
    }

    /// Not in charge yet.
    pub(crate) fn waits(&self) -> bool {
        self.stage < Stage::Opening
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    pub(crate) fn step(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Stands(standing) => self.stands(standing, out),
            Event::Heard(Message::Lock { epoch }) if self.stage == Stage::Ready => {
                self.stage = Stage::Updating;
                out.push(Action::Lock { epoch });
            }
            Event::Heard(Message::Go) if self.stage == Stage::Updated => self.take_over(out),
            Event::Heard(Message::Cancel) if self.stage < Stage::Over => {
                let serves = self.stage == Stage::Opened;
                out.push(Action::Quit { serves });
            }
            Event::Heard(Message::Main { .. }) if self.stage == Stage::Opened => {
                self.stage = Stage::Over;
            }
            Event::Heard(_) => {}
            Event::Gone => {
                self.alone = true;
                // It died before it handed over: nobody else serves.
                if self.stage == Stage::Ready {
                    self.stage = Stage::Updating;
                    out.push(Action::Lock { epoch: 0 });
                } else if self.stage == Stage::Updated {
                    self.take_over(out);
                } else if self.stage == Stage::Opened {
                    self.stage = Stage::Over;
                }
            }
            Event::Failed(why) if self.stage < Stage::Opened && !self.alone => {
                out.push(Action::Send(Message::Failed(why)));
                out.push(Action::Quit { serves: false });
            }
            Event::Failed(_) => {}
        }
    }

    fn stands(&mut self, standing: Standing, out: &mut Vec<Action>) {
        if self.stage == Stage::Starting && standing.ready {
            self.stage = Stage::Ready;
            self.say(Message::Ready, out);
            if self.alone {
                self.stage = Stage::Updating;
                out.push(Action::Lock { epoch: 0 });
            }
        }
        if self.stage == Stage::Updating && standing.updated {
            self.stage = Stage::Updated;
            self.say(Message::Updated, out);
            if self.alone {
                self.take_over(out);
            }
        }
        if self.stage == Stage::Opening && standing.serves {
            self.stage = match self.alone {
                true => Stage::Over,
                false => Stage::Opened,
            };
            self.say(Message::Opened, out);
        }
    }

    fn take_over(&mut self, out: &mut Vec<Action>) {
        self.stage = Stage::Opening;
        out.push(Action::TakeOver);
    }

    fn say(&self, message: Message, out: &mut Vec<Action>) {
        if !self.alone {
            out.push(Action::Send(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Standing = Standing {
        ready: true,
        updated: false,
        serves: false,
    };
    const UPDATED: Standing = Standing {
        updated: true,
        ..READY
    };
    const SERVES: Standing = Standing {
        serves: true,
        ..UPDATED
    };

    fn step(new: &mut New, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        new.step(event, &mut out);
        out
    }

    #[test]
    fn step_by_step() {
        let mut new = New::begin();
        assert!(step(&mut new, Event::Stands(Standing::default())).is_empty());
        let ready = step(&mut new, Event::Stands(READY));
        assert_eq!(ready, [Action::Send(Message::Ready)]);
        assert!(step(&mut new, Event::Stands(READY)).is_empty());
        assert!(
            step(&mut new, Event::Heard(Message::Go)).is_empty(),
            "too early"
        );
        let lock = step(&mut new, Event::Heard(Message::Lock { epoch: 5 }));
        assert_eq!(lock, [Action::Lock { epoch: 5 }]);
        let updated = step(&mut new, Event::Stands(UPDATED));
        assert_eq!(updated, [Action::Send(Message::Updated)]);
        assert!(new.waits());
        assert_eq!(
            step(&mut new, Event::Heard(Message::Go)),
            [Action::TakeOver]
        );
        assert!(!new.waits());
        let opened = step(&mut new, Event::Stands(SERVES));
        assert_eq!(opened, [Action::Send(Message::Opened)]);
        assert!(!new.is_over());
        assert!(step(&mut new, Event::Heard(Message::Main { pid: 7 })).is_empty());
        assert!(new.is_over());
        assert!(
            step(&mut new, Event::Heard(Message::Cancel)).is_empty(),
            "too late"
        );
        assert!(step(&mut new, Event::Gone).is_empty());
    }

    /// The old one gives up in the moment in which this one has opened: it serves again, and
    /// kills whoever does not go.
    #[test]
    fn opened_and_cancelled_at_once() {
        let opened = || {
            let (mut new, mut out) = (New::begin(), Vec::new());
            new.step(Event::Stands(READY), &mut out);
            new.step(Event::Heard(Message::Lock { epoch: 5 }), &mut out);
            new.step(Event::Stands(UPDATED), &mut out);
            new.step(Event::Heard(Message::Go), &mut out);
            new.step(Event::Stands(SERVES), &mut out);
            assert_eq!(out.last(), Some(&Action::Send(Message::Opened)));
            new
        };
        let out = step(&mut opened(), Event::Heard(Message::Cancel));
        assert_eq!(out, [Action::Quit { serves: true }]);
        // A worker that dies is replaced: it serves.
        assert!(step(&mut opened(), Event::Failed("x".into())).is_empty());
        let mut new = opened();
        assert!(step(&mut new, Event::Gone).is_empty() && new.is_over());
    }

    /// The old one dies after each number of steps: we end up in charge.
    #[test]
    fn alone_from_each_step_on() {
        for steps in 0..4 {
            let mut new = New::begin();
            let mut out = Vec::new();
            for at in 0..5 {
                if at == steps {
                    new.step(Event::Gone, &mut out);
                }
                match at {
                    0 => new.step(Event::Stands(READY), &mut out),
                    1 if at < steps => {
                        new.step(Event::Heard(Message::Lock { epoch: 5 }), &mut out);
                    }
                    2 => new.step(Event::Stands(UPDATED), &mut out),
                    3 if at < steps => new.step(Event::Heard(Message::Go), &mut out),
                    4 => new.step(Event::Stands(SERVES), &mut out),
                    _ => {}
                }
            }
            assert!(new.is_over(), "{steps}");
            let overs = out.iter().filter(|a| **a == Action::TakeOver).count();
            let locks = out.iter().filter(|a| matches!(a, Action::Lock { .. }));
            assert_eq!((overs, locks.count()), (1, 1), "{steps}");
        }
    }

    #[test]
    fn a_failure_is_told_and_ends_it() {
        let mut new = New::begin();
        let out = step(&mut new, Event::Failed("no database".into()));
        let told = Action::Send(Message::Failed("no database".into()));
        assert_eq!(out, [told, Action::Quit { serves: false }]);
        let mut new = New::begin();
        step(&mut new, Event::Gone);
        // Nobody else serves: try on.
        assert!(step(&mut new, Event::Failed("no database".into())).is_empty());
    }
}
