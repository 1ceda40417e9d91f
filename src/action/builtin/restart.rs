//! `dtm-restart`: each worker is replaced, one after the other; the next one when all are
//! open and up to date again. `dtm-recycle SECONDS`: the same again and again, with so much
//! time in between.
//!
//! The workers to be replaced are listed once, and the list goes down in the same
//! transaction as the step that replaced one. One that is gone already has been replaced:
//! an attempt that is repeated does nothing twice.

use super::{Standing, args, ask, standing};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use std::ffi::CStr;

pub(super) const ONCE: &str = "dtm-restart";
pub(super) const AGAIN: &str = "dtm-recycle";
pub(super) const PHASES: u32 = 3;
const LIST: u32 = 0;
const REPLACE: u32 = 1;
const NEXT: u32 = 2;

/// Time for a replacement to be open and up to date: that of a start.
fn limit(controller: &Controller) -> u64 {
    controller.rt.config().start_timeout.unwrap_or(0)
}

pub(super) fn run(controller: &Controller, phase: &dtm_phase_t) -> Result<i32> {
    let period = period(phase)?;
    match phase.phase {
        LIST => {
            let workers = controller.workers();
            let spawns = workers.iter().filter(|w| w.state == DTM_WORKER_OPEN);
            let list: Vec<u64> = spawns.map(|w| w.spawn).collect();
            keep(controller, phase, &list)?;
            Ok(DTM_ACTION_NEXT)
        }
        REPLACE => {
            if !controller.txn_fetch(phase.txn, key(phase).as_bytes())? {
                return Ok(DTM_ACTION_PENDING);
            }
            let list = list(controller, phase)?;
            let Some(spawn) = list.first().copied() else {
                return again_later(controller, phase, period);
            };
            if phase.resumed == 0 {
                return ask(controller, phase, DTM_CMD_RECYCLE, spawn);
            }
            match phase.status {
                DTM_OK | DTM_EGONE => {}
                code => return Err(Error::new(code, format!("recycle spawn {spawn}"))),
            }
            keep(controller, phase, &list[1..])?;
            controller.phase_wait(phase, DTM_WAIT_UPDATED, limit(controller))?;
            Ok(DTM_ACTION_NEXT)
        }
        NEXT => {
            match standing(controller, phase) {
                Standing::Updated => {}
                Standing::Late => {
                    let text = "the last replacement is not open in start_timeout";
                    return Err(Error::new(-libc::ETIMEDOUT, text));
                }
                Standing::Unsure => {
                    controller.phase_wait(phase, DTM_WAIT_UPDATED, limit(controller))?;
                    return Ok(DTM_ACTION_AGAIN);
                }
            }
            controller.phase_jump(phase, REPLACE)?;
            Ok(DTM_ACTION_NEXT)
        }
        _ => Ok(DTM_ACTION_DONE),
    }
}

fn again_later(controller: &Controller, phase: &dtm_phase_t, period: Option<u64>) -> Result<i32> {
    let Some(ms) = period else {
        return Ok(DTM_ACTION_DONE);
    };
    controller.phase_wait(phase, DTM_WAIT_TIME, ms)?;
    controller.phase_jump(phase, LIST)?;
    Ok(DTM_ACTION_NEXT)
}

/// The seconds of dtm-recycle.
fn period(phase: &dtm_phase_t) -> Result<Option<u64>> {
    // SAFETY: libdtm's own phase: its name is terminated.
    let name = unsafe { CStr::from_ptr(phase.name) }.to_string_lossy();
    let text = args(phase)?;
    if name == ONCE {
        return match text.is_empty() {
            true => Ok(None),
            false => Err(Error::invalid(format!(
                "'{text}': {ONCE} takes no arguments"
            ))),
        };
    }
    let seconds = text
        .parse()
        .ok()
        .filter(|s: &u64| (1..=31_536_000).contains(s));
    let seconds = seconds
        .ok_or_else(|| Error::invalid(format!("'{text}': {AGAIN} SECONDS, from 1 to 31536000")))?;
    Ok(Some(seconds * 1_000))
}

fn key(phase: &dtm_phase_t) -> String {
    format!("dtm-restart-{}", phase.id)
}

/// Spawn ids mean something in one run only: after a restart of the whole service, all
/// workers are new.
fn keep(controller: &Controller, phase: &dtm_phase_t, spawns: &[u64]) -> Result<()> {
    let mut text = controller.rt.run_name().to_owned();
    for spawn in spawns {
        text += &format!(" {spawn}");
    }
    controller.txn_set(phase.txn, key(phase).as_bytes(), Some(text.as_bytes()))
}

fn list(controller: &Controller, phase: &dtm_phase_t) -> Result<Vec<u64>> {
    let value = controller.txn_get(phase.txn, key(phase).as_bytes())?;
    let text = String::from_utf8(value.unwrap_or_default()).unwrap_or_default();
    let mut words = text.split(' ');
    if words.next() != Some(controller.rt.run_name()) {
        return Ok(Vec::new());
    }
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}
