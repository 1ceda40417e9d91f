//! Queues that wait: what the sentinel sees, and what the master does about it.
//! flow: M5

use super::*;
use crate::accept::rescue::Act;
use crate::config::AcceptMode;

#[test]
fn a_queue_that_nobody_serves_gets_one_more_worker() {
    let bench = Bench::new(4, 2);
    assert!(!bench.alarmed());
    let _clients = [bench.connect(), bench.connect(), bench.connect()];
    assert!(bench.alarmed());
    let wait = bench.schedule.on_sentinel(1000).again.unwrap();
    assert_eq!(bench.registered(), [0, 1], "the workers get a moment");
    assert!(bench.schedule.on_sentinel(1000 + wait).again.is_some());
    assert_eq!(bench.registered(), [0, 1, 2]);
    assert!(bench.awake().contains(&2));

    // As long as it goes on like this no more are added...
    bench.accept(2);
    assert_eq!(bench.registered(), [0, 1, 3]);
    assert!(bench.schedule.on_sentinel(1020).again.is_some());
    assert_eq!(bench.schedule.report(None).rescues, 1);
    bench.accept(3);
    bench.accept(2);
    assert!(bench.schedule.on_sentinel(1030).again.is_some());
    assert_eq!(bench.schedule.on_sentinel(1050).again, None);
    assert!(!bench.alarmed());
    assert_eq!(bench.registered().len(), 3);

    // ... and when it is calm the additional token is dropped with the next client.
    bench.schedule.check(10_000);
    let _client = bench.connect();
    bench.accept(bench.registered()[0]);
    assert_eq!(bench.registered().len(), 2);
    assert_eq!(bench.registered(), bench.armed());
}

/// Whoever has been at work for long is passed over; when all that stand armed are, the
/// master is not patient with them.
#[test]
fn who_is_late_gets_no_token_and_is_not_waited_for() {
    let bench = Bench::new(4, 2);
    let beat = |slot: usize, ns| bench.seats[slot].row().beat().store(ns, Relaxed);
    let now = crate::sys::now_ns();
    let (long_ago, just_now) = (now - 20_000_000, now);
    // 2 is the next by its load and its turn, but late: it is 3's.
    beat(2, long_ago);
    beat(0, just_now);
    let client = bench.connect();
    let held = bench.accept(0);
    assert_eq!(bench.armed(), [1, 3]);
    // 1, which has a token, is late: whoever accepts adds one for it.
    beat(0, crate::event::ASLEEP);
    beat(1, long_ago);
    beat(3, just_now);
    let others = (bench.connect(), bench.accept(3));
    assert_eq!(bench.armed(), [0, 1, 3]);
    // It goes on, and there are as many as before.
    beat(1, just_now);
    let more = (bench.connect(), bench.accept(1));
    assert_eq!(bench.armed(), [0, 3]);
    // Both are late, and a client waits: somebody else is armed at the first look.
    beat(1, crate::event::ASLEEP);
    beat(0, long_ago);
    beat(3, long_ago);
    let last = bench.connect();
    assert_eq!(bench.schedule.on_sentinel(1000).again, Some(10));
    assert_eq!(bench.armed(), [0, 1, 3]);
    // All are: those who have a token are woken again, and nobody takes it away from them.
    (0..4).for_each(|slot| beat(slot, long_ago));
    for at in [1010, 1020, 1030] {
        assert!(bench.schedule.on_sentinel(at).take.is_empty());
    }
    drop((client, held, others, more, last));
}

#[test]
fn a_queue_that_is_served_raises_no_alarm() {
    let bench = Bench::new(4, 2);
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).again.is_some());
    bench.accept(1);
    let mut now = 1002;
    while let Some(ms) = bench.schedule.on_sentinel(now).again {
        now += ms;
        assert!(now <= 1025, "it rests for longer than it should");
    }
    assert_eq!(bench.schedule.report(None).rescues, 0);
}

/// Workers with loops of their own: the token moves, and there is never one more.
#[test]
fn who_does_not_serve_loses_the_token_until_he_runs() {
    let bench = Bench::of(3, 1, true);
    let _clients = [bench.connect(), bench.connect()];
    let wait = bench.schedule.on_sentinel(1000).again.unwrap();
    assert_eq!(bench.registered(), [0], "it gets a moment");
    let look = bench.schedule.on_sentinel(1000 + wait);
    assert_eq!((look.nudge, bench.registered()), (vec![0], vec![1]));

    // Least loaded, but nobody knows whether it runs.
    bench.accept(1);
    assert_eq!(bench.registered(), [2]);
    bench.seats[0].awake();
    bench.accept(2);
    assert_eq!(bench.registered(), [0]);
    assert_eq!(bench.armed(), [0]);
}

/// All of them are blocked: the first that runs again has the token.
#[test]
fn when_nobody_serves_the_first_who_runs_does() {
    let bench = Bench::of(2, 1, true);
    let _client = bench.connect();
    let mut now = 1000;
    for _ in 0..5 {
        now += bench.schedule.on_sentinel(now).again.unwrap();
    }
    bench.seats[1].awake();
    assert_eq!(bench.registered(), [1]);
    bench.accept(1);
}

/// The only one of its group that could take clients does not; others could.
#[test]
fn what_waits_for_the_last_of_a_group_is_passed_to_another_group() {
    let bench = Bench::of(18, 1, true);
    let here = |slot: &usize| bench.schedule.pool.shared_door(*slot, 0) == BASE;
    let group: Vec<usize> = (0..18).filter(here).collect();
    assert_eq!(group.len(), 9);
    group[1..]
        .iter()
        .for_each(|slot| bench.seats[*slot].pause());
    let mut clients = Vec::new();
    while bench.depth() == 0 {
        clients.push(bench.connect());
    }
    let mut now = 1000;
    let taken = (0..20).any(|_| {
        let look = bench.schedule.on_sentinel(now);
        now += look.again.unwrap();
        look.take.contains(&BASE)
    });
    assert!(taken, "it waits for slot {}", group[0]);
    bench.seats[group[0]].awake();
    assert!(bench.registered().contains(&group[0]), "and back it is");
}

/// All are armed and one of them was woken in vain: the kernel looks again.
#[test]
fn when_all_are_armed_all_are_woken_again() {
    let bench = Bench::new(2, 2);
    let _client = bench.connect();
    assert!(bench.schedule.on_sentinel(1000).again.is_some());
    bench.schedule.pool.unregister(0, BASE);
    bench.schedule.pool.unregister(1, BASE);
    assert!(bench.schedule.on_sentinel(1002).again.is_some());
    assert_eq!(bench.awake(), [0, 1]);
}

/// While clients come thick and fast the master looks now and then, and is not woken.
#[test]
fn in_a_rush_the_sentinel_goes_on_resting() {
    let bench = Bench::new(4, 2);
    let rush = || {
        for _ in 0..50 {
            let _client = bench.connect();
            bench.accept(bench.registered()[0]);
        }
    };
    rush();
    let mut now = 1000 + bench.schedule.on_sentinel(1000).again.unwrap();
    for _ in 0..3 {
        rush();
        now += bench.schedule.on_sentinel(now).again.unwrap();
    }

    // One that is not served meanwhile is noticed all the same.
    rush();
    let _client = bench.connect();
    let begun = now;
    while bench.schedule.report(None).rescues == 0 {
        now += bench.schedule.on_sentinel(now).again.unwrap();
        assert!(now <= begun + 24, "nobody accepts, and it rests");
    }

    // And when they have stopped coming it is as before.
    bench.accept(bench.registered()[0]);
    let begun = now;
    while let Some(ms) = bench.schedule.on_sentinel(now).again {
        now += ms;
        assert!(now <= begun + 60, "it never rests from its rests");
    }
}

/// Many clients have been accepted since the last look. In how many ms the next one is.
fn look_in_a_rush(bench: &Bench, now: &mut u64) -> u64 {
    (0..50).for_each(|_| bench.schedule.pool.words.tally(0).count_client(0));
    let ms = bench.schedule.on_sentinel(*now).again.unwrap();
    *now += ms;
    ms
}

/// Where each worker has a queue of its own, and none needed help for a second, the master
/// looks half as often; until one does.
#[test]
fn calm_queues_of_their_own_are_looked_at_less_often() {
    let bench = Bench::new(2, 1);
    bench.schedule.set_mode(AcceptMode::Hash).unwrap();
    let mut now = 1000;
    let mut look = || look_in_a_rush(&bench, &mut now);
    let rests: Vec<_> = (0..52).map(|_| look()).collect();
    assert!(rests[..50].iter().all(|ms| *ms == 20), "{rests:?}");
    assert_eq!(rests[50..], [40, 40]);

    let act = bench.schedule.consider(Door::own(0, 1), false, false, 5, 0);
    assert_eq!(act, Act::Take, "1 does not serve its queue, and 0 sleeps");
    assert_eq!(look(), 20);
}

/// In a rush a client always waits somewhere: that says nothing where its worker gets on.
#[test]
fn in_a_rush_a_client_that_has_just_come_is_no_alarm() {
    let bench = Bench::new(2, 1);
    bench.schedule.set_mode(AcceptMode::Hash).unwrap();
    let beat = |ns| bench.seats[1].row().beat().store(ns, Relaxed);
    let seen = || bench.schedule.consider(Door::own(0, 1), true, false, 0, 0);
    beat(crate::sys::now_ns());
    assert_eq!(seen(), Act::Wait(2), "in a quiet service it is one");

    let mut now = 1000;
    for _ in 0..3 {
        look_in_a_rush(&bench, &mut now);
    }
    beat(crate::sys::now_ns());
    assert_eq!(seen(), Act::Served);
    beat(crate::sys::now_ns() - 20_000_000);
    assert_eq!(seen(), Act::Wait(2), "it has been at one turn for long");
}

/// Nobody who has a token was late for a second: one look for each rest. Until somebody is.
#[test]
fn where_nobody_is_ever_late_the_master_looks_less_often() {
    let bench = Bench::new(4, 2);
    let mut now = 1000;
    let mut look = || look_in_a_rush(&bench, &mut now);
    let looks: Vec<u64> = (0..120).map(|_| look()).collect();
    let calm = looks.iter().position(|ms| *ms == 20).unwrap();
    let before: u64 = looks[..calm].iter().sum();
    assert!((990..=1100).contains(&before), "{looks:?}");
    assert!(looks[calm..].iter().all(|ms| *ms == 20), "{looks:?}");

    let late = crate::sys::now_ns() - 20_000_000;
    bench.seats[0].row().beat().store(late, Relaxed);
    look();
    assert_eq!(look(), 5);
}

/// With a token for each worker, one that has too many clients would get as many new ones as
/// the others.
#[test]
fn an_added_token_is_dropped_by_whoever_has_too_many_clients() {
    let bench = Bench::new(2, 1);
    let beat = |slot: usize, ns| bench.seats[slot].row().beat().store(ns, Relaxed);
    // 0 is blocked, and 1 takes all clients meanwhile.
    beat(0, crate::sys::now_ns() - 20_000_000);
    let mut clients = vec![bench.connect()];
    assert_eq!(bench.schedule.on_sentinel(1000).again, Some(10));
    for _ in 0..6 {
        clients.extend([bench.accept(1), bench.connect()]);
    }
    assert_eq!((bench.loads(), bench.armed()), (vec![0, 6], vec![0, 1]));
    // 0 goes on: from now on it is its turn.
    beat(0, crate::event::ASLEEP);
    clients.push(bench.accept(1));
    assert_eq!(bench.armed(), [0]);
    for load in 1..=2 {
        clients.extend([bench.connect(), bench.accept(0)]);
        assert_eq!((bench.loads(), bench.armed()), (vec![load, 7], vec![0]));
    }
    // They are nearly even, and both have one again as long as it is not calm.
    clients.extend([bench.connect(), bench.accept(0)]);
    assert_eq!((bench.loads(), bench.armed()), (vec![3, 7], vec![0, 1]));
}

/// What a worker says of itself is a hint: one that is free by its own account and does not
/// serve the queue stops nobody.
#[test]
fn whoever_says_that_it_is_free_and_is_not_is_not_waited_for_long() {
    let bench = Bench::new(2, 1);
    bench.seats[1].set_load(9);
    let client = bench.connect();
    let mut now = 1000;
    while bench.armed() == [0] {
        assert!(now < 1010, "as if it were free");
        now += bench.schedule.on_sentinel(now).again.unwrap();
    }
    let held = bench.accept(1);
    assert_eq!(bench.armed(), [0, 1]);
    drop((client, held));
}

/// Whoever moved the sentinel could not put it back, and says so.
#[test]
fn a_door_without_the_sentinel_gets_it_again() {
    let bench = Bench::new(2, 1);
    assert_eq!(bench.schedule.next_deadline(), None);
    assert!(bench.schedule.pool.unwatch(BASE));
    bench.schedule.pool.leave_unwatched();
    assert_eq!(bench.schedule.next_deadline(), Some(0));
    bench.schedule.check(1);
    assert_eq!(bench.schedule.next_deadline(), None);
    assert!(bench.schedule.pool.unwatch(BASE), "it is there");
}
