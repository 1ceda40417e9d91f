use super::*;
use proptest::prelude::*;

const PLAN: Plan = Plan {
    phases: 3,
    attempts: 2,
    has_failed: false,
};
const CAREFUL: Plan = Plan {
    has_failed: true,
    ..PLAN
};

fn fresh_one(pre: bool) -> Instance {
    Instance::new(7, "x", b"args\n\n\x00\xff", 100, pre)
}

fn ends(code: i32) -> Ending {
    Ending {
        code,
        jump: None,
        wait: None,
    }
}

fn attempt(instance: &Instance, plan: &Plan, code: i32) -> Instance {
    conclude(&begin(instance, false, 1), plan, &ends(code), 2)
}

#[test]
fn phases_follow_each_other() {
    let mut instance = fresh_one(true);
    let mut seen = Vec::new();
    while !instance.state.is_final() {
        instance = begin(&instance, false, 1);
        seen.push((
            instance.stage,
            instance.phase,
            instance.step,
            instance.attempt,
        ));
        instance = conclude(&instance, &PLAN, &ends(DTM_ACTION_NEXT), 2);
    }
    let run = |phase, step| (Stage::Run, phase, step, 1);
    assert_eq!(
        seen,
        [(Stage::Pre, 0, 0, 1), run(0, 1), run(1, 2), run(2, 3)]
    );
    assert_eq!((instance.state, instance.step), (State::Done, 4));
}

#[test]
fn a_failed_attempt_is_repeated_then_parked() {
    let once = attempt(&fresh_one(false), &PLAN, -5);
    assert_eq!(
        (once.state, once.step, once.attempt),
        (State::Waiting, 0, 1)
    );
    assert_eq!(once.wait.unwrap().ms, RETRY_MS);
    let twice = attempt(&once, &PLAN, -5);
    assert_eq!(
        (twice.state, twice.step, twice.attempt),
        (State::Parked, 0, 2)
    );
    assert!(twice.text.contains("EIO"), "{}", twice.text);

    // Resumed, the step goes on: the same token, more attempts.
    let resumed = operate(&twice, DTM_VERB_RESUME, 3).unwrap();
    assert_eq!(
        (resumed.state, resumed.step, resumed.attempt),
        (State::Active, 0, 2)
    );
    assert!(!exhausted(&resumed, &PLAN));
    assert_eq!(resumed.token("s"), fresh_one(false).token("s"));
    let next = attempt(&resumed, &PLAN, DTM_ACTION_NEXT);
    assert_eq!((next.phase, next.step, next.attempt), (1, 1, 0));
}

/// What the step waited for may have come by now: it is asked again.
#[test]
fn who_is_resumed_has_not_waited_in_vain() {
    let late = begin(&fresh_one(false), true, 1);
    let again = conclude(&late, &PLAN, &ends(-5), 2);
    assert!(begin(&again, false, 3).timed_out);
    let parked = attempt(&again, &PLAN, -5);
    assert_eq!(parked.state, State::Parked);
    assert!(!operate(&parked, DTM_VERB_RESUME, 4).unwrap().timed_out);
}

#[test]
fn whoever_dies_in_its_attempts_is_parked_all_the_same() {
    let mut instance = fresh_one(false);
    for _ in 0..2 {
        assert!(!exhausted(&instance, &PLAN));
        instance = begin(&instance, false, 1);
    }
    assert!(exhausted(&instance, &PLAN));
    assert_eq!(give_up(&instance, &PLAN, 2).state, State::Parked);
}

#[test]
fn failed_runs_before_it_is_parked_and_may_put_things_right() {
    let once = attempt(&fresh_one(false), &CAREFUL, -5);
    let falling = attempt(&once, &CAREFUL, -5);
    assert_eq!(
        (falling.state, falling.fall),
        (State::Active, Fall::Parking)
    );
    assert_ne!(falling.token("s"), once.token("s"));
    assert_eq!(
        attempt(&falling, &CAREFUL, DTM_ACTION_NEXT).state,
        State::Parked
    );

    let jump = Ending {
        jump: Some(2),
        ..ends(DTM_ACTION_NEXT)
    };
    let away = conclude(&begin(&falling, false, 1), &CAREFUL, &jump, 2);
    assert_eq!(
        (away.state, away.fall, away.phase),
        (State::Active, Fall::No, 2)
    );
    assert_eq!((away.step, away.attempt), (1, 0));

    // `failed` itself has as many attempts, then it is parked without it.
    let mut failing = falling;
    for _ in 0..2 {
        failing = attempt(&failing, &CAREFUL, -5);
    }
    assert_eq!(failing.state, State::Parked);
    let resumed = operate(&failing, DTM_VERB_RESUME, 3).unwrap();
    assert_eq!(
        (resumed.fall, resumed.step, resumed.attempt),
        (Fall::No, 0, 2)
    );
}

#[test]
fn who_says_fail_is_over() {
    assert_eq!(
        attempt(&fresh_one(false), &PLAN, DTM_ACTION_FAIL).state,
        State::Failed
    );
    let falling = attempt(&fresh_one(false), &CAREFUL, DTM_ACTION_FAIL);
    assert_eq!(falling.fall, Fall::Failing);
    assert_eq!(
        attempt(&falling, &CAREFUL, DTM_ACTION_NEXT).state,
        State::Failed
    );
}

#[test]
fn an_operators_verbs() {
    let active = fresh_one(false);
    let paused = operate(&active, DTM_VERB_PAUSE, 1).unwrap();
    assert_eq!(paused.state, State::Paused);
    assert_eq!(
        operate(&paused, DTM_VERB_RESUME, 1).unwrap().state,
        State::Active
    );
    let cancelled = operate(&paused, DTM_VERB_CANCEL, 1).unwrap();
    for verb in [
        DTM_VERB_PAUSE,
        DTM_VERB_RESUME,
        DTM_VERB_CANCEL,
        DTM_VERB_GO,
        9,
    ] {
        assert!(operate(&cancelled, verb, 1).is_err());
    }
    let refused = |verb| operate(&active, verb, 1).unwrap_err().code;
    assert_eq!(refused(DTM_VERB_GO), DTM_EREFUSED);
    assert_eq!((refused(0), refused(9)), (DTM_EINVAL, DTM_EINVAL));
    let waits = Ending {
        wait: Some((For::Go, 0)),
        ..ends(DTM_ACTION_NEXT)
    };
    let waiting = conclude(&begin(&active, false, 1), &PLAN, &waits, 2);
    assert_eq!(waiting.state, State::Waiting);
    assert_eq!(
        operate(&waiting, DTM_VERB_GO, 1).unwrap().state,
        State::Active
    );
    // The go is not lost on one that is paused.
    let paused = operate(&waiting, DTM_VERB_PAUSE, 1).unwrap();
    let gone = operate(&paused, DTM_VERB_GO, 1).unwrap();
    assert_eq!(gone.state, State::Paused);
    assert_eq!(
        operate(&gone, DTM_VERB_RESUME, 1).unwrap().state,
        State::Active
    );
}

/// What can happen to an instance, in any order. A crash is an attempt without an end.
#[derive(Debug, Clone, Copy)]
enum Event {
    Attempt(i32, Option<u32>, Option<u32>),
    Crash,
    Verb(u32),
}

fn events() -> impl Strategy<Value = Event> {
    let code = prop_oneof![Just(-5), 0..5i32];
    prop_oneof![
        (
            code,
            proptest::option::of(0..3u32),
            proptest::option::of(0..4u32)
        )
            .prop_map(|(code, jump, wait)| Event::Attempt(code, jump, wait)),
        Just(Event::Crash),
        (0..6u32).prop_map(Event::Verb),
    ]
}

proptest! {
    /// Whatever happens: a step's token is never given to another step, its attempts only
    /// rise, what is over stays over, and the record is read as it was written.
    #[test]
    fn the_promise_holds(history in proptest::collection::vec(events(), 1..60), careful: bool) {
        let plan = if careful { CAREFUL } else { PLAN };
        let mut instance = fresh_one(careful);
        let mut last = std::collections::HashMap::new();
        for event in history {
            let was = instance.clone();
            let goes = matches!(instance.state, State::Active | State::Waiting);
            match event {
                Event::Verb(verb) => {
                    if let Ok(next) = operate(&instance, verb, 5) {
                        instance = next;
                    }
                }
                _ if !goes => {}
                _ if exhausted(&instance, &plan) => instance = give_up(&instance, &plan, 5),
                Event::Crash => instance = begin(&instance, false, 5),
                Event::Attempt(code, jump, wait) => {
                    instance = begin(&instance, false, 5);
                    let wait = wait.and_then(For::of_number).map(|w| (w, 10));
                    let ending = Ending { code, jump, wait };
                    let key = (instance.token("s"), instance.stage.name(), instance.phase);
                    let attempt = instance.attempt;
                    let before = last.insert(key.clone(), attempt);
                    prop_assert!(before.is_none_or(|b| b < attempt), "{key:?} {before:?}");
                    if code != DTM_ACTION_PENDING {
                        instance = conclude(&instance, &plan, &ending, 6);
                    }
                }
            }
            prop_assert!(!was.state.is_final() || instance == was);
            prop_assert!(instance.step >= was.step && instance.step <= was.step + 1);
            prop_assert_eq!(Instance::decode(&instance.encode()), Some(instance.clone()));
        }
        let mut tokens: Vec<_> = last.keys().map(|(token, _, _)| token).collect();
        let count = tokens.len();
        tokens.sort();
        tokens.dedup();
        prop_assert_eq!(tokens.len(), count, "one token, two steps");
    }

    #[test]
    fn garbage_is_not_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Instance::decode(&bytes), None);
    }
}
