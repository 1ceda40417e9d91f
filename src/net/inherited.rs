//! Listening sockets that are open already when the program begins: passed by systemd
//! (LISTEN_FDS), or by the binary that this one replaces. dtm_listen() finds its own
//! among them by address, or by name; so nothing that waits in their queues is lost.

use super::{Address, Use};
use crate::error::{Context, Error, Result};
use crate::systemd::state::{STORED, fd_name};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, UnixAddr, getsockname, getsockopt,
    sockopt,
};
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first descriptor that systemd passes.
const FIRST: RawFd = 3;
/// Enough for anybody; a number beyond it is a mistake.
const MOST: RawFd = 4096;

#[derive(Default)]
pub(crate) struct Inherited(RefCell<Vec<Socket>>);

pub(crate) struct Socket {
    fd: Fd,
    /// FDNAME=, or the address as the predecessor was asked for it.
    name: String,
    pub(crate) from: From,
    /// Its SO_REUSEPORT siblings, by door.
    pub(crate) doors: Vec<(u64, OwnedFd)>,
}

/// Where a socket comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Its file, if it has one, is systemd's to remove; but not if it was `stored`: then
    /// an earlier process of this service has made both.
    Systemd { stored: bool },
    /// The binary that this one replaces. `file`: it made the file, and we shall remove it.
    Predecessor { file: bool, used: Use },
}

enum Fd {
    /// In the environment's custody until it is claimed: the host may want it itself.
    Lent(RawFd),
    Ours(OwnedFd),
}

impl Inherited {
    /// What LISTEN_FDS tells this very process.
    pub(crate) fn from_systemd() -> Self {
        let variable = |name| std::env::var(name).ok();
        let ours = variable("LISTEN_PID").and_then(|pid| pid.parse().ok());
        if ours != Some(std::process::id()) {
            return Self::default();
        }
        let count: RawFd = variable("LISTEN_FDS")
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let socket = |fd| {
            let name = names.next().unwrap_or_default();
            let stored = name.starts_with(STORED);
            Socket {
                fd: Fd::Lent(fd),
                name,
                from: From::Systemd { stored },
                doors: Vec::new(),
            }
        };
        let fds = FIRST..FIRST + count.clamp(0, MOST);
        Self(RefCell::new(fds.map(socket).collect()))
    }

    /// A socket of the binary that this one replaces.
    pub(crate) fn add(&self, fd: OwnedFd, name: &str, from: From) {
        self.0.borrow_mut().push(Socket {
            fd: Fd::Ours(fd),
            name: name.to_owned(),
            from,
            doors: Vec::new(),
        });
    }

    /// One more socket of the group that the last one is the base of.
    pub(crate) fn add_door(&self, code: u64, fd: OwnedFd) {
        if let Some(socket) = self.0.borrow_mut().last_mut() {
            socket.doors.push((code, fd));
        }
    }

    /// Close what an earlier process of this service had stored and nobody has claimed; by
    /// what name it is kept.
    pub(crate) fn drop_stored(&self) -> Vec<String> {
        let is_stored = |s: &mut Socket| s.from == From::Systemd { stored: true };
        let mut sockets = self.0.borrow_mut();
        let unclaimed: Vec<Socket> = sockets.extract_if(.., is_stored).collect();
        let name = |socket: Socket| {
            // Dropped, and so closed.
            let _ = socket.fd.take();
            socket.name
        };
        unclaimed.into_iter().map(name).collect()
    }

    /// A socket of systemd's that is not used any more, or not yet. A later reload may.
    pub(super) fn give_back(&self, fd: OwnedFd, address: &Address) {
        let name = match address {
            Address::Systemd(name) => name.as_str(),
            _ => "",
        };
        self.add(fd, name, From::Systemd { stored: false });
    }

    /// The socket for this address, and where it comes from.
    pub(crate) fn claim(&self, address: &Address, used: Use) -> Result<Option<(OwnedFd, Claimed)>> {
        let found = self
            .0
            .borrow()
            .iter()
            .position(|socket| socket.is_for(address, used));
        let Some(found) = found else {
            return match address {
                Address::Systemd(name) => Err(self.missing(name)),
                _ => Ok(None),
            };
        };
        let socket = self.0.borrow_mut().remove(found);
        let (name, from, doors) = (socket.name, socket.from, socket.doors);
        let fd = socket.fd.take().context(format_args!("listen {address}"))?;
        if let Err(error) = check(&fd, address) {
            // Whoever asks again shall hear the same.
            let fd = Fd::Ours(fd);
            self.0.borrow_mut().push(Socket {
                fd,
                name,
                from,
                doors,
            });
            return Err(error);
        }
        if matches!(from, From::Systemd { .. }) {
            // It outlived a process that may have steered it.
            crate::bpf::detach(fd.as_fd());
        }
        Ok(Some((fd, Claimed { from, doors })))
    }

    fn missing(&self, name: &str) -> Error {
        let sockets = self.0.borrow();
        let names: Vec<&str> = sockets.iter().map(|s| s.name.as_str()).collect();
        let there = match names.as_slice() {
            [] => "systemd has passed none".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let text = format!(
            "listen systemd:{name}: no socket of this name was passed (FileDescriptorName= of the \
             socket unit); {there}"
        );
        Error::os(Errno::ENOENT, text)
    }
}

/// What comes with a socket that was claimed.
pub(crate) struct Claimed {
    pub(crate) from: From,
    pub(crate) doors: Vec<(u64, OwnedFd)>,
}

impl Socket {
    fn is_for(&self, address: &Address, used: Use) -> bool {
        match self.from {
            // By the words in which it was asked for: port 0 means the same port again.
            From::Predecessor { used: its, .. } => its == used && self.name == address.to_string(),
            // By name, too: a file had another one when it was bound, and port 0 is the
            // same port again.
            From::Systemd { stored: true } => {
                let reachable = match address {
                    Address::Path(path) => std::path::Path::new(path).exists(),
                    _ => true,
                };
                let named = self.name == fd_name(&address.to_string());
                reachable && (named || self.fd.is_bound_to(address))
            }
            From::Systemd { stored: false } => match address {
                Address::Systemd(name) => self.name == *name,
                other => self.fd.is_bound_to(other),
            },
        }
    }
}

impl Fd {
    fn raw(&self) -> RawFd {
        match self {
            Self::Lent(fd) => *fd,
            Self::Ours(fd) => fd.as_raw_fd(),
        }
    }

    fn take(self) -> nix::Result<OwnedFd> {
        match self {
            Self::Ours(fd) => Ok(fd),
            Self::Lent(fd) => {
                // SAFETY: borrowed for this call; a closed one answers EBADF.
                let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
                fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
                // SAFETY: open, as was just seen, and passed to this process by its
                // starter for it to own; it left our list, so nobody takes it twice.
                Ok(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    }

    fn is_bound_to(&self, address: &Address) -> bool {
        let storage = getsockname::<SockaddrStorage>(self.raw());
        let inet = storage.as_ref().ok();
        let v4 = inet.and_then(|s| s.as_sockaddr_in().map(|a| std::net::SocketAddrV4::from(*a)));
        let v6 = inet.and_then(|s| {
            s.as_sockaddr_in6()
                .map(|a| std::net::SocketAddrV6::from(*a))
        });
        let unix = getsockname::<UnixAddr>(self.raw()).ok();
        match address {
            Address::Inet(std::net::SocketAddr::V4(wanted)) => v4 == Some(*wanted),
            Address::Inet(std::net::SocketAddr::V6(wanted)) => {
                v6.is_some_and(|a| (a.ip(), a.port()) == (wanted.ip(), wanted.port()))
            }
            Address::Any(port) => {
                v6.is_some_and(|a| a.ip().is_unspecified() && a.port() == *port)
                    || v4.is_some_and(|a| a.ip().is_unspecified() && a.port() == *port)
            }
            Address::Path(path) => {
                let own = unix.as_ref().and_then(UnixAddr::path);
                own.is_some_and(|own| own.to_str() == Some(path))
            }
            Address::Abstract(name) => {
                let own = unix.as_ref().and_then(UnixAddr::as_abstract);
                own == Some(name.as_bytes())
            }
            Address::Systemd(_) => false,
        }
    }
}

/// It must be what we would have made ourselves.
fn check(fd: &OwnedFd, address: &Address) -> Result<()> {
    let what = || format!("listen {address}: the socket that was passed");
    let kind = getsockopt(fd, sockopt::SockType).context(what())?;
    let listens = getsockopt(fd, sockopt::AcceptConn).context(what())?;
    let storage = getsockname::<SockaddrStorage>(fd.as_raw_fd()).context(what())?;
    let family = storage.family();
    let known = matches!(
        family,
        Some(AddressFamily::Inet | AddressFamily::Inet6 | AddressFamily::Unix)
    );
    if kind != SockType::Stream || !listens || !known {
        let text = format!("{}: is no listening TCP or Unix stream socket", what());
        return Err(Error::invalid(text));
    }
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).context(what())?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).context(what())?;
    Ok(())
}

#[cfg(test)]
mod tests;
