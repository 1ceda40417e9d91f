//! `dtm-rollout FILE [SECONDS]`: FILE becomes the configuration. The old one is kept beside
//! it, the new one put in its place, and a reload brings it to a canary, then to all; they
//! are watched for some time, and if one dies meanwhile or the reload fails, the old
//! configuration is put back and loaded.
//!
//! Files are moved by rename(): at each moment the configuration is one of the two, whole.

use super::{Standing, args, ask, standing};
use crate::controller::Controller;
use crate::error::{Context, Error, Result};
use crate::ffi::*;
use std::path::PathBuf;

pub(super) const PHASES: u32 = 6;
const INSTALL: u32 = 0;
const RELOAD: u32 = 1;
const WATCH: u32 = 2;
const SETTLE: u32 = 3;
const RESTORE: u32 = 4;
const RETURN: u32 = 5;

/// How long the new generation is watched when nothing is said: longer than the back-off of
/// a worker that dies again and again (5 s), so that such a one is seen.
const WATCH_SECONDS: u64 = 10;
const WATCH_MS: u64 = 1_000;
/// Time for the new generation to be open.
const UPDATED_MS: u64 = 60_000;

struct Plan {
    new: PathBuf,
    config: PathBuf,
    old: PathBuf,
    seconds: u64,
}

pub(super) fn run(controller: &Controller, phase: &dtm_phase_t) -> Result<i32> {
    let plan = plan(controller, phase)?;
    match phase.phase {
        INSTALL => {
            install(&plan)?;
            Ok(DTM_ACTION_NEXT)
        }
        RELOAD => match (phase.resumed, phase.status) {
            (0, _) => ask(controller, phase, DTM_CMD_RELOAD, 0),
            (_, DTM_OK) => {
                let deaths = deaths(controller).to_string();
                let key = format!("dtm-rollout-{}", phase.id);
                controller.txn_set(phase.txn, key.as_bytes(), Some(deaths.as_bytes()))?;
                controller.phase_wait(phase, DTM_WAIT_UPDATED, UPDATED_MS)?;
                Ok(DTM_ACTION_NEXT)
            }
            (_, code @ (DTM_ENOFORK | DTM_EREFUSED)) => Err(Error::new(code, "reload")),
            (_, code) if code == -libc::EBUSY => Err(Error::new(code, "reload")),
            // It was tried and went wrong: again would be no better.
            _ => Ok(DTM_ACTION_FAIL),
        },
        WATCH => watch(controller, phase, &plan),
        SETTLE => {
            let _ = std::fs::remove_file(&plan.old);
            Ok(DTM_ACTION_DONE)
        }
        RESTORE => {
            if plan.old.exists() {
                std::fs::rename(&plan.old, &plan.config)
                    .context(format!("rename to {}", plan.config.display()))?;
            }
            Ok(DTM_ACTION_NEXT)
        }
        RETURN => match (phase.resumed, phase.status) {
            (0, _) => ask(controller, phase, DTM_CMD_RELOAD, 0),
            (_, DTM_OK) => Ok(DTM_ACTION_FAIL),
            (_, code) => Err(Error::new(code, "reload of the old configuration")),
        },
        _ => Ok(DTM_ACTION_DONE),
    }
}

/// It cannot succeed: back to the old configuration, then it is over.
pub(super) fn failed(controller: &Controller, phase: &dtm_phase_t) -> Result<i32> {
    if (RELOAD..=WATCH).contains(&phase.phase) {
        ::log::warn!("action {}: rolling the configuration back", phase.id);
        controller.phase_jump(phase, RESTORE)?;
    }
    Ok(DTM_ACTION_NEXT)
}

fn install(plan: &Plan) -> Result<()> {
    let there = |path: &PathBuf, what: &str| format!("{what} {}", path.display());
    if !plan.old.exists() {
        std::fs::hard_link(&plan.config, &plan.old).context(there(&plan.old, "link to"))?;
    }
    let draft = plan.config.with_extension("dtm-draft");
    std::fs::copy(&plan.new, &draft).context(there(&plan.new, "copy of"))?;
    let file = std::fs::File::open(&draft).context(there(&draft, "open"))?;
    file.sync_all().context(there(&draft, "flush of"))?;
    std::fs::rename(&draft, &plan.config).context(there(&plan.config, "rename to"))
}

fn watch(controller: &Controller, phase: &dtm_phase_t, plan: &Plan) -> Result<i32> {
    let key = format!("dtm-rollout-{}", phase.id);
    if !controller.txn_fetch(phase.txn, key.as_bytes())? {
        return Ok(DTM_ACTION_PENDING);
    }
    let before = controller.txn_get(phase.txn, key.as_bytes())?;
    let text = String::from_utf8(before.unwrap_or_default()).unwrap_or_default();
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|w| w.parse::<u64>().ok());
    let (deaths_then, seen) = (number().unwrap_or(0), number().unwrap_or(0));
    if phase.timed_out != 0 || deaths(controller) > deaths_then {
        return Ok(DTM_ACTION_FAIL);
    }
    if standing(controller, phase) == Standing::Unsure {
        controller.phase_wait(phase, DTM_WAIT_UPDATED, UPDATED_MS)?;
        return Ok(DTM_ACTION_AGAIN);
    }
    if seen >= plan.seconds {
        controller.txn_set(phase.txn, key.as_bytes(), None)?;
        return Ok(DTM_ACTION_NEXT);
    }
    let text = format!("{deaths_then} {}", seen + 1);
    controller.txn_set(phase.txn, key.as_bytes(), Some(text.as_bytes()))?;
    controller.phase_wait(phase, DTM_WAIT_TIME, WATCH_MS)?;
    Ok(DTM_ACTION_AGAIN)
}

/// Deaths of workers that nobody had asked for, since dtm_run().
fn deaths(controller: &Controller) -> u64 {
    controller
        .workers()
        .iter()
        .map(|w| u64::from(w.deaths))
        .sum()
}

fn plan(controller: &Controller, phase: &dtm_phase_t) -> Result<Plan> {
    let text = args(phase)?;
    let mut words = text.split_ascii_whitespace();
    let usage = || Error::invalid(format!("'{text}': FILE [SECONDS]"));
    let new = PathBuf::from(words.next().ok_or_else(usage)?);
    let seconds = match words.next() {
        Some(word) => word.parse().map_err(|_| usage())?,
        None => WATCH_SECONDS,
    };
    let config = controller
        .rt
        .config_file()
        .map(PathBuf::from)
        .ok_or_else(|| {
            Error::new(
                DTM_ESTATE,
                "the service has no config_file that could be rolled out",
            )
        })?;
    let mut old = config.clone().into_os_string();
    old.push(format!(".{}.old", phase.id));
    Ok(Plan {
        new,
        config,
        old: PathBuf::from(old),
        seconds,
    })
}
