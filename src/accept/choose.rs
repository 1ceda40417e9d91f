//! Who gets the token next. Pure.

/// A worker that is open for business.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) slot: usize,
    pub(super) load: u32,
    /// Has a token of the listener in question.
    pub(super) armed: bool,
    /// Takes no client for the moment.
    pub(super) paused: bool,
    /// It woke up some time ago and does not sleep yet: it may be blocked, or not be run.
    pub(super) late: bool,
}

/// What one look at all candidates tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// How many have a token and will use it.
    pub(super) armed: u32,
    /// How many have one and are late.
    pub(super) stuck: u32,
    /// The least loaded that could have one and has none. One that is late comes after
    /// all others.
    pub(super) best: Option<usize>,
    /// That one is late.
    pub(super) best_is_late: bool,
    /// And so much is its load.
    best_load: u32,
    /// The least load of all that are not late, with a token or without; but for whoever
    /// looks, if it has the token in its hand.
    pub(super) least: u32,
}

impl Survey {
    /// Who is to have one more token, if there should be so many.
    pub(super) fn missing(&self, limit: Limit) -> Option<usize> {
        // Where all are late, one more token helps nobody.
        let stuck = if self.best_is_late { self.stuck } else { 0 };
        let wanted = self.armed + stuck < self.most(limit);
        self.best.filter(|_| wanted)
    }

    /// Whoever looks keeps its token or passes it on: are there too few then?
    pub(super) fn lacks_some(&self, limit: Limit) -> bool {
        self.armed + 1 < self.most(limit)
    }

    /// How many tokens there should be, as the loads stand.
    fn most(&self, limit: Limit) -> u32 {
        if self.is_uneven() {
            limit.always
        } else {
            limit.most
        }
    }

    /// Those that have no token are busier than one that has one and will use it.
    pub(super) fn is_uneven(&self) -> bool {
        self.best_load > self.least.saturating_add(EVEN)
    }
}

/// How many tokens a listener has, when enough workers are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// Whatever the loads are.
    pub(super) always: u32,
    /// The others are for workers that are no busier than those with a token: of all that
    /// have one, each gets the next client in its turn, whatever its load is.
    pub(super) most: u32,
}

impl Limit {
    pub(super) const NONE: Self = Self { always: 0, most: 0 };
    /// One for each.
    pub(super) const ALL: Self = Self {
        always: u32::MAX,
        most: u32::MAX,
    };

    /// With two the one is not missed when the other is blocked. Of those that were added
    /// because clients waited, `any` are for any worker.
    pub(super) fn of(tokens: u32, even: u32, any: u32) -> Self {
        Self {
            always: tokens.min(2) + any,
            most: tokens + even + any,
        }
    }
}

/// Loads that differ by no more are the same, where there are tokens enough: where clients
/// come and go, a worker with one token takes as many more than others.
pub(super) const EVEN: u32 = 4;

/// Who looks, when it is no worker.
pub(super) const MASTER: usize = usize::MAX;

/// Slots fit in so many bits, see [`survey`].
const TURN_BITS: u32 = 20;
const TURN: u64 = (1 << TURN_BITS) - 1;
const NOBODY: u64 = u64::MAX;
/// Loads are 32 bits: this one is above all of them.
const LATE: u64 = 1 << (TURN_BITS + 32);

/// Slot `me` looks. Among equals the first after it wins, so that each gets its turn.
///
/// This runs once for each client, over all workers: load and turn are one number, and
/// the least of them wins. Who is out of the question has the greatest number there is;
/// no branch depends on what a row says, for that cannot be foreseen.
#[inline(always)]
pub(super) fn survey(candidates: impl Iterator<Item = Candidate>, me: usize) -> Survey {
    // MASTER + 1 is 0: to the master, slot 0 comes first.
    let first = u64::try_from(me.wrapping_add(1)).unwrap_or(0);
    let key = |worker: &Candidate| {
        let slot = u64::try_from(worker.slot).unwrap_or(0);
        let late = u64::from(worker.late & (worker.slot != me));
        late << (TURN_BITS + 32)
            | u64::from(worker.load) << TURN_BITS
            | slot.wrapping_sub(first) & TURN
    };
    let none_if = |out: bool| 0u64.wrapping_sub(out.into());
    let (mut armed, mut stuck, mut best, mut least) = (0, 0, NOBODY, u32::MAX);
    for worker in candidates {
        let holds = !worker.paused & worker.armed;
        armed += u32::from(holds & !worker.late);
        stuck += u32::from(holds & worker.late);
        best = best.min(key(&worker) | none_if(worker.paused | worker.armed));
        let mine = (worker.slot == me) & !worker.armed;
        let other = !(worker.paused | worker.late | mine);
        least = least.min(if other { worker.load } else { u32::MAX });
    }
    let slot = |key: u64| usize::try_from((key & TURN).wrapping_add(first) & TURN).unwrap_or(0);
    Survey {
        armed,
        stuck,
        best: (best != NOBODY).then(|| slot(best)),
        best_is_late: best & LATE != 0,
        best_load: u32::try_from(best >> TURN_BITS & u64::from(u32::MAX)).unwrap_or(u32::MAX),
        least,
    }
}

/// What a worker does with the token in its hand after it accepted a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Give it to that slot.
    Pass(usize),
    /// Throw it away: the others have as many as there should be.
    Drop,
    /// Keep it, behind the others: all that have none are busier.
    Requeue,
    /// Keep it and the place: all others are busier.
    Keep,
}

/// `load` is the load of slot `me`, the client just accepted included; it may be above the
/// least one by `slack` and keep the token. The survey is its own, and counts it among those
/// without a token.
pub(super) fn turn(me: usize, load: u32, slack: u32, survey: Survey, limit: Limit) -> Turn {
    match survey.best {
        _ if survey.armed >= survey.most(limit) => Turn::Drop,
        Some(_) if slack > 0 && load.saturating_sub(slack) <= survey.least => Turn::Keep,
        Some(slot) if slot != me => Turn::Pass(slot),
        // Whoever is late does not stand before anybody: the kernel passes over it.
        _ if survey.least <= load => Turn::Requeue,
        _ => Turn::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(slot: usize, load: u32) -> Candidate {
        Candidate {
            slot,
            load,
            armed: false,
            paused: false,
            late: false,
        }
    }

    #[test]
    fn an_added_token_is_for_those_that_are_no_busier() {
        let other = Candidate {
            armed: true,
            ..candidate(1, 5)
        };
        let next = |mine, other, limit| {
            let seen = survey([candidate(0, mine), other].into_iter(), 0);
            (turn(0, mine, 0, seen, limit), seen.missing(limit))
        };
        let added = Limit::of(1, 1, 0);
        assert_eq!(next(5 + EVEN, other, added), (Turn::Requeue, Some(0)));
        assert_eq!(next(6 + EVEN, other, added), (Turn::Drop, None));
        // Whatever the loads are, when there are to be two.
        assert_eq!(
            next(99, other, Limit::of(2, 0, 0)),
            (Turn::Requeue, Some(0))
        );
        // The other one is at work for long: it does not count.
        let late = Candidate {
            late: true,
            ..other
        };
        assert_eq!(next(99, late, added), (Turn::Keep, Some(0)));
    }

    #[test]
    fn equals_take_turns() {
        let all = [0, 1, 2].map(|slot| candidate(slot, 5));
        let best = |me| survey(all.into_iter(), me).best;
        assert_eq!(best(0), Some(1));
        assert_eq!(best(1), Some(2));
        assert_eq!(best(2), Some(0));
        assert_eq!(best(MASTER), Some(0));
    }

    #[test]
    fn the_token_goes_to_the_least_loaded_or_stays() {
        let turn = |mine: u32, k| {
            let others = [(1, 5, true), (2, 6, false), (3, 7, false)];
            let of = |(slot, load, armed)| Candidate {
                armed,
                ..candidate(slot, load)
            };
            let all = || others.into_iter().map(of).chain([candidate(0, mine)]);
            turn(0, mine, 0, survey(all(), 0), Limit::of(k, 0, 0))
        };
        assert_eq!(turn(4, 2), Turn::Keep);
        assert_eq!(turn(5, 2), Turn::Requeue);
        assert_eq!(turn(6, 2), Turn::Pass(2));
        assert_eq!(turn(4, 1), Turn::Drop);
    }

    #[test]
    fn whoever_is_late_comes_last_and_its_token_does_not_count() {
        let late = |slot, armed| Candidate {
            armed,
            late: true,
            ..candidate(slot, 0)
        };
        let seen = |all: &[Candidate]| survey(all.iter().copied(), 0);
        let some = seen(&[
            candidate(0, 9),
            late(1, true),
            late(2, false),
            candidate(3, 7),
        ]);
        assert_eq!((some.armed, some.stuck, some.best), (0, 1, Some(3)));
        assert_eq!(some.missing(Limit::of(1, 0, 0)), Some(3));
        // All others are late: theirs count, and there is one more only if one is missing.
        let all = seen(&[late(1, true), late(2, false)]);
        let missing = |k| all.missing(Limit::of(k, 0, 0));
        assert_eq!((missing(1), missing(2)), (None, Some(2)));
        // Whoever looks is at work, and so not late.
        assert_eq!(seen(&[late(0, false), late(1, false)]).best, Some(0));
    }

    #[test]
    fn the_lone_worker_keeps_its_token() {
        let alone = || [candidate(0, 9)].into_iter();
        let next = turn(0, 9, 0, survey(alone(), 0), Limit::of(1, 0, 0));
        assert_eq!(next, Turn::Keep);
    }
}
