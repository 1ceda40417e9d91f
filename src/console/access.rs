//! Who may do what. On a Unix socket the kernel says who calls; over TCP nobody does,
//! so that a password has to.

use crate::config::Console as Settings;
use nix::unistd::{Group, Uid, User};
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a connection may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// Say who it is.
    Stranger,
    /// Look.
    Observer,
    /// Everything.
    Operator,
}

impl Right {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Observer => "observer",
            Self::Operator => "operator",
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// As the kernel noted when it connected.
    Local { uid: u32, pid: i32, gids: Vec<u32> },
    /// Over TCP: from this machine or another one.
    Remote,
}

impl Caller {
    pub(super) fn of(fd: i32, unix: bool) -> Self {
        if !unix {
            return Self::Remote;
        }
        // SAFETY: open during the connection's open callback.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let credentials =
            nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::PeerCredentials);
        match credentials {
            Ok(c) => {
                let mut gids = more_groups(fd);
                gids.push(c.gid());
                Self::Local {
                    uid: c.uid(),
                    pid: c.pid(),
                    gids,
                }
            }
            Err(_) => Self::Remote,
        }
    }
}

/// The supplementary groups of the process that connected; none on Linux before 4.13.
fn more_groups(fd: BorrowedFd<'_>) -> Vec<u32> {
    const MOST: usize = 1024;
    let mut gids = vec![0u32; MOST];
    let mut len = libc::socklen_t::try_from(size_of_val(gids.as_slice())).unwrap_or(0);
    // SAFETY: gids has `len` bytes of room.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            gids.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let count = usize::try_from(len).unwrap_or(0) / size_of::<u32>();
    gids.truncate(if result == 0 { count } else { 0 });
    gids
}

/// The operators of a configuration, looked up once: name services may be slow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Operators {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Operators {
    /// `root,alice,@wheel,1000`
    pub(super) fn look_up(list: Option<&str>) -> Self {
        let own = Uid::effective().as_raw();
        let Some(list) = list else {
            return Self {
                uids: vec![0, own],
                gids: Vec::new(),
            };
        };
        let mut found = Self::default();
        for name in list.split([',', ' ']).filter(|name| !name.is_empty()) {
            let known = match name.strip_prefix('@') {
                Some(group) => group_id(group).map(|gid| found.gids.push(gid)),
                None => user_id(name).map(|uid| found.uids.push(uid)),
            };
            if known.is_none() {
                ::log::warn!("control_operators: there is no {name} on this machine: left out");
            }
        }
        found
    }

    fn include(&self, uid: u32, gids: &[u32]) -> bool {
        self.uids.contains(&uid) || self.gids.iter().any(|gid| gids.contains(gid))
    }
}

fn user_id(name: &str) -> Option<u32> {
    let number = name.parse().ok();
    number.or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()))
}

fn group_id(name: &str) -> Option<u32> {
    let number = name.parse().ok();
    number.or_else(|| Some(Group::from_name(name).ok()??.gid.as_raw()))
}

/// What a connection may do before it says more about itself. Pure.
pub(super) fn right_of(caller: &Caller, operators: &Operators, settings: &Settings) -> Right {
    match caller {
        Caller::Local { uid, gids, .. } if operators.include(*uid, gids) => Right::Operator,
        Caller::Local { .. } => Right::Observer,
        Caller::Remote if settings.password.is_some() => Right::Stranger,
        Caller::Remote => Right::Observer,
    }
}

/// Is it the service's owner, for whom a connection is kept free? Pure.
pub(super) fn is_owner(caller: &Caller, own: u32) -> bool {
    matches!(caller, Caller::Local { uid, .. } if *uid == 0 || *uid == own)
}

/// Takes the same time wherever the two differ.
pub(super) fn same_secret(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = given.len() ^ wanted.len();
    for (i, byte) in given.iter().enumerate() {
        let other = wanted.get(i % wanted.len().max(1)).copied().unwrap_or(0);
        difference |= usize::from(std::hint::black_box(byte ^ other));
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn settings(password: Option<&str>) -> Settings {
        Settings {
            remote: false,
            clients: 64,
            timeout_ms: 0,
            operators: None,
            password: password.map(str::to_owned),
            metrics: None,
        }
    }

    fn local(uid: u32, gids: &[u32]) -> Caller {
        Caller::Local {
            uid,
            pid: 1,
            gids: gids.to_vec(),
        }
    }

    /// H05
    #[test]
    fn the_kernel_says_who_it_is() {
        let operators = Operators {
            uids: vec![0, 33],
            gids: vec![7],
        };
        let right = |caller: &Caller| right_of(caller, &operators, &settings(None));
        assert_eq!(right(&local(0, &[0])), Right::Operator);
        assert_eq!(right(&local(33, &[])), Right::Operator);
        assert_eq!(right(&local(1000, &[5, 7])), Right::Operator);
        assert_eq!(right(&local(1000, &[5])), Right::Observer);
        assert_eq!(right(&Caller::Remote), Right::Observer);
        let strict = right_of(&Caller::Remote, &operators, &settings(Some("x")));
        assert_eq!(strict, Right::Stranger);
        assert!(is_owner(&local(0, &[]), 33) && is_owner(&local(33, &[]), 33));
        assert!(!is_owner(&local(34, &[0]), 33) && !is_owner(&Caller::Remote, 33));
    }

    #[test]
    fn names_are_looked_up() {
        let found = Operators::look_up(Some("root, 77,@root nobody-of-that-name"));
        assert_eq!(
            found,
            Operators {
                uids: vec![0, 77],
                gids: vec![0]
            }
        );
        let own = Uid::effective().as_raw();
        assert_eq!(Operators::look_up(None).uids, [0, own]);
    }

    #[test]
    fn the_caller_of_a_unix_socket() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let Caller::Local { uid, pid, gids } = Caller::of(one.as_raw_fd(), true) else {
            panic!("no credentials");
        };
        assert_eq!(uid, Uid::effective().as_raw());
        assert_eq!(pid, std::process::id().cast_signed());
        assert!(gids.contains(&nix::unistd::getegid().as_raw()));
        assert_eq!(Caller::of(one.as_raw_fd(), false), Caller::Remote);
    }

    #[test]
    fn secrets() {
        assert!(same_secret(b"abc", b"abc"));
        for (a, b) in [
            ("abc", "abd"),
            ("abc", "ab"),
            ("ab", "abc"),
            ("", "a"),
            ("a", ""),
            ("aa", "a"),
        ] {
            assert!(!same_secret(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
    }
}
