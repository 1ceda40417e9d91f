//! The service's timers.

use super::clock::Clock;
use super::entry::{Entry, Kind};
use super::handle::{Object, alive};
use super::reactor::Reactor;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard::callback;
use crate::shm::Doing;
use std::ffi::c_void;

impl Reactor {
    pub(crate) fn timer_add(
        &self,
        first_ms: u32,
        period_ms: u32,
        fire: dtm_timer_cb,
        data: *mut c_void,
    ) -> Result<*mut dtm_timer_t> {
        if fire.is_none() {
            return Err(Error::invalid("a timer needs a function"));
        }
        self.check_up()?;
        let kind = Kind::Timer { fire, period_ms };
        let entry = self.slab.take(kind, -1, data)?;
        self.start(entry, first_ms);
        Ok(entry.handle())
    }

    /// Anew; DTM_OFF stops it.
    pub(crate) fn timer_set(
        &self,
        timer: *const dtm_timer_t,
        first_ms: u32,
        period_ms: u32,
    ) -> Result<()> {
        let entry = alive(timer, Object::Timer)?;
        if let Kind::Timer { fire, .. } = entry.kind.get() {
            // A timer that was stopped in its own callback must not go on after it.
            let period_ms = if first_ms == DTM_OFF { 0 } else { period_ms };
            entry.kind.set(Kind::Timer { fire, period_ms });
        }
        self.start(entry, first_ms);
        Ok(())
    }

    pub(crate) fn timer_free(&self, timer: *const dtm_timer_t) -> Result<()> {
        self.timer_end(alive(timer, Object::Timer)?);
        Ok(())
    }

    pub(super) fn timer_end(&self, entry: &Entry) {
        self.disarm_timer(entry);
        self.give(entry);
    }

    fn start(&self, entry: &Entry, first_ms: u32) {
        match first_ms {
            DTM_OFF => self.disarm_timer(entry),
            ms => self.arm_timer(entry, Clock::read().ceil_ms() + u64::from(ms)),
        }
    }

    /// It is due. Its function may set it, stop it or free it.
    pub(super) fn fire(&self, entry: &Entry, fire: dtm_timer_cb) {
        let Some(fire) = fire else { return };
        self.begin(Doing::Timer, entry);
        let (rt, data, life) = (self.setup.rt, entry.data.get(), entry.key());
        // SAFETY: the service's function, with a living timer.
        callback(|| unsafe { fire(rt, entry.handle(), data) });
        if entry.key() != life || entry.node.is_armed() {
            return;
        }
        if let Kind::Timer { period_ms, .. } = entry.kind.get()
            && !matches!(period_ms, 0 | DTM_OFF)
        {
            let next = next_in_step(entry.node.deadline(), period_ms, self.now_ms());
            self.arm_timer(entry, next);
        }
    }
}

/// The next time that is a whole number of periods after `last`, and after `now`.
fn next_in_step(last: u64, period_ms: u32, now: u64) -> u64 {
    let period = u64::from(period_ms);
    let missed = now.saturating_sub(last) / period;
    last + (missed + 1) * period
}

#[cfg(test)]
mod tests {
    use super::next_in_step;

    #[test]
    fn keeps_in_step_and_makes_up_for_nothing() {
        assert_eq!(next_in_step(100, 10, 100), 110);
        assert_eq!(next_in_step(100, 10, 109), 110);
        assert_eq!(next_in_step(100, 10, 110), 120);
        assert_eq!(next_in_step(100, 10, 1234), 1240);
    }
}
