//! To whom the master passes a client, and which workers wait together. Pure.

use super::pool::GROUP;

/// A worker that could take a client from the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taker {
    pub(crate) slot: usize,
    pub(crate) load: u32,
    /// It has been sent a client and has not answered.
    pub(crate) owes: bool,
    /// It has been in one step for some time: it may hang, or be stopped.
    pub(crate) overdue: bool,
}

/// The next taker: least loaded, or in turn after slot `last`. One that owes an
/// answer is passed over, and one that is overdue comes last.
pub(crate) fn choose(
    takers: impl Iterator<Item = Taker>,
    last: usize,
    rotate: bool,
) -> Option<usize> {
    let distance = |slot: usize| slot.wrapping_sub(last).wrapping_sub(1);
    let free = takers.filter(|taker| !taker.owes);
    let best = free.min_by_key(|taker| {
        let load = if rotate { 0 } else { taker.load };
        (taker.overdue, load, distance(taker.slot))
    });
    best.map(|taker| taker.slot)
}

/// The group that a new worker joins, from the numbers of members of its generation, which
/// is to have `workers` of them: the emptiest of as many groups as it takes. Where only one
/// or two wait, all of them are soon busy at once.
pub(super) fn group(members: &[usize], workers: usize) -> usize {
    let all = members.iter().sum::<usize>() + 1;
    let groups = workers.max(all).div_ceil(GROUP);
    let some = members.iter().enumerate().take(groups);
    some.min_by_key(|(_, n)| **n).map_or(0, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From loads, and whether they owe an answer.
    fn takers(loads: &[(u32, bool)]) -> Vec<Taker> {
        let taker = |(slot, (load, owes)): (usize, &(u32, bool))| Taker {
            slot,
            load: *load,
            owes: *owes,
            overdue: false,
        };
        loads.iter().enumerate().map(taker).collect()
    }

    #[test]
    fn the_least_loaded_and_equals_in_turn() {
        let pick = |loads: &[(u32, bool)], last| choose(takers(loads).into_iter(), last, false);
        assert_eq!(pick(&[(3, false), (2, false), (2, false)], 0), Some(1));
        assert_eq!(pick(&[(3, false), (2, false), (2, false)], 1), Some(2));
        assert_eq!(pick(&[(0, true), (9, false)], 0), Some(1));
        assert_eq!(pick(&[(0, true)], 0), None);
    }

    #[test]
    fn whoever_may_hang_comes_last() {
        let mut both = takers(&[(0, false), (9, false)]);
        both[0].overdue = true;
        assert_eq!(choose(both.iter().copied(), 0, false), Some(1));
        assert_eq!(choose(both[..1].iter().copied(), 0, false), Some(0));
    }

    #[test]
    fn in_turn_whoever_owes_an_answer_waits() {
        let pick = |loads: &[(u32, bool)], last| choose(takers(loads).into_iter(), last, true);
        assert_eq!(pick(&[(0, false), (9, false), (0, false)], 0), Some(1));
        assert_eq!(pick(&[(0, false), (9, true), (0, false)], 0), Some(2));
    }

    #[test]
    fn groups_are_few_and_fill_evenly() {
        assert_eq!(group(&[0, 0], 16), 0);
        assert_eq!(group(&[15, 0], 16), 0);
        assert_eq!(group(&[1, 0], 17), 1);
        assert_eq!(group(&[16, 0], 16), 1, "more than were wanted");
        assert_eq!(group(&[9, 9, 0], 20), 0);
        assert_eq!(group(&[16, 16, 0], 33), 2);
        assert_eq!(group(&[], 1), 0);
    }

    proptest! {
        /// No group has more than there is room for, and none is much smaller.
        #[test]
        fn groups_have_room(workers in 1usize..200) {
            let mut members = vec![0; workers.div_ceil(GROUP)];
            for _ in 0..workers {
                let joined = group(&members, workers);
                members[joined] += 1;
            }
            let (least, most) = (members.iter().min().unwrap(), members.iter().max().unwrap());
            prop_assert!(*most <= GROUP && most - least <= 1, "{:?}", members);
        }

        /// Passed one after the other and all taken, loads end up within 1 of each other.
        #[test]
        fn loads_become_equal(start in proptest::collection::vec(0u32..30, 1..12)) {
            let mut loads: Vec<(u32, bool)> = start.iter().map(|load| (*load, false)).collect();
            let (most, mut last) = (start.iter().max().copied().unwrap_or(0), 0);
            for _ in 0..(most + 2) as usize * loads.len() {
                last = choose(takers(&loads).into_iter(), last, false).unwrap();
                loads[last].0 += 1;
            }
            let (least, most) = (loads.iter().min().unwrap().0, loads.iter().max().unwrap().0);
            prop_assert!(most - least <= 1, "{:?}", loads);
        }
    }
}
