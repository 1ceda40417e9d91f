//! Workers of the binary before this one, which drain under its master or, when that is
//! gone, under ours. They hear nothing from here: what is known of them is what the old
//! binary has told, and what the kernel says.

use super::names::{class_name, state_name};
use super::proc::Process;
use super::status::millis;
use super::value::Value;
use crate::ffi::{DTM_CLASS_DISALLOWED, DTM_WORKER_DRAINING};
use crate::upgrade::draining::Draining;

pub(super) struct Adopted {
    pub(super) told: Draining,
    pub(super) process: Option<Process>,
}

impl Adopted {
    /// Until it is killed; None: there is no limit.
    pub(super) fn left_ms(&self) -> Option<u64> {
        let now = crate::sys::now_ms();
        self.told.until.map(|until| until.saturating_sub(now))
    }

    pub(super) fn left_seconds(&self) -> Value {
        let left = self.left_ms();
        left.map_or(Value::Null, |ms| Value::Double(millis(ms) / 1e3))
    }

    /// As a row of WORKERS: what this binary cannot know is null.
    pub(super) fn to_value(&self) -> Value {
        let told = &self.told;
        let of = |get: fn(&Process) -> Value| self.process.as_ref().map_or(Value::Null, get);
        Value::Map(vec![
            ("slot", Value::count(told.slot)),
            ("generation", Value::count(told.generation)),
            ("spawn", Value::count(told.spawn)),
            ("pid", Value::Int(told.pid.into())),
            ("state", state_name(DTM_WORKER_DRAINING).into()),
            ("age_seconds", of(|p| Value::Double(p.age))),
            ("clients", told.clients.map_or(Value::Null, Value::count)),
            ("cpu_seconds", of(|p| Value::Double(p.cpu))),
            ("rss_bytes", of(|p| Value::count(p.rss_bytes))),
            ("class", class_name(DTM_CLASS_DISALLOWED).into()),
            ("binary", "old".into()),
            ("drain_left_seconds", self.left_seconds()),
        ])
    }
}
