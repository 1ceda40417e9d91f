//! Groups of listening sockets at one address (SO_REUSEPORT).
//!
//! The base is bound without SO_REUSEPORT, so that a second instance of the service
//! is told that the address is in use; it keeps being told as long as the base
//! listens, whatever the group looks like. The kernel looks at the option itself
//! each time: switched on later, it lets others in.

use super::socket::new_socket;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Inherited;
    use crate::net::listener::{ListenSpec, Listener, Use};
    use crate::net::socket::start;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    const ADDRESSES: [&str; 5] = ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "*:0"];

    fn listen(address: &str) -> Result<Listener> {
        Listener::bind(
            &ListenSpec {
                address: address.into(),
                tag: 0,
                backlog: 0,
                mode: 0,
                used: Use::Service,
            },
            &Inherited::default(),
        )
    }

    fn listening_member(base: BorrowedFd<'_>) -> TcpListener {
        let socket = member(base).unwrap();
        start(&socket, 100).unwrap();
        socket.into()
    }

    /// The same address with the port that it got.
    fn again(listener: &Listener) -> String {
        let asked = listener.address().to_string();
        format!("{}:{}", asked.strip_suffix(":0").unwrap(), listener.port())
    }

    #[test]
    fn members_share_the_connections() {
        for address in ADDRESSES {
            let base = listen(address).unwrap();
            let members = [(); 2].map(|()| listening_member(base.fd()));
            let hosts: &[&str] = match address {
                "*:0" => &["127.0.0.1", "::1"],
                _ if address.starts_with('[') => &["::1"],
                _ => &["127.0.0.1"],
            };
            for host in hosts {
                let connect = |_| std::net::TcpStream::connect((*host, base.port())).unwrap();
                let _clients: Vec<_> = (0..100).map(connect).collect();
                let queues = [base.fd(), members[0].as_fd(), members[1].as_fd()];
                let got = queues.map(|fd| {
                    let next = || crate::net::accept(fd).unwrap();
                    std::iter::from_fn(next).count()
                });
                assert!(got.iter().all(|n| *n > 0), "{address} by {host}: {got:?}");
                assert_eq!(got.iter().sum::<usize>(), 100);
            }
        }
    }

    /// With a group of one, and after the group is gone, as well.
    #[test]
    fn a_second_instance_is_told() {
        for address in ADDRESSES {
            let base = listen(address).unwrap();
            let taken = again(&base);
            let refused = || {
                let error = listen(&taken).err();
                assert_eq!(error.map(|e| e.code), Some(-libc::EADDRINUSE), "{taken}");
            };
            refused();
            let bound_only = member(base.fd()).unwrap();
            refused();
            let listening = listening_member(base.fd());
            refused();
            drop((bound_only, listening));
            refused();
            drop(base);
            listen(&taken).unwrap();
        }
    }

    /// Two instances that start at once: only one listens.
    #[test]
    fn an_instance_that_was_bound_before_is_told_when_it_listens() {
        let base = new_socket(AddressFamily::Inet).unwrap();
        setsockopt(&base, sockopt::ReuseAddr, &true).unwrap();
        bind(
            base.as_raw_fd(),
            &SockaddrStorage::from(std::net::SocketAddrV4::new(
                std::net::Ipv4Addr::LOCALHOST,
                0,
            )),
        )
        .unwrap();
        let address = getsockname::<SockaddrStorage>(base.as_raw_fd()).unwrap();
        let rival = new_socket(AddressFamily::Inet).unwrap();
        setsockopt(&rival, sockopt::ReuseAddr, &true).unwrap();
        bind(rival.as_raw_fd(), &address).unwrap();
        start(&base, 100).unwrap();
        let _member = listening_member(base.as_fd());
        assert_eq!(start(&rival, 100), Err(Errno::EADDRINUSE));
    }

    #[test]
    fn another_user_is_told_why() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("not tested: needs a second user");
            return;
        }
        let base = listen("127.0.0.1:0").unwrap();
        let error = crate::bpf::tests::as_nobody(|| member(base.fd()).err()).unwrap();
        assert_eq!(error.code, -libc::EADDRINUSE);
        let start = format!("listen 127.0.0.1:{} once more: ", base.port());
        assert!(error.text.starts_with(&start), "{error}");
        assert!(error.text.contains("another user"), "{error}");
    }

    #[test]
    fn files_have_no_groups() {
        let base = listen("unix:@libdtm-test-group").unwrap();
        assert_eq!(member(base.fd()).unwrap_err().code, -libc::EAFNOSUPPORT);
    }
}
