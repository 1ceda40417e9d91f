//! Clients that wait because all workers are busy: the sentinel says so. flow: M5

use super::{Master, SENTINEL};
use crate::channel::Kind;

/// The accept queues are looked at this often while epoll has no room for the sentinel.
const BLIND_MS: u64 = 100;

impl Master {
    /// An accept queue waits although workers stand armed: they are all busy.
    pub(super) fn queue_waits(&mut self) {
        self.unwatch(self.shared.schedule.sentinel_fd());
        self.watchdog = Some(crate::sys::now_ms());
    }

    /// Something changed for those who wait: if the queues are to be looked at
    /// again, then now.
    pub(super) fn look_sooner(&mut self) {
        self.watchdog = self.watchdog.map(|_| 0);
    }

    pub(super) fn run_watchdog(&mut self) {
        if self.shared.schedule.stands_by() {
            self.watchdog = None;
            return;
        }
        let now = crate::sys::now_ms();
        if self.watchdog.is_none_or(|at| at > now) {
            return self.shared.schedule.check(now);
        }
        let look = self.shared.schedule.on_sentinel(now);
        for door in look.take {
            if !self.exhausted() {
                self.take_from(door);
            }
        }
        for slot in look.nudge {
            self.tell(slot, Kind::Nudge, 0);
        }
        self.watchdog = look.again.map(|ms| now + ms);
        if self.watchdog.is_none()
            && let Err(error) = self.watch(self.shared.schedule.sentinel_fd(), SENTINEL)
        {
            ::log::warn!("{error}: looking at the accept queues every {BLIND_MS} ms instead");
            self.watchdog = Some(now + BLIND_MS);
        }
    }
}
