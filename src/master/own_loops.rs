//! Workers that run loops of the service's own. Between two passes of libdtm's, nobody here
//! can tell whether such a worker waits or works; but its epoll instance, which the master
//! has as well, knows whether there is something that it should see to.
//!
//! While the master looks ([`super::looking`]), a worker that lets that lie is taken for one
//! at work that does not get on. While it does not, the first event in any of these
//! instances wakes it, once: a worker that hangs does not wake up to say so.

use super::Master;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};

impl Master {
    fn has_own_loops(&self) -> bool {
        self.rt.callbacks.worker_main.is_some()
    }

    /// A worker in a loop of the service's own: is there something for libdtm's pass to do?
    pub(super) fn is_awaited(&self, slot: usize) -> bool {
        if !self.has_own_loops() {
            return false;
        }
        crate::sys::readable(self.shared.schedule.loop_fd(slot))
    }

    /// The master stops looking: the next event in one of these loops wakes it.
    pub(super) fn wait_for_own_loops(&self) {
        if !self.has_own_loops() {
            return;
        }
        let Ok(epoll) = self.poller() else { return };
        let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        for slot in 0..self.pairs.len() {
            let fd = self.shared.schedule.loop_fd(slot);
            let token = super::OWN_LOOP + u64::try_from(slot).unwrap_or(0);
            let mut event = EpollEvent::new(once, token);
            let armed = match epoll.modify(fd, &mut event) {
                Err(Errno::ENOENT) => epoll.add(fd, event),
                armed => armed,
            };
            if let Err(errno) = armed {
                ::log::warn!("slot {slot}: its loop cannot be observed: {}", errno.desc());
            }
        }
    }
}
