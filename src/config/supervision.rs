//! The part of the configuration that supervision goes by; docs/supervision.md has the
//! reason of each default.

use super::Settings;
use crate::error::{Error, Result};
use crate::ffi::DTM_OFF;

/// Durations are in milliseconds; `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supervision {
    pub(crate) hang: Option<u64>,
    pub(crate) respawn_budget: Option<u32>,
    pub(crate) respawn_window: u64,
    pub(crate) recycle: Recycle,
    /// Automatic scaling.
    pub(crate) scale: Option<Scale>,
    pub(crate) scale_period: u64,
}

/// When a worker is replaced although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recycle {
    pub(crate) clients: Option<u64>,
    pub(crate) requests: Option<u64>,
    pub(crate) age: Option<u64>,
    pub(crate) idle: Option<u64>,
    /// MiB.
    pub(crate) memory_soft: Option<u64>,
    pub(crate) memory_hard: Option<u64>,
    /// Percent of a limit that is added per worker index.
    pub(crate) stagger: u64,
    pub(crate) min_age: u64,
    pub(crate) parallel: u32,
}

impl Recycle {
    /// Is there a limit at all?
    pub(crate) fn is_on(&self) -> bool {
        self.quiet_period().is_some() || self.limits_memory() || self.counts()
    }

    pub(crate) fn limits_memory(&self) -> bool {
        self.memory_soft.is_some() || self.memory_hard.is_some()
    }

    fn counts(&self) -> bool {
        self.clients.is_some() || self.requests.is_some()
    }

    /// How often to look at workers that all sleep: age and idleness come to them, too.
    pub(crate) fn quiet_period(&self) -> Option<u64> {
        let limit = [self.age, self.idle].into_iter().flatten().min()?;
        Some((limit / 10).clamp(20, 60_000))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) spare: u32,
}

impl Supervision {
    /// Of complete settings.
    pub(super) fn of(v: &Settings) -> Self {
        let or_off = |value: u32| (value != DTM_OFF).then_some(u64::from(value));
        let scale = (v.workers_min != DTM_OFF && v.workers_max != DTM_OFF).then_some(Scale {
            min: v.workers_min,
            max: v.workers_max,
            spare: v.workers_spare,
        });
        Self {
            hang: or_off(v.hang_timeout_ms),
            respawn_budget: (v.respawn_budget != DTM_OFF).then_some(v.respawn_budget),
            respawn_window: v.respawn_window_ms.into(),
            recycle: Recycle {
                clients: or_off(v.recycle_clients),
                requests: or_off(v.recycle_requests),
                age: or_off(v.recycle_age_ms),
                idle: or_off(v.recycle_idle_ms),
                memory_soft: or_off(v.memory_soft_mib),
                memory_hard: or_off(v.memory_hard_mib),
                stagger: or_off(v.recycle_stagger).unwrap_or(0),
                min_age: v.recycle_min_age_ms.into(),
                parallel: v.recycle_parallel,
            },
            scale,
            scale_period: v.scale_period_ms.into(),
        }
    }
}

/// What depends on more than one key.
pub(super) fn check(v: &Settings) -> Result<()> {
    match (v.workers_min, v.workers_max) {
        (DTM_OFF, DTM_OFF) => {}
        (DTM_OFF, _) => return Err(wrong("workers_max is set, workers_min is not: set both")),
        (_, DTM_OFF) => return Err(wrong("workers_min is set, workers_max is not: set both")),
        (min, max) if min > max => {
            return Err(wrong(format!(
                "workers_min = {min}: above workers_max = {max}"
            )));
        }
        (_, max) if max >= v.max_processes => {
            return Err(wrong(format!(
                "workers_max = {max}: no room for them and the controller in max_processes = {}",
                v.max_processes
            )));
        }
        (min, max) if !(min..=max).contains(&v.workers) => {
            return Err(wrong(format!(
                "workers = {}: not within workers_min = {min} and workers_max = {max}",
                v.workers
            )));
        }
        _ => {}
    }
    if v.memory_soft_mib != DTM_OFF && v.memory_soft_mib > v.memory_hard_mib {
        return Err(wrong(format!(
            "memory_soft = {} MiB: above memory_hard = {} MiB, so it would never count",
            v.memory_soft_mib, v.memory_hard_mib
        )));
    }
    Ok(())
}

fn wrong(text: impl Into<String>) -> Error {
    Error::config(text.into())
}
