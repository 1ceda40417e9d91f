//! What is told of the service as a whole: published when it has changed.

use super::Master;
use crate::ffi::DTM_OK;
use crate::shm::{Count, Facts};

/// Before the first fork; the configuration is loaded.
pub(super) fn at_start() -> Facts {
    let now = crate::sys::wall_seconds();
    Facts {
        started_at: now,
        started_ms: crate::sys::now_ms(),
        config_at: now,
        ..Facts::default()
    }
}

impl Master {
    pub(super) fn publish_facts(&mut self) {
        let fresh = Facts {
            elsewhere: u64::from(self.upgrade.serves_elsewhere()),
            ..self.policy.facts(&self.facts)
        };
        if fresh != self.facts || fresh.counts.get(Count::Forks) == 0 {
            self.shared.facts.publish(&fresh);
            self.facts = fresh;
        }
    }

    /// Processes and facts. Whoever looks in between misses no workers: neither those that
    /// are not wanted any more, nor those that are not shown yet.
    pub(super) fn publish_all(&mut self) {
        if self.policy.facts(&self.facts).workers < self.facts.workers {
            self.publish_facts();
        }
        self.publish();
        self.publish_facts();
    }

    pub(super) fn reload_ended(&mut self, code: i32) {
        self.facts.reload_at = crate::sys::wall_seconds();
        self.facts.reload_code = u64::from(code.unsigned_abs());
        self.shared.facts.publish(&self.facts);
    }

    pub(super) fn config_ended(&mut self, code: i32) {
        if code == DTM_OK {
            self.facts.config_at = crate::sys::wall_seconds();
            self.shared.facts.publish(&self.facts);
        }
    }
}
