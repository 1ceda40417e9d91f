//! interim
use std::os::fd::*;
pub(crate) const LISTENER_TOKEN: u32 = 0x100;
pub(crate) struct Schedule {
    epfds: Vec<OwnedFd>,
    sentinel: OwnedFd,
    listeners: Vec<RawFd>,
}
pub(crate) struct Seat {
    fd: RawFd,
}
use crate::error::Result;
impl Schedule {
    pub(crate) fn new(slots: usize, l: &[RawFd], _k: u32) -> Result<Self> {
        Ok(Self {
            epfds: (0..slots)
                .map(|_| crate::sys::epoll())
                .collect::<Result<_>>()?,
            sentinel: crate::sys::epoll()?,
            listeners: l.to_vec(),
        })
    }
    pub(crate) fn admit(&self, slot: usize) {
        for (i, l) in self.listeners.iter().enumerate() {
            let mut e = libc::epoll_event {
                events: (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32,
                u64: crate::event::OWN | (LISTENER_TOKEN as u64 + i as u64),
            };
            unsafe {
                libc::epoll_ctl(
                    self.epfds[slot].as_raw_fd(),
                    libc::EPOLL_CTL_ADD,
                    *l,
                    &mut e,
                )
            };
        }
    }
    pub(crate) fn retire(&self, slot: usize) {
        for l in &self.listeners {
            unsafe {
                libc::epoll_ctl(
                    self.epfds[slot].as_raw_fd(),
                    libc::EPOLL_CTL_DEL,
                    *l,
                    std::ptr::null_mut(),
                )
            };
        }
    }
    pub(crate) fn set_k(&self, _k: u32) {}
    pub(crate) fn mode_name(&self) -> &'static str {
        "interim"
    }
    pub(crate) fn sentinel(&self) -> &OwnedFd {
        &self.sentinel
    }
    pub(crate) fn on_sentinel(&self, _n: u64) -> Option<u64> {
        None
    }
    pub(crate) fn close_master_ends(&self) {}
    pub(crate) fn seat(&self, slot: usize) -> Seat {
        Seat {
            fd: self.epfds[slot].as_raw_fd(),
        }
    }
}
impl Seat {
    pub(crate) fn epoll_fd(&self) -> RawFd {
        self.fd
    }
    pub(crate) fn accepted(&self, _l: u32) {}
    pub(crate) fn empty(&self, _l: u32) {}
    pub(crate) fn set_load(&self, _l: u32) {}
    pub(crate) fn pause(&self) {}
    pub(crate) fn resume(&self) {}
    pub(crate) fn leave(&self) -> bool {
        true
    }
}
