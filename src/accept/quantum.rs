//! How many clients a worker takes with one token, where clients come and go. Pure.
//!
//! To hand a token on takes two system calls, and wakes another process up for the next
//! client. A client that came and is gone again has not changed who is least loaded; so for
//! each of those a worker has *credit* for one that it may accept and keep the token, as long
//! as its load is above the least one by no more than [`SLACK`]. With [`QUANTUM`] of them it
//! hands the token on, whatever is left of its credit; so all get their turn, and where nobody
//! leaves, nobody has any credit, and loads are as equal as without it.
//!
//! Whoever keeps the token while it is at work keeps the next client waiting. So that is
//! only for workers whose passes are short: after a long one the token goes, and moves
//! with every client for a while; each time for longer, as long as none of its turns ends
//! without one.

/// nginx leaves the end of a listener's queue to others every 16 accepts.
const QUANTUM: u8 = 8;
/// Loads vary by that anyway where clients leave when they like. With 1, tokens of 16 workers
/// moved 0.7 times for each client, with 2, 0.55 times, with 4, 0.3 times.
const SLACK: u32 = super::choose::EVEN;
/// To wake another worker up takes some 10 us; with one that has been at work for 1 ms
/// nobody reckons any more. In between, ns.
const LONG: u64 = 250_000;
/// For how long a long pass is remembered, ns: the first; and how often that doubles, to a
/// second.
const FIRST: u64 = 1_000_000;
const DOUBLES: u8 = 10;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quantum {
    /// Clients that were gone when the token was last handed on.
    gone: u64,
    /// No credit before, ns.
    strict_until: u64,
    /// When the last pass began in which the token was kept, ns.
    woke: u64,
    /// May take another without a look at the others, up to this load.
    level: u32,
    /// Accepted with this token.
    taken: u8,
    /// Long passes, less the turns without one; no more than it takes.
    slow: u8,
}

impl Quantum {
    /// By how much its load may be above the least one, now that it has accepted another
    /// client. `gone`: how many have left it, ever; `now_ns`: when this pass began.
    #[inline(always)]
    pub(super) fn slack(&self, gone: u64, now_ns: u64) -> u32 {
        let credit = gone.wrapping_sub(self.gone).min(QUANTUM.into());
        let may = u64::from(self.taken) < credit && now_ns >= self.strict_until;
        u32::from(may) * SLACK
    }

    /// With slack: the look at the others that was taken for a client before is good enough.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, load: u32) -> bool {
        let goes_on = load <= self.level;
        self.taken += u8::from(goes_on);
        goes_on
    }

    /// It keeps the token, as far as its load is not above `level`.
    pub(super) fn kept(&mut self, level: u32) {
        self.taken += 1;
        self.level = level;
    }

    /// The token is another's.
    pub(super) fn is_over(&mut self, gone: u64) {
        if self.taken > 0 {
            self.slow = self.slow.saturating_sub(1);
        }
        self.begin(gone);
    }

    fn begin(&mut self, gone: u64) {
        self.gone = gone;
        self.taken = 0;
        self.level = 0;
    }

    /// It has kept its token for more than one client.
    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        self.level > 0
    }

    /// Then, when the pass that began at `woke_ns` is over: is it to be timed? Not if it began
    /// soon after the last one: that one cannot have been long, and whoever has long passes
    /// has many of them. To read the clock once more in each pass was 1 % of what a short
    /// connection costs.
    pub(super) fn is_timed(&mut self, woke_ns: u64) -> bool {
        let since = woke_ns.saturating_sub(self.woke);
        self.woke = woke_ns;
        since > LONG
    }

    /// A pass is over in which the token was kept. True: it was a long one, and the token
    /// is to be handed on.
    pub(super) fn was_long(&mut self, woke_ns: u64, now_ns: u64, gone: u64) -> bool {
        let long = now_ns.saturating_sub(woke_ns) > LONG;
        if long {
            self.strict_until = now_ns + (FIRST << self.slow.min(DOUBLES));
            self.slow = (self.slow + 1).min(DOUBLES + 1);
            self.begin(gone);
        }
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = FIRST << DOUBLES;

    #[test]
    fn who_lost_no_client_has_no_credit() {
        assert_eq!(Quantum::default().slack(0, 1), 0);
        assert_eq!(Quantum::default().slack(1, 1), SLACK);
    }

    #[test]
    fn credit_ends_with_those_that_left_or_with_the_quantum() {
        for (gone, most) in [(3, 3), (100, QUANTUM)] {
            let mut quantum = Quantum::default();
            quantum.is_over(50);
            let mut taken = 0;
            while quantum.slack(50 + gone, 1) > 0 {
                quantum.kept(7);
                taken += 1;
            }
            assert_eq!(taken, most);
            quantum.is_over(50 + gone);
            assert_eq!(quantum.slack(50 + gone, 1), 0, "it is spent");
        }
    }

    #[test]
    fn goes_on_up_to_the_level_of_the_last_look() {
        let mut quantum = Quantum::default();
        assert!(!quantum.is_on() && !quantum.goes_on(1));
        quantum.kept(5);
        assert!(quantum.is_on() && quantum.goes_on(5) && !quantum.goes_on(6));
        quantum.is_over(0);
        assert!(!quantum.is_on());
    }

    #[test]
    fn a_long_pass_ends_it_for_a_while() {
        let mut quantum = Quantum::default();
        quantum.kept(5);
        assert!(!quantum.was_long(1000, 1000 + LONG, 9));
        assert!(quantum.was_long(1000, 1001 + LONG, 9));
        assert!(!quantum.is_on());
        assert_eq!(quantum.slack(99, 1000 + LONG + FIRST), 0);
        assert_eq!(quantum.slack(99, 1001 + LONG + FIRST), SLACK);
        assert_eq!(quantum.slack(9, 1001 + LONG + FIRST), 0, "it begins anew");
    }

    #[test]
    fn passes_in_quick_succession_are_not_timed() {
        let mut quantum = Quantum::default();
        assert!(!quantum.is_on());
        quantum.kept(5);
        assert!(quantum.is_on());
        assert!(quantum.is_timed(2 * MOST));
        assert!(!quantum.is_timed(2 * MOST + LONG));
        assert!(quantum.is_timed(2 * MOST + 2 * LONG + 1));
        quantum.is_over(0);
        assert!(!quantum.is_on());
    }

    #[test]
    fn whoever_is_slow_is_trusted_less_and_less() {
        let mut quantum = Quantum::default();
        let mut again = |now: u64, long: bool| {
            quantum.kept(5);
            if !quantum.was_long(now - u64::from(long) * 2 * LONG, now, 0) {
                quantum.is_over(0);
            }
            quantum.strict_until.saturating_sub(now)
        };
        for n in 0..10 {
            assert_eq!(again(MOST, true), FIRST << n);
        }
        assert_eq!(again(MOST, true), MOST);
        for _ in 0..5 {
            again(2 * MOST, false);
        }
        assert_eq!(again(3 * MOST, true), MOST / 16);
    }
}
