//! The datagram socket of the service manager. Opened for each message: they are rare,
//! and no child inherits it.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};

pub(super) struct Socket {
    address: UnixAddr,
    complained: Cell<bool>,
}

impl Socket {
    /// Of NOTIFY_SOCKET: a path, or @ and an abstract name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes()),
            None if name.starts_with('/') => UnixAddr::new(name),
            None => {
                ::log::warn!("NOTIFY_SOCKET={name}: neither a path nor @name: nobody is notified");
                return None;
            }
        };
        match address {
            Ok(address) => Some(Self {
                address,
                complained: Cell::new(false),
            }),
            Err(errno) => {
                ::log::warn!("NOTIFY_SOCKET={name}: {}: nobody is notified", errno.desc());
                None
            }
        }
    }

    /// Never waits. False: it was not taken, but may be later. What can never be sent is lost,
    /// and said once.
    pub(super) fn send(&self, message: &str, fd: Option<BorrowedFd<'_>>) -> bool {
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| [ControlMessage::ScmRights(raw)]);
        let control = rights.as_ref().map_or(&[][..], |rights| &rights[..]);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let sent =
            socket(AddressFamily::Unix, SockType::Datagram, flags, None).and_then(|socket| {
                sendmsg(
                    socket.as_raw_fd(),
                    &[IoSlice::new(message.as_bytes())],
                    control,
                    MsgFlags::MSG_NOSIGNAL,
                    Some(&self.address),
                )
            });
        match sent {
            Ok(_) => self.complained.set(false),
            Err(errno) if is_passing(errno) => return false,
            Err(errno) if !self.complained.replace(true) => {
                ::log::warn!("NOTIFY_SOCKET: {}: not notified", errno.desc());
            }
            Err(_) => {}
        }
        true
    }
}

/// It does not read at the moment, or something is short here.
fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EAGAIN
            | Errno::EINTR
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::ETOOMANYREFS
    )
}
