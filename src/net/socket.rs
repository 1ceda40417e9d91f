//! Making the sockets of listeners.

use super::listener::What;
use super::{Address, syn, unix};
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind, listen,
    setsockopt, socket, sockopt,
};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

/// `deaf`: it makes no TCP connections yet. At a Unix socket nobody gets yet anyway.
pub(super) fn make(
    address: &Address,
    mode: u32,
    backlog: u32,
    deaf: bool,
) -> Result<(OwnedFd, Option<unix::SocketFile>)> {
    let what = What(address);
    Ok(match address {
        Address::Inet(inet) => (tcp(*inet, true, backlog, deaf).context(what)?, None),
        Address::Any(port) => (any(*port, backlog, deaf).context(what)?, None),
        Address::Abstract(name) => (unix::bind_abstract(name).context(what)?, None),
        Address::Path(path) => {
            let (fd, file) = unix::listen_path(path, mode, backlog)?;
            (fd, Some(file))
        }
        Address::Systemd(_) => return Err(Error::invalid(format!("{what}: it was not passed"))),
    })
}

pub(super) fn new_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, SockType::Stream, flags, None)
}

/// The kernel cuts it by net.core.somaxconn.
pub(super) fn start(fd: &OwnedFd, backlog: u32) -> nix::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    listen(fd, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))
}

fn tcp(address: SocketAddr, v6_only: bool, backlog: u32, deaf: bool) -> nix::Result<OwnedFd> {
    let storage = SockaddrStorage::from(address);
    let fd = new_socket(storage.family().unwrap_or(AddressFamily::Inet))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &v6_only)?;
    }
    bind(fd.as_raw_fd(), &storage)?;
    if deaf {
        syn::drop_syns(fd.as_raw_fd())?;
    }
    start(&fd, backlog)?;
    Ok(fd)
}

/// One socket for both; IPv4 alone on a machine that has no IPv6.
fn any(port: u16, backlog: u32, deaf: bool) -> nix::Result<OwnedFd> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match tcp(both, false, backlog, deaf) {
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
            tcp(Address::without_ipv6(port), false, backlog, deaf)
        }
        result => result,
    }
}
