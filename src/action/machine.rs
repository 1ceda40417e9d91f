//! What becomes of an instance: (instance, event, now) -> instance. Pure: no store, no
//! clock, no callback.
//!
//! A *step* is one entry of a phase. Its attempts are counted before each begins; the
//! transition to the next step is one change of one record. Whoever dies in between
//! leaves a record that says exactly how far it had come. flow: C10

use super::instance::{Fall, For, Instance, Stage, State, Wait};
use crate::error::{Error, Result};
use crate::ffi::*;

/// What an action is, as far as decisions go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) phases: u32,
    pub(crate) attempts: u32,
    pub(crate) has_failed: bool,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// DTM_ACTION_* or negative.
    pub(crate) code: i32,
    pub(crate) jump: Option<u32>,
    pub(crate) wait: Option<(For, u64)>,
}

/// First repetition of a failed attempt after a second, then twice as long each time: a
/// fault that passes by itself has passed, one that lasts is not hammered at.
const RETRY_MS: u64 = 1_000;
const RETRY_MAX_MS: u64 = 60_000;

/// May another attempt begin, or are they used up? A controller that died in its attempts
/// has not told of any failure: the count has.
pub(crate) fn exhausted(instance: &Instance, plan: &Plan) -> bool {
    instance.attempt.saturating_sub(instance.forgiven) >= plan.attempts
}

/// The attempt is counted, and then it begins.
pub(crate) fn begin(instance: &Instance, timed_out: bool, now: u64) -> Instance {
    Instance {
        state: State::Active,
        attempt: instance.attempt.saturating_add(1),
        timed_out: instance.timed_out || timed_out,
        wait: None,
        changed: now,
        ..instance.clone()
    }
}

/// The attempts are used up, whatever they ended with.
pub(crate) fn give_up(instance: &Instance, plan: &Plan, now: u64) -> Instance {
    match instance.fall {
        Fall::No => fall(instance, plan, Fall::Parking, now),
        Fall::Parking => close(instance, State::Parked, now),
        Fall::Failing => close(instance, State::Failed, now),
    }
}

/// An attempt has ended.
pub(crate) fn conclude(instance: &Instance, plan: &Plan, ending: &Ending, now: u64) -> Instance {
    let over = matches!(ending.code, DTM_ACTION_NEXT | DTM_ACTION_DONE);
    match (ending.code, instance.fall) {
        (DTM_ACTION_AGAIN, _) => waiting(&fresh(instance), ending.wait, now),
        (DTM_ACTION_NEXT, Fall::No) => next(instance, plan, ending, now),
        (DTM_ACTION_DONE, Fall::No) => close(instance, State::Done, now),
        (DTM_ACTION_FAIL, Fall::No) => {
            let told = Instance {
                cause: DTM_EFAILED,
                text: "it has said that it cannot succeed".into(),
                ..instance.clone()
            };
            fall(&told, plan, Fall::Failing, now)
        }
        (_, Fall::Parking | Fall::Failing) if over && ending.jump.is_some() => {
            next(instance, plan, ending, now)
        }
        (_, Fall::Parking | Fall::Failing) if over || ending.code == DTM_ACTION_FAIL => {
            give_up(instance, plan, now)
        }
        (code, _) => failed(instance, plan, code, now),
    }
}

fn next(instance: &Instance, plan: &Plan, ending: &Ending, now: u64) -> Instance {
    let following = match instance.stage {
        Stage::Pre => 0,
        Stage::Run => instance.phase + 1,
    };
    let phase = ending.jump.unwrap_or(following);
    if phase >= plan.phases {
        return close(instance, State::Done, now);
    }
    let next = Instance {
        stage: Stage::Run,
        phase,
        cause: 0,
        text: String::new(),
        ..fresh(instance)
    };
    waiting(&next, ending.wait, now)
}

fn failed(instance: &Instance, plan: &Plan, code: i32, now: u64) -> Instance {
    let name = crate::error::name(code).to_string_lossy().into_owned();
    let told = Instance {
        cause: code,
        text: format!("attempt {} failed with {code} ({name})", instance.attempt),
        ..instance.clone()
    };
    if exhausted(&told, plan) {
        return give_up(&told, plan, now);
    }
    let nth = told.attempt.saturating_sub(told.forgiven).saturating_sub(1);
    let ms = (RETRY_MS << nth.min(16)).min(RETRY_MAX_MS);
    waiting(&told, Some((For::Time, ms)), now)
}

/// The next step, not begun yet.
fn fresh(instance: &Instance) -> Instance {
    Instance {
        step: instance.step + 1,
        attempt: 0,
        forgiven: 0,
        fall: Fall::No,
        before: 0,
        timed_out: false,
        ..instance.clone()
    }
}

/// To `failed`, or past it. The step stays what it is: resumed, it goes on with its token.
fn fall(instance: &Instance, plan: &Plan, fall: Fall, now: u64) -> Instance {
    if !plan.has_failed {
        let fallen = Instance {
            fall,
            before: instance.attempt,
            ..instance.clone()
        };
        return give_up(&fallen, plan, now);
    }
    let fallen = Instance {
        fall,
        falls: instance.falls.saturating_add(1),
        before: instance.attempt,
        attempt: 0,
        forgiven: 0,
        ..instance.clone()
    };
    waiting(&fallen, None, now)
}

fn waiting(instance: &Instance, wait: Option<(For, u64)>, now: u64) -> Instance {
    let wait = wait.map(|(what, ms)| Wait {
        what,
        ms,
        until: now.saturating_add(ms),
    });
    Instance {
        state: match wait {
            Some(_) => State::Waiting,
            None => State::Active,
        },
        wait,
        changed: now,
        ..instance.clone()
    }
}

fn close(instance: &Instance, state: State, now: u64) -> Instance {
    Instance {
        state,
        step: instance.step + u64::from(state.is_final()),
        wait: None,
        changed: now,
        ..instance.clone()
    }
}

/// An operator's verb, DTM_VERB_*. The error says why not.
pub(crate) fn operate(instance: &Instance, verb: u32, now: u64) -> Result<Instance> {
    let state = instance.state;
    let refused = |what: &str| {
        let (id, name) = (instance.id, state.name());
        let text = format!("action {id} is {name}: {what}");
        Err(Error::new(DTM_EREFUSED, text))
    };
    let changed = |state: State| Instance {
        state,
        changed: now,
        ..instance.clone()
    };
    let going = match instance.wait {
        Some(_) => State::Waiting,
        None => State::Active,
    };
    match verb {
        DTM_VERB_PAUSE => match state {
            State::Active | State::Waiting => Ok(changed(State::Paused)),
            _ => refused("only what is active or waits can be paused"),
        },
        DTM_VERB_RESUME => match state {
            State::Paused => Ok(changed(going)),
            State::Parked => Ok(Instance {
                fall: Fall::No,
                attempt: instance.before,
                forgiven: instance.before,
                before: 0,
                // What came too late may be there by now.
                timed_out: false,
                text: String::new(),
                ..changed(State::Active)
            }),
            _ => refused("only what is paused or parked can be resumed"),
        },
        DTM_VERB_CANCEL => match state.is_final() {
            false => Ok(Instance {
                text: "cancelled by an operator".into(),
                ..close(instance, State::Cancelled, now)
            }),
            true => refused("it is over"),
        },
        DTM_VERB_GO => match (state, instance.wait) {
            (State::Waiting | State::Paused, Some(wait)) if wait.what == For::Go => {
                let state = match state {
                    State::Paused => State::Paused,
                    _ => State::Active,
                };
                Ok(Instance {
                    wait: None,
                    ..changed(state)
                })
            }
            _ => refused("it does not wait for a go"),
        },
        _ => Err(Error::invalid(format!("verb {verb}: must be DTM_VERB_*"))),
    }
}

#[cfg(test)]
mod tests;
