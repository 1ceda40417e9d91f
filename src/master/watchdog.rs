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

    /// The sentinel says when one of them waits, from now on. It may be in the loop already.
    pub(super) fn watch_queues(&mut self) {
        let sentinel = self.shared.schedule.sentinel_fd();
        self.unwatch(sentinel);
        self.watchdog = None;
        if let Err(error) = self.watch(sentinel, SENTINEL) {
            ::log::warn!("{error}: looking at the accept queues every {BLIND_MS} ms instead");
            self.watchdog = Some(crate::sys::now_ms() + BLIND_MS);
        }
    }

    /// Something changed for those who wait: if the queues are to be looked at
    /// again, then now.
    pub(super) fn look_sooner(&mut self) {
        self.watchdog = self.watchdog.map(|_| 0);
    }

    /// Nothing happened until now: was that only a look at the accept queues that found
    /// nothing to do, while nothing else is due? Where clients come thick and fast this is
    /// most of what wakes the master up, so it is to touch little.
    pub(super) fn may_sleep_on(&mut self, due: Option<u64>) -> bool {
        let now = crate::sys::now_ms();
        due.is_none_or(|at| at > now)
            && self.watchdog.is_some_and(|at| at <= now)
            && !self.shared.schedule.stands_by()
            && self.look_at_queues(now)
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
        self.look_at_queues(now);
    }

    /// True: there was nothing to do, and they are to be looked at again.
    fn look_at_queues(&mut self, now: u64) -> bool {
        let look = self.shared.schedule.on_sentinel(now);
        let nothing = look.take.is_empty() && look.nudge.is_empty();
        for door in look.take {
            if !self.exhausted() {
                self.take_from(door);
            }
        }
        for slot in look.nudge {
            self.tell(slot, Kind::Nudge, 0);
        }
        match look.again {
            Some(ms) => self.watchdog = Some(now + ms),
            None => self.watch_queues(),
        }
        nothing && look.again.is_some()
    }
}
