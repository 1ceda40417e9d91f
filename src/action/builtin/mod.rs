//! The actions that every service has. They are actions like its own: durable, and seen
//! and stopped by the same commands.

mod restart;
mod rollout;

use super::{ATTEMPTS, Action, Calls};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard;
use std::ffi::{CString, c_char, c_void};
use std::rc::Rc;

type Phase = unsafe extern "C-unwind" fn(*mut dtm_t, *const dtm_phase_t, *mut c_void) -> i32;

/// Names, phases, what they run, and what runs when they fail.
const ALL: &[(&str, u32, Phase, dtm_phase_cb)] = &[
    (restart::ONCE, restart::PHASES, restart, None),
    (restart::AGAIN, restart::PHASES, restart, None),
    ("dtm-rollout", rollout::PHASES, rollout, Some(roll_back)),
];

pub(super) fn all() -> Vec<Rc<Action>> {
    let action = |(name, phases, action, failed): &(&str, u32, Phase, dtm_phase_cb)| {
        Rc::new(Action {
            name: (*name).to_owned(),
            c_name: CString::new(*name).unwrap_or_default(),
            phases: *phases,
            attempts: ATTEMPTS,
            calls: Calls {
                preaction: None,
                action: Some(*action),
                failed: *failed,
                data: std::ptr::null_mut(),
            },
        })
    };
    ALL.iter().map(action).collect()
}

unsafe extern "C-unwind" fn restart(
    _: *mut dtm_t,
    phase: *const dtm_phase_t,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the phase lives during the call.
    on_phase(phase, |controller| unsafe {
        restart::run(controller, &*phase)
    })
}

unsafe extern "C-unwind" fn rollout(
    _: *mut dtm_t,
    phase: *const dtm_phase_t,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the phase lives during the call.
    on_phase(phase, |controller| unsafe {
        rollout::run(controller, &*phase)
    })
}

unsafe extern "C-unwind" fn roll_back(
    _: *mut dtm_t,
    phase: *const dtm_phase_t,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the phase lives during the call.
    on_phase(phase, |controller| unsafe {
        rollout::failed(controller, &*phase)
    })
}

/// As if the service had called: through the border, with its errors as codes. Arguments
/// that are wrong are wrong the next time, too: it cannot succeed.
fn on_phase(phase: *const dtm_phase_t, f: impl FnOnce(&Controller) -> Result<i32>) -> i32 {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let done = f(rt.controller()?).inspect_err(|error| {
            // SAFETY: the phase lives during the call.
            let (id, number) = unsafe { ((*phase).id, (*phase).phase) };
            ::log::warn!("action {id}, phase {number}: {error}");
        });
        match done {
            Err(error) if error.code == DTM_EINVAL => Ok(DTM_ACTION_FAIL),
            other => other,
        }
    })
}

/// Its arguments as text.
fn args(phase: &dtm_phase_t) -> Result<String> {
    if phase.args.len == 0 {
        return Ok(String::new());
    }
    // SAFETY: libdtm's own phase: as many bytes as it says.
    let bytes = unsafe { std::slice::from_raw_parts(phase.args.ptr.cast::<u8>(), phase.args.len) };
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("arguments: not UTF-8"))?;
    Ok(text.trim().to_owned())
}

/// How it is with the workers, for a step that has waited until all are open and up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Updated,
    /// They were not in time, and are not now.
    Late,
    /// They were, for an earlier attempt; or they were not, and it was resumed since.
    Unsure,
}

fn standing(controller: &Controller, phase: &dtm_phase_t) -> Standing {
    let updated = || controller.see(true).updated;
    match (phase.timed_out, phase.attempt) {
        (0, 1) => Standing::Updated,
        _ if updated() => Standing::Updated,
        (0, _) => Standing::Unsure,
        _ => Standing::Late,
    }
}

/// Ask the master, and go on when it has answered.
fn ask(controller: &Controller, phase: &dtm_phase_t, kind: u32, arg: u64) -> Result<i32> {
    let id = std::ptr::without_provenance_mut(usize::try_from(phase.id).unwrap_or(0));
    controller.command(kind, arg, Some(answered), id)?;
    Ok(DTM_ACTION_PENDING)
}

unsafe extern "C-unwind" fn answered(
    _: *mut dtm_t,
    _: u64,
    status: i32,
    _: *const c_char,
    id: *mut c_void,
) {
    let id = u64::try_from(id.addr()).unwrap_or(0);
    let _: i32 = guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        // Cancelled meanwhile, or begun anew: then nobody waits for it.
        let _ = rt.controller()?.action_wake(id, status);
        Ok(())
    });
}
