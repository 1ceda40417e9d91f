//! Accepting a client, and who it is.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A client's address, small: every connection keeps one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A Unix socket, whose clients rarely have a name.
    Unix,
    V4(Ipv4Addr, u16),
    /// With the scope (interface) of a link-local address.
    V6(Ipv6Addr, u16, u32),
}

const _: () = assert!(size_of::<Peer>() <= 28);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Peer::Unix => f.write_str("unix"),
            Peer::V4(ip, port) => SocketAddrV4::new(ip, port).fmt(f),
            Peer::V6(ip, port, scope) => SocketAddrV6::new(ip, port, 0, scope).fmt(f),
        }
    }
}

impl Peer {
    fn from_raw(raw: &libc::sockaddr_in6) -> Self {
        match i32::from(raw.sin6_family) {
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                // What comes over IPv4 to a socket for both looks like IPv4.
                match ip.to_ipv4_mapped() {
                    Some(ip) => Peer::V4(ip, port),
                    None => Peer::V6(ip, port, raw.sin6_scope_id),
                }
            }
            libc::AF_INET => {
                // SAFETY: the family says which of the two the kernel wrote; the
                // IPv4 one is smaller and not stricter in its alignment.
                let raw = unsafe { &*std::ptr::from_ref(raw).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                Peer::V4(ip, u16::from_be(raw.sin_port))
            }
            _ => Peer::Unix,
        }
    }
}

/// Why there is no client, and so what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// That one is lost; the next may be fine.
    Transient(Errno),
    /// No descriptor or no memory: trying at once would only burn the CPU.
    Exhausted(Errno),
    /// This is no listening socket (any more).
    Broken(Errno),
}

impl From<Errno> for AcceptError {
    fn from(errno: Errno) -> Self {
        use Errno::*;
        match errno {
            EBADF | EINVAL | ENOTSOCK | EOPNOTSUPP | EFAULT => AcceptError::Broken(errno),
            // The network's errors, which accept() hands on, and firewalls' (EPERM).
            ECONNABORTED | EPROTO | EPERM | EINTR | ENETDOWN | ENOPROTOOPT | EHOSTDOWN | ENONET
            | EHOSTUNREACH | ENETUNREACH | ETIMEDOUT | ECONNRESET => AcceptError::Transient(errno),
            // EMFILE, ENFILE, ENOBUFS, ENOMEM; and for what we do not know, patience.
            _ => AcceptError::Exhausted(errno),
        }
    }
}

/// The next client of a non-blocking listener; `None` when none waits.
#[unsafe(link_section = ".text.hot")]
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<Option<(OwnedFd, Peer)>, AcceptError> {
    // SAFETY: zero is a valid sockaddr_in6.
    let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation)] // 28
    let mut len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: raw and len are ours; longer (Unix) addresses are cut by the kernel.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            (&raw mut raw).cast(),
            &raw mut len,
            flags,
        )
    };
    if fd < 0 {
        return match Errno::last() {
            Errno::EAGAIN => Ok(None),
            errno => Err(errno.into()),
        };
    }
    // SAFETY: a fresh descriptor that nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(Some((fd, Peer::from_raw(&raw))))
}

/// Does this socket listen? A worker's own does only in some accept modes.
pub(crate) fn listens(socket: BorrowedFd<'_>) -> bool {
    getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false)
}

/// Whose connection this is. Of one that is gone already nothing is known.
pub(crate) fn peer_of(client: &OwnedFd) -> Peer {
    // SAFETY: zero is a valid sockaddr_in6.
    let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation)] // 28
    let mut len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: raw and len are ours; longer (Unix) addresses are cut by the kernel.
    unsafe { libc::getpeername(client.as_raw_fd(), (&raw mut raw).cast(), &raw mut len) };
    Peer::from_raw(&raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn accepts_until_none_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(accept(listener.as_fd()).unwrap().is_none());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, peer) = accept(listener.as_fd()).unwrap().unwrap();
        assert_eq!(peer.to_string(), client.local_addr().unwrap().to_string());
        let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, libc::FD_CLOEXEC);
        let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        assert_ne!(flags & libc::O_NONBLOCK, 0);
        assert!(accept(listener.as_fd()).unwrap().is_none());
    }

    #[test]
    fn no_listener() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = accept(file.as_fd()).unwrap_err();
        assert_eq!(error, AcceptError::Broken(Errno::ENOTSOCK));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(
            accept(one.as_fd()).unwrap_err(),
            AcceptError::Broken(Errno::EINVAL)
        );
    }

    #[test]
    fn classes() {
        assert_eq!(
            AcceptError::from(Errno::EMFILE),
            AcceptError::Exhausted(Errno::EMFILE)
        );
        assert_eq!(
            AcceptError::from(Errno::EPERM),
            AcceptError::Transient(Errno::EPERM)
        );
        assert_eq!(
            AcceptError::from(Errno::EBADF),
            AcceptError::Broken(Errno::EBADF)
        );
    }

    #[test]
    fn texts() {
        assert_eq!(Peer::Unix.to_string(), "unix");
        let local = Peer::V6("fe80::1".parse().unwrap(), 4711, 2);
        assert_eq!(local.to_string(), "[fe80::1%2]:4711");
        let longest = Peer::V6(Ipv6Addr::from([0xff; 16]), u16::MAX, u32::MAX);
        assert!(longest.to_string().len() < 64);
    }
}
