use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;

fn one() -> Locks {
    Locks::new(vec!["one".to_owned()]).unwrap()
}

fn held_by(owner: u64) -> Result<bool, u64> {
    Err(owner << OWNER)
}

fn recovered(locks: &Locks, gone: impl Fn(u64) -> bool) -> Vec<(usize, u64)> {
    let mut told = Vec::new();
    locks.recover(gone, |lock, owner| told.push((lock, owner)));
    told
}

#[test]
fn the_next_taker_is_told_of_a_death_until_one_gives_it_back() {
    let locks = one();
    assert_eq!(locks.take(0, 7, false), Ok(false));
    assert_eq!(recovered(&locks, |owner| owner == 7), [(0, 7)]);
    assert_eq!(recovered(&locks, |_| true), [], "it is free");
    assert_eq!(locks.take(0, 8, false), Ok(true));
    assert_eq!(recovered(&locks, |owner| owner == 8), [(0, 8)]);
    assert_eq!(locks.take(0, 9, false), Ok(true));
    assert!(locks.give(0, 9));
    assert_eq!(locks.take(0, 10, false), Ok(false));
}

/// F01, F02: who was written off and still goes on does no harm to the next owner,
/// even where that one has its pid.
#[test]
fn a_late_give_does_nothing() {
    let locks = one();
    assert_eq!(locks.take(0, 7, false), Ok(false));
    recovered(&locks, |owner| owner == 7);
    assert!(!locks.give(0, 7), "nobody has it");
    assert_eq!(locks.take(0, 8, false), Ok(true));
    assert!(!locks.give(0, 7), "another has it");
    assert_eq!(locks.take(0, 9, false), held_by(8));
    assert!(locks.give(0, 8));
    assert!(!locks.give(0, 8), "twice");
}

#[test]
fn a_seized_lock_is_neither_released_nor_seized_again() {
    let locks = one();
    assert_eq!(locks.take(0, 7, false), Ok(false));
    let word = locks.announce(0, 7 << OWNER).unwrap();
    assert!(locks.seize(0, word, 8));
    assert!(!locks.seize(0, word, 9));
    assert_eq!(recovered(&locks, |owner| owner == 7), []);
    assert!(locks.give(0, 8));
}

/// Words that no process writes, for nobody's lock.
#[test]
fn a_word_without_an_owner_is_a_free_lock() {
    for word in [0, SLEEPERS, RECOVERED, SLEEPERS | RECOVERED] {
        let locks = one();
        locks.word(0).store(word, Relaxed);
        assert_eq!(locks.take(0, 7, false), Ok(word & RECOVERED != 0));
        assert!(locks.give(0, 7));
    }
}

#[test]
fn sleep_ends_with_the_word_or_the_time() {
    let locks = one();
    assert_eq!(locks.take(0, 7, false), Ok(false));
    let word = locks.announce(0, 7 << OWNER).unwrap();
    assert!(!locks.sleep(0, word, 1));
    assert!(locks.give(0, 7));
    assert!(locks.sleep(0, word, 60_000));
    assert_eq!(locks.announce(0, word), None);
}

/// As a process takes it: sleeping until it can, for ever as it were.
fn must_take(locks: &Locks, me: u64) {
    let mut slept = false;
    while let Err(word) = locks.take(0, me, slept) {
        if let Some(word) = locks.announce(0, word) {
            slept = true;
            assert!(locks.sleep(0, word, 60_000), "a wake-up was lost");
        }
    }
}

/// L1: threads stand for processes; some die with the lock. Each step of the
/// count is kept, and nobody sleeps for ever.
#[test]
fn nothing_is_lost_among_many() {
    const EACH: u64 = 2_000;
    let locks = one();
    // As good as not atomic: load, then store.
    let count = AtomicU64::new(0);
    let life = |first: u64| {
        let mut me = first;
        for step in 0..EACH {
            must_take(&locks, me);
            let seen = count.load(Relaxed);
            if step % 3 == 0 {
                std::thread::yield_now();
            }
            count.store(seen + 1, Relaxed);
            if step % 7 == 0 {
                assert_eq!(recovered(&locks, |owner| owner == me), [(0, me)]);
                me += 4;
            } else {
                assert!(locks.give(0, me));
            }
        }
    };
    std::thread::scope(|scope| {
        for first in 1..=4 {
            scope.spawn(move || life(first));
        }
    });
    assert_eq!(count.into_inner(), 4 * EACH);
}

/// Until so many threads have come so far, and as good as surely a step further.
fn until(count: &AtomicU64, all: u64) {
    let begun = std::time::Instant::now();
    while count.load(Acquire) < all {
        assert!(begun.elapsed().as_secs() < 60, "waited in vain");
        std::thread::yield_now();
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
}

#[test]
fn one_give_wakes_all_in_the_end() {
    let (locks, asleep) = (one(), AtomicU64::new(0));
    assert_eq!(locks.take(0, 9, false), Ok(false));
    std::thread::scope(|scope| {
        for me in 1..=4 {
            let (locks, asleep) = (&locks, &asleep);
            scope.spawn(move || {
                asleep.fetch_add(1, AcqRel);
                must_take(locks, me);
                assert!(locks.give(0, me));
            });
        }
        until(&asleep, 4);
        assert!(locks.give(0, 9));
    });
}

/// The one who was woken dies of it, and the next owner knows of no sleeper.
#[test]
fn a_death_passes_the_wake_up_on() {
    let (locks, asleep, woken) = (one(), AtomicU64::new(0), AtomicU64::new(0));
    assert_eq!(locks.take(0, 9, false), Ok(false));
    std::thread::scope(|scope| {
        for me in 1..=2 {
            let (locks, asleep, woken) = (&locks, &asleep, &woken);
            scope.spawn(move || {
                let word = locks.announce(0, locks.word(0).load(Acquire));
                let word = word.unwrap();
                asleep.fetch_add(1, AcqRel);
                assert!(locks.sleep(0, word, 60_000), "a wake-up was lost");
                if woken.fetch_add(1, AcqRel) > 0 {
                    must_take(locks, me);
                    assert!(locks.give(0, me));
                }
            });
            until(asleep, me);
        }
        assert!(locks.give(0, 9));
        until(&woken, 1);
        must_take(&locks, 10);
        assert_eq!(recovered(&locks, |owner| owner < 9), []);
        until(&woken, 2);
        assert!(locks.give(0, 10));
    });
}

#[derive(Debug, Clone)]
enum Act {
    Take(usize),
    Give(usize),
    Die(usize),
    Scribble(u64),
    Announce,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3usize).prop_map(Act::Take),
        4 => (0..3usize).prop_map(Act::Give),
        2 => (0..3usize).prop_map(Act::Die),
        1 => any::<u64>().prop_map(Act::Scribble),
        1 => Just(Act::Announce),
    ]
}

proptest! {
    /// Three processes, each followed by another when it dies: one owner at a
    /// time, every death with the lock is told to the next owner, and whatever
    /// is written over the word, the next death makes the lock usable.
    #[test]
    fn any_history_is_right(acts in proptest::collection::vec(any_act(), 1..60)) {
        let locks = one();
        let mut alive = [1u64, 2, 3];
        let mut next = 4;
        let mut has: Option<u64> = None;
        let mut died = false;
        for act in acts {
            match act {
                Act::Take(who) => match locks.take(0, alive[who], false) {
                    Ok(recovered) => {
                        prop_assert_eq!((has, recovered), (None, died));
                        (has, died) = (Some(alive[who]), false);
                    }
                    Err(word) => prop_assert_eq!(Some(owner(word)), has),
                },
                Act::Give(who) => {
                    let mine = has == Some(alive[who]);
                    prop_assert_eq!(locks.give(0, alive[who]), mine);
                    has = has.filter(|_| !mine);
                }
                Act::Die(who) => {
                    let dead = std::mem::replace(&mut alive[who], next);
                    next += 1;
                    let told = recovered(&locks, |owner| !alive.contains(&owner));
                    let lost = has.filter(|owner| !alive.contains(owner));
                    prop_assert_eq!(told.first().copied(), lost.map(|owner| (0, owner)));
                    prop_assert!(lost.is_none_or(|owner| owner == dead || owner > 100));
                    died |= lost.is_some();
                    has = has.filter(|owner| alive.contains(owner));
                }
                // Never the number of a spawn: then it could not be told apart.
                Act::Scribble(word) => {
                    let word = word | 1 << 40;
                    locks.word(0).store(word, Relaxed);
                    (has, died) = (Some(owner(word)), false);
                }
                Act::Announce => {
                    let word = locks.word(0).load(Relaxed);
                    if has.is_some() {
                        prop_assert!(locks.announce(0, word).is_some());
                    }
                }
            }
        }
    }
}
