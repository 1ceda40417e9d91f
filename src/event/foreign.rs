//! The loop inside of somebody else's loop: that one polls our epoll fd. Our fds make
//! it readable by themselves, our timers and queue through a timerfd that lies in it.

use super::reactor::{ABROAD, OWN, Reactor};
use crate::error::{Error, Result};
use std::cell::{Cell, OnceCell};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Token of the timerfd.
const TOKEN: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Foreign {
    timer: OnceCell<OwnedFd>,
    /// The deadline it is set to, in ms.
    set_to: Cell<Option<u64>>,
}

impl Foreign {
    /// Its event only ends the wait: setting it anew takes the event back.
    pub(super) fn is_token(token: u32) -> bool {
        token == TOKEN
    }
}

impl Reactor {
    /// From now on epoll_fd() is readable whenever pass() has something to do.
    pub(crate) fn foreign(&self) -> Result<()> {
        if self.foreign.timer.get().is_none() {
            let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
            // SAFETY: no pointers.
            let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
            if fd < 0 {
                return Err(Error::last_os("timerfd_create for the service's own loop"));
            }
            // SAFETY: fresh, nobody else has it.
            let timer = unsafe { OwnedFd::from_raw_fd(fd) };
            let events = libc::EPOLLIN.cast_unsigned();
            self.poller.add(fd, events, OWN | u64::from(TOKEN))?;
            // Unset until here, and this is the only place that sets it.
            let _ = self.foreign.timer.set(timer);
            self.set_rare(ABROAD);
        }
        self.foreign_update()
    }

    /// Keep the timerfd set to when pass() should run next.
    pub(super) fn foreign_update(&self) -> Result<()> {
        let Some(timer) = self.foreign.timer.get() else {
            return Ok(());
        };
        let deadline = match self.queue.is_empty() {
            true => self.next_deadline(),
            false => Some(0),
        };
        if self.foreign.set_to.get() == deadline {
            return Ok(());
        }
        // SAFETY: zero is a valid itimerspec: stopped.
        let mut setting: libc::itimerspec = unsafe { std::mem::zeroed() };
        if let Some(ms) = deadline {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            setting.it_value.tv_sec = ms / 1000;
            // Zero would stop it.
            setting.it_value.tv_nsec = (ms % 1000 * 1_000_000).max(1);
        }
        let null = std::ptr::null_mut();
        // SAFETY: setting lives during the call, the old one is not asked for.
        let result = unsafe {
            libc::timerfd_settime(
                timer.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const setting,
                null,
            )
        };
        if result != 0 {
            return Err(Error::last_os(
                "timerfd_settime (were libdtm's fds closed?)",
            ));
        }
        self.foreign.set_to.set(deadline);
        Ok(())
    }

    /// Take the timerfd out of a shared epoll, before it is closed.
    pub(super) fn foreign_end(&self) {
        if let Some(timer) = self.foreign.timer.get() {
            self.poller.delete(timer.as_raw_fd());
        }
    }
}
