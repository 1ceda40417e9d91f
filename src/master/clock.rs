//! The time by which the policy counts: CLOCK_MONOTONIC without what passed while the
//! master stood still (stopped, frozen with all others, in a callback, or without a CPU).
//! It could hear of nobody meanwhile, so nobody is late for it. A13

use crate::channel::{AT_ONCE, MESSAGES_MAX};

/// The longest wait while the policy has a deadline: no standstill is charged with more
/// than this.
const STEP_MS: u64 = 500;
/// What may pass from one mark to the next on a busy machine.
const LATE_MS: u64 = 500;

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    pub(super) policy: u64,
    pub(super) real: u64,
}

/// Until when everybody was heard. Who is judged by a deadline is judged by this: was it late,
/// or the master?
#[derive(Debug, Default)]
pub(super) struct Heard {
    until: Moment,
    /// How often in a row somebody had more to say than is read at once.
    behind: usize,
    has_more: bool,
}

impl Heard {
    /// Whatever was said, or happened, before then has been heard.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// One channel was read, and may hold more.
    pub(super) fn leave_some(&mut self) {
        self.has_more = true;
    }

    /// What was there at that moment has been read; None: a signal came first. Who does not
    /// stop talking is not waited for: he has said as much as a channel holds.
    pub(super) fn note(&mut self, asked: Option<Moment>) {
        self.behind = match std::mem::take(&mut self.has_more) {
            true if self.behind < MESSAGES_MAX / AT_ONCE => self.behind + 1,
            _ => 0,
        };
        if self.behind == 0 {
            self.until = asked.unwrap_or(self.until);
        }
    }
}

#[derive(Debug)]
pub(super) struct Clock {
    lost: u64,
    seen: u64,
}

impl Clock {
    pub(super) fn new(now: u64) -> Self {
        Self { lost: 0, seen: now }
    }

    /// It is `now`, and since the last mark the master may have waited for `wait` ms;
    /// `None`: for as long as it liked. Returns how long it stood still.
    pub(super) fn mark(&mut self, now: u64, wait: Option<u64>) -> u64 {
        let late = wait.map_or(0, |wait| (now - self.seen).saturating_sub(wait));
        let lost = if late > LATE_MS { late } else { 0 };
        self.seen = now;
        self.lost += lost;
        lost
    }

    /// The policy's time at the last mark.
    pub(super) fn time(&self) -> u64 {
        self.seen - self.lost
    }

    /// The last mark.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            policy: self.time(),
            real: self.seen,
        }
    }

    /// When the policy's time will be that.
    pub(super) fn when(&self, policy: u64) -> u64 {
        policy.saturating_add(self.lost)
    }

    /// How long to wait from `now` on: at most until `wake`. `deadline`: the policy has one.
    pub(super) fn wait(now: u64, wake: Option<u64>, deadline: bool) -> Option<u64> {
        let wait = wake.map(|at| at.saturating_sub(now));
        if deadline {
            return wait.map(|ms| ms.min(STEP_MS));
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_does_not_count() {
        let mut clock = Clock::new(10_000);
        let deadline = clock.time() + 2_000;
        let wait = Clock::wait(10_000, Some(clock.when(deadline)), true);
        assert_eq!(wait, Some(STEP_MS));
        assert_eq!(clock.mark(70_000, wait), 60_000 - STEP_MS);
        assert_eq!(clock.time(), 10_000 + STEP_MS);
        assert_eq!(clock.when(deadline), 70_000 + 2_000 - STEP_MS);
        // The rest of its time passes as usual.
        assert_eq!(clock.mark(71_400, Some(1_400)), 0);
        let wait = Clock::wait(71_400, Some(clock.when(deadline)), true);
        assert_eq!(wait, Some(100));
        assert_eq!(clock.mark(71_501, wait), 0);
        assert!(clock.time() >= deadline);
        // At work instead of in a wait.
        assert_eq!(clock.mark(75_000, Some(0)), 3_499);
    }

    #[test]
    fn everybody_was_heard_but_who_does_not_stop() {
        let at = |ms| {
            Some(Moment {
                policy: ms,
                real: ms,
            })
        };
        let mut heard = Heard::default();
        heard.note(at(5));
        assert_eq!(heard.until().real, 5);
        heard.note(None);
        assert_eq!(heard.until().real, 5);
        heard.leave_some();
        heard.note(at(6));
        assert_eq!(heard.until().real, 5, "there was more");
        heard.note(at(7));
        assert_eq!(heard.until().real, 7);
        for ms in 8..=1_000 {
            heard.leave_some();
            heard.note(at(ms));
        }
        let late = 1_000 - heard.until().real;
        assert!(late <= 64, "{late}");
    }

    #[test]
    fn a_late_wake_up_is_no_standstill_and_idling_is_none_either() {
        let mut clock = Clock::new(1_000);
        assert_eq!(clock.mark(1_010 + LATE_MS, Some(10)), 0);
        assert_eq!(Clock::wait(1_000, None, false), None);
        assert_eq!(clock.mark(1_000_000, None), 0);
        assert_eq!(Clock::wait(0, Some(3_000_000), false), Some(3_000_000));
    }
}
