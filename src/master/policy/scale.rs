//! How many workers there should be, between a least and a largest number: enough that
//! some are idle, so that the next client finds one (php-fpm's `dynamic`, uWSGI's
//! `cheaper`), and more at once when connections wait although all are busy.

use super::*;
use crate::config::Scale;

/// So many looks in a row must find more idle ones than wanted before one goes: growing is
/// urgent, shrinking is not.
const CALM: u32 = 10;
/// Growing doubles its step up to this.
const STEP_MAX: u32 = 32;

/// What one look has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Open workers without load.
    pub(crate) idle: u32,
    /// Connections wait for a worker that takes them.
    pub(crate) waiting: bool,
}

#[derive(Debug, Default)]
pub(super) struct Scaler {
    step: u32,
    calm: u32,
}

impl Scaler {
    /// The number of workers to have instead of `workers`, of which `starting` are not
    /// open yet; `None`: it is right, or not yet clear.
    fn decide(&mut self, scale: Scale, workers: u32, starting: u32, demand: Demand) -> Option<u32> {
        let within = workers.clamp(scale.min, scale.max);
        if within != workers {
            return Some(within);
        }
        if starting > 0 {
            return None; // what was asked for is on its way
        }
        let short = demand.idle < scale.spare || demand.waiting;
        let wanted = if short {
            self.calm = 0;
            self.step = (self.step * 2).clamp(1, STEP_MAX);
            workers.saturating_add(self.step).min(scale.max)
        } else if demand.idle > scale.spare {
            self.step = 0;
            self.calm += 1;
            if self.calm < CALM {
                return None;
            }
            self.calm = 0;
            workers.saturating_sub(1).max(scale.min)
        } else {
            (self.step, self.calm) = (0, 0);
            workers
        };
        (wanted != workers).then_some(wanted)
    }
}

impl Policy {
    /// The master has looked how busy its workers are.
    pub(super) fn demanded(&mut self, demand: Demand, now: Ms, out: &mut Actions) {
        let Some(scale) = self.settings.scale else {
            return;
        };
        if self.reload.is_some() || self.loading.is_some() || self.stopped || self.banned {
            return;
        }
        let from = self.settings.workers;
        let starting = self.starting();
        if let Some(to) = self.scaler.decide(scale, from, starting, demand) {
            let why = match demand.waiting {
                _ if to < from => "more are idle than wanted",
                true => "connections wait",
                false => "too few are idle",
            };
            match self.try_scale(to, now, out) {
                Ok(()) => out.push(Action::Note(Note::Scale { from, to, why })),
                Err((_, text)) => out.push(Action::Note(Note::CannotScale { text })),
            }
        }
    }

    /// Workers of the serving generation that are wanted and not open.
    fn starting(&self) -> u32 {
        let open = |s: &Slot| s.child.as_ref().is_some_and(|c| c.phase == Phase::Open);
        let wanted = |s: &&Slot| {
            s.is_worker() && s.generation == self.serving && !s.failed && s.replaces.is_none()
        };
        let count = self
            .slots
            .iter()
            .filter(wanted)
            .filter(|s| !open(s))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Automatic scaling has not got down to its least yet: it looks on when all is quiet.
    pub(crate) fn may_shrink(&self) -> bool {
        let scale = self.settings.scale;
        scale.is_some_and(|scale| self.settings.workers > scale.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCALE: Scale = Scale {
        min: 2,
        max: 40,
        spare: 2,
    };

    /// Looks at a service of which so many workers are busy at a time, until nothing has
    /// changed for a while; how many workers there are then, and how often it changed.
    fn settle(scaler: &mut Scaler, mut workers: u32, busy: u32) -> (u32, u32) {
        let (mut changes, mut quiet) = (0, 0);
        while quiet < 3 * CALM {
            let demand = Demand {
                idle: workers.saturating_sub(busy),
                waiting: busy > workers,
            };
            quiet += 1;
            if let Some(next) = scaler.decide(SCALE, workers, 0, demand) {
                (workers, quiet) = (next, 0);
                changes += 1;
                assert!(changes < 200, "it never settles");
            }
        }
        (workers, changes)
    }

    #[test]
    fn grows_fast_and_shrinks_slowly() {
        let mut scaler = Scaler::default();
        let none = Demand::default();
        let mut seen = vec![2];
        while let Some(next) = scaler.decide(SCALE, seen[seen.len() - 1], 0, none) {
            seen.push(next);
        }
        assert_eq!(seen, [2, 3, 5, 9, 17, 33, 40]);
        let idle = Demand {
            idle: 40,
            waiting: false,
        };
        let first = (1..).find(|_| scaler.decide(SCALE, 40, 0, idle).is_some());
        assert_eq!(first, Some(CALM));
    }

    #[test]
    fn waits_for_what_it_has_asked_for() {
        let mut scaler = Scaler::default();
        assert_eq!(scaler.decide(SCALE, 4, 1, Demand::default()), None);
        assert_eq!(scaler.decide(SCALE, 1, 1, Demand::default()), Some(2));
        assert_eq!(scaler.decide(SCALE, 50, 1, Demand::default()), Some(40));
    }

    proptest! {
        /// Under a steady load it comes to rest, with the idle ones that are wanted if that
        /// can be had, and stays there.
        #[test]
        fn comes_to_rest(start in 2..=40u32, busy in 0..60u32) {
            let mut scaler = Scaler::default();
            let (workers, _) = settle(&mut scaler, start, busy);
            prop_assert_eq!(workers, (busy + SCALE.spare).clamp(SCALE.min, SCALE.max));
            prop_assert_eq!(settle(&mut scaler, workers, busy), (workers, 0));
        }

        /// Whatever it is told: never outside, never down while connections wait.
        #[test]
        fn stays_within(looks in prop::collection::vec((0..60u32, any::<bool>(), 0..2u32), 0..200)) {
            let mut scaler = Scaler::default();
            let mut workers = 2;
            for (idle, waiting, starting) in looks {
                let demand = Demand { idle, waiting };
                if let Some(next) = scaler.decide(SCALE, workers, starting, demand) {
                    prop_assert!((SCALE.min..=SCALE.max).contains(&next) && next != workers);
                    prop_assert!(!waiting || next > workers);
                    prop_assert!(next + 1 >= workers);
                    workers = next;
                }
            }
        }
    }
}
