//! A connection to a server, waited for only by way of [`Wait`].

use crate::store::Wait;
use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// Read at once.
const PART: usize = 16 * 1024;

pub(super) struct Stream {
    fd: OwnedFd,
    wait: Rc<Wait>,
    /// Of the request that is under way, CLOCK_MONOTONIC in ms.
    until: u64,
}

impl Stream {
    pub(super) async fn connect(address: SocketAddr, wait: &Rc<Wait>, until: u64) -> Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket::socket(family, SockType::Stream, flags, None)?;
        let stream = Self {
            fd,
            wait: Rc::clone(wait),
            until,
        };
        match socket::connect(stream.fd.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS | Errno::EINTR) => {
                stream.ready(libc::POLLOUT).await?;
                let error = socket::getsockopt(&stream.fd, sockopt::SocketError)?;
                if error != 0 {
                    return Err(Error::from_raw_os_error(error));
                }
            }
            Err(errno) => return Err(errno.into()),
        }
        let _ = setsockopt(&stream.fd, sockopt::TcpNoDelay, &true);
        Ok(stream)
    }

    /// For another request, until then.
    pub(super) fn until(self, until: u64) -> Self {
        Self { until, ..self }
    }

    /// Nothing has come since the last answer, not even the end: it can be used again.
    pub(super) fn is_idle(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        socket::recv(self.fd.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match socket::send(self.fd.as_raw_fd(), &bytes[sent..], MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => sent += n,
                Err(Errno::EAGAIN) => self.ready(libc::POLLOUT).await?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Some more; 0: that was all.
    pub(super) async fn receive(&mut self, into: &mut Vec<u8>) -> Result<usize> {
        let mut part = [0; PART];
        loop {
            match socket::recv(self.fd.as_raw_fd(), &mut part, MsgFlags::empty()) {
                Ok(n) => {
                    into.extend_from_slice(&part[..n]);
                    return Ok(n);
                }
                Err(Errno::EAGAIN) => self.ready(libc::POLLIN).await?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    async fn ready(&self, events: i16) -> Result<()> {
        let ready = self.wait.ready(self.fd.as_raw_fd(), events, self.until);
        ready
            .await
            .map_err(|_| Error::other("no answer in store_timeout"))
    }
}
