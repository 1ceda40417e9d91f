//! The time by which the policy counts: CLOCK_MONOTONIC without what passed while the
//! master stood still (stopped, frozen with all others, or without a CPU). Nobody could
//! get ready, drain or answer to it meanwhile, so nobody is late for it. A13

/// The longest wait while a deadline is near enough to count: no standstill is charged
/// with more than this.
const STEP_MS: u64 = 500;
/// A wait may take so much longer on a busy machine.
const LATE_MS: u64 = 500;

#[derive(Debug, Default)]
pub(super) struct Clock {
    lost: u64,
}

impl Clock {
    /// The policy's time at this time.
    pub(super) fn at(&self, now: u64) -> u64 {
        now - self.lost
    }

    /// When the policy's time will be that.
    pub(super) fn when(&self, policy: u64) -> u64 {
        policy.saturating_add(self.lost)
    }

    /// How long to wait: at most until `wake`. `deadline`: the policy has one.
    pub(super) fn wait(&self, now: u64, wake: Option<u64>, deadline: bool) -> Option<u64> {
        let wait = wake.map(|at| at.saturating_sub(now));
        if deadline {
            return wait.map(|ms| ms.min(STEP_MS));
        }
        wait
    }

    /// A wait that was to take `wait` ms at most went from `from` to `to`. Returns how
    /// long the process stood still.
    pub(super) fn waited(&mut self, wait: Option<u64>, from: u64, to: u64) -> u64 {
        let late = wait.map_or(0, |wait| to.saturating_sub(from).saturating_sub(wait));
        let lost = if late > LATE_MS { late } else { 0 };
        self.lost += lost;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_does_not_count() {
        let mut clock = Clock::default();
        let deadline = clock.at(10_000) + 2_000;
        let wait = clock.wait(10_000, Some(clock.when(deadline)), true);
        assert_eq!(wait, Some(STEP_MS));
        assert_eq!(clock.waited(wait, 10_000, 70_000), 60_000 - STEP_MS);
        assert_eq!(clock.at(70_000), 10_000 + STEP_MS);
        assert_eq!(clock.when(deadline), 70_000 + 2_000 - STEP_MS);
        // The rest of its time passes as usual.
        let wait = clock.wait(71_400, Some(clock.when(deadline)), true);
        assert_eq!(wait, Some(100));
        assert_eq!(clock.waited(wait, 71_400, 71_501), 0);
        assert!(clock.at(71_501) >= deadline);
    }

    #[test]
    fn a_late_wake_up_is_no_standstill_and_idling_is_none_either() {
        let mut clock = Clock::default();
        assert_eq!(clock.waited(Some(10), 1_000, 1_010 + LATE_MS), 0);
        assert_eq!(clock.wait(1_000, None, false), None);
        assert_eq!(clock.waited(None, 1_000, 1_000_000), 0);
        assert_eq!(clock.wait(0, Some(3_000_000), false), Some(3_000_000));
    }
}
