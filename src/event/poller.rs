//! epoll, and what its bits mean to a service.

use super::entry::{Entry, FAILED, HUNG_UP, NOT_ARMED, small};
use crate::error::{Error, Result};
use crate::ffi::*;
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Events taken from the kernel at once.
const COUNT: i32 = 64;

/// What the kernel reports of one fd.
type Event = Cell<libc::epoll_event>;

#[repr(C)]
pub(super) struct Poller {
    epoll: OwnedFd,
    /// Where the kernel puts what it has to report.
    batch: [Event; COUNT as usize],
}

/// What an interest may consist of.
pub(super) const INTEREST: u32 = DTM_READ | DTM_WRITE | DTM_HUP;

const READ: u8 = small(DTM_READ);
const WRITE: u8 = small(DTM_WRITE);
const HUP: u8 = small(DTM_HUP);

pub(super) const EPOLLIN: u32 = libc::EPOLLIN.cast_unsigned();
const EPOLLOUT: u32 = libc::EPOLLOUT.cast_unsigned();
const EPOLLRDHUP: u32 = libc::EPOLLRDHUP.cast_unsigned();
const EPOLLONESHOT: u32 = libc::EPOLLONESHOT.cast_unsigned();
const FAILURE: u32 = (libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();

impl Poller {
    /// The epoll may be one that a process used which was killed: descriptors which
    /// that one had inherited, as we have, are still in it.
    pub(super) fn new(epoll: OwnedFd) -> Self {
        let empty = || Cell::new(libc::epoll_event { events: 0, u64: 0 });
        let batch = std::array::from_fn(|_| empty());
        let poller = Self { epoll, batch };
        for fd in poller.registered() {
            poller.delete(fd);
        }
        poller
    }

    /// What is in this epoll, as far as /proc tells.
    fn registered(&self) -> Vec<RawFd> {
        let path = format!("/proc/self/fdinfo/{}", self.fd());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = |line: &str| {
            line.strip_prefix("tfd:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        text.lines().filter_map(number).collect()
    }

    #[inline(always)]
    pub(super) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    pub(super) fn add(&self, fd: RawFd, events: u32, data: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, data)
    }

    pub(super) fn modify(&self, fd: RawFd, events: u32, data: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, data)
    }

    /// False: the fd is not in this epoll, so it is not the one that was added.
    pub(super) fn delete(&self, fd: RawFd) -> bool {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0).is_ok()
    }

    #[unsafe(link_section = ".text.hot")]
    fn control(&self, op: i32, fd: RawFd, events: u32, data: u64) -> Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: event lives during the call; fds are checked by the kernel.
        match unsafe { libc::epoll_ctl(self.fd(), op, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(Error::last_os(format_args!("epoll_ctl of fd {fd}"))),
        }
    }

    /// Bring epoll up to date with what the entry waits for, if that changed.
    pub(super) fn arm(&self, entry: &Entry) -> Result<()> {
        let mut want = entry.interest.get();
        if entry.has(HUNG_UP) {
            want &= !HUP;
        }
        let armed = entry.armed.get();
        let nothing_to_come = want == 0 && entry.has(FAILED);
        if want == armed || nothing_to_come && armed == NOT_ARMED {
            return Ok(());
        }
        if nothing_to_come {
            self.control(libc::EPOLL_CTL_DEL, entry.fd.get(), 0, 0)?;
            want = NOT_ARMED;
        } else if armed == NOT_ARMED {
            self.add(entry.fd.get(), epoll_bits(want), entry.key())?;
        } else {
            self.modify(entry.fd.get(), epoll_bits(want), entry.key())?;
        }
        entry.armed.set(want);
        Ok(())
    }

    /// Has this one's turn only not come yet? More may be ready than are taken at once.
    #[cold]
    pub(super) fn reports(&self, entry: &Entry) -> bool {
        let armed = entry.armed.get();
        if armed == NOT_ARMED || armed == 0 {
            return false;
        }
        // The bits of poll(2) are those of epoll.
        let bits = i16::try_from(epoll_bits(armed) & 0xffff).unwrap_or(0);
        let mut poll = libc::pollfd {
            fd: entry.fd.get(),
            events: bits,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives during the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) > 0 && poll.revents & bits != 0 }
    }

    /// What it returns is for batch().
    #[inline(always)]
    pub(super) fn wait(&self, timeout_ms: i32) -> i32 {
        let first = Cell::as_ptr(&self.batch[0]);
        // SAFETY: the kernel writes at most COUNT events.
        unsafe { libc::epoll_wait(self.fd(), first, COUNT, timeout_ms) }
    }

    /// The first event, or the only one.
    #[inline(always)]
    pub(super) fn event(&self) -> libc::epoll_event {
        self.batch[0].get()
    }

    /// The events that came. A signal ends the wait without any.
    pub(super) fn batch(&self, n: i32) -> Result<&[Event]> {
        if let Ok(n) = usize::try_from(n) {
            return Ok(self.batch.get(..n).unwrap_or_default());
        }
        match nix::errno::Errno::last() {
            nix::errno::Errno::EINTR => Ok(&[]),
            errno => Err(Error::os(errno, "epoll_wait (were libdtm's fds closed?)")),
        }
    }
}

/// Without any interest a failure is still reported, but once: EPOLLONESHOT.
fn epoll_bits(interest: u8) -> u32 {
    let mut bits = 0;
    if interest & READ != 0 {
        bits |= EPOLLIN;
    }
    if interest & WRITE != 0 {
        bits |= EPOLLOUT;
    }
    if interest & HUP != 0 {
        bits |= EPOLLRDHUP;
    }
    if bits == 0 { EPOLLONESHOT } else { bits }
}

/// What epoll reported about an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// DTM_READ, DTM_WRITE, DTM_HUP.
    pub(super) events: u32,
    /// The peer has shut down its sending side.
    pub(super) hung_up: bool,
    /// The connection is of no use any more, but for what was received before.
    pub(super) failed: bool,
}

/// DTM_READ and DTM_WRITE of what epoll reports.
#[inline(always)]
pub(super) fn wanted(bits: u32) -> u32 {
    let mut events = 0;
    if bits & EPOLLIN != 0 {
        events |= DTM_READ;
    }
    if bits & EPOLLOUT != 0 {
        events |= DTM_WRITE;
    }
    events
}

/// More than bytes to read, or room to write.
#[inline(always)]
pub(super) fn is_trouble(bits: u32) -> bool {
    bits & (FAILURE | EPOLLRDHUP) != 0
}

/// `interest` may have changed since the kernel reported: it is told nothing else.
pub(super) fn report(bits: u32, interest: u8) -> Report {
    let mut events = wanted(bits);
    let hung_up = bits & EPOLLRDHUP != 0 && interest & HUP != 0;
    let failed = bits & FAILURE != 0;
    events &= u32::from(interest);
    if hung_up || failed {
        events |= DTM_HUP;
    }
    Report {
        events,
        hung_up,
        failed,
    }
}

/// Bytes that were received and not read yet; 0 too for an fd that cannot tell.
pub(crate) fn unread(fd: RawFd) -> i32 {
    let mut bytes: i32 = 0;
    // SAFETY: FIONREAD stores one int.
    match unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) } {
        0 => bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let told = |events, hung_up, failed| Report {
            events,
            hung_up,
            failed,
        };
        assert_eq!(report(EPOLLIN, READ | WRITE), told(DTM_READ, false, false));
        assert_eq!(report(EPOLLIN | EPOLLOUT, 0), told(0, false, false));
        assert_eq!(report(EPOLLRDHUP, READ), told(0, false, false));
        assert_eq!(report(EPOLLRDHUP, HUP), told(DTM_HUP, true, false));
        assert_eq!(report(FAILURE, 0), told(DTM_HUP, false, true));
        assert_eq!(
            report(FAILURE | EPOLLIN | EPOLLRDHUP, READ),
            told(DTM_READ | DTM_HUP, false, true)
        );
    }
}
