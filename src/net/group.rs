//! Groups of listening sockets at one address (SO_REUSEPORT).
//!
//! The base is bound without SO_REUSEPORT, so that a second instance of the service
//! is told that the address is in use; it keeps being told as long as the base
//! listens, whatever the group looks like. The kernel looks at the option itself
//! each time: switched on later, it lets others in.

use super::listener::new_socket;
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockaddrLike, SockaddrStorage, bind, getsockname, getsockopt, setsockopt,
    sockopt,
};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A socket at the address of `base`, which is listening. The caller calls listen()
/// with the base's backlog: then it is in the base's group, the base being the
/// first, and connections may arrive at once. A program can be attached to the
/// group from then on, not before.
///
/// One user makes all sockets of a group: after setuid() the kernel lets no more in.
pub(crate) fn member(base: BorrowedFd<'_>) -> Result<OwnedFd> {
    let address = getsockname::<SockaddrStorage>(base.as_raw_fd()).context("getsockname")?;
    let what = || format!("listen {address} once more");
    join(base, &address).map_err(|errno| match errno {
        Errno::EADDRINUSE => {
            let Error { code, text } = Error::os(errno, what());
            Error::new(
                code,
                format!("{text} (the first one was bound by another user)"),
            )
        }
        _ => Error::os(errno, what()),
    })
}

fn join(base: BorrowedFd<'_>, address: &SockaddrStorage) -> nix::Result<OwnedFd> {
    let family = match address.family() {
        Some(family @ (AddressFamily::Inet | AddressFamily::Inet6)) => family,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    setsockopt(&base, sockopt::ReusePort, &true)?;
    let socket = new_socket(family)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    setsockopt(
        &socket,
        sockopt::ReuseAddr,
        &getsockopt(&base, sockopt::ReuseAddr)?,
    )?;
    if family == AddressFamily::Inet6 {
        setsockopt(
            &socket,
            sockopt::Ipv6V6Only,
            &getsockopt(&base, sockopt::Ipv6V6Only)?,
        )?;
    }
    bind(socket.as_raw_fd(), address)?;
    Ok(socket)
}
