//! The programs in the kernel, with real connections over loopback. A connection is
//! in its queue when connect() returns.

mod asm;
mod model;
mod places;
mod steer;
mod stray;
mod switch;
mod table;

use crate::error::Error;
use crate::net::group::member;
use nix::sys::socket::{Backlog, listen};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// A base and members of its group, all listening.
pub(super) struct Group {
    pub(super) base: TcpListener,
    pub(super) members: Vec<TcpListener>,
    pub(super) address: SocketAddr,
}

impl Group {
    pub(super) fn new(members: usize) -> Self {
        Self::at("127.0.0.1:0", members)
    }

    pub(super) fn at(address: &str, members: usize) -> Self {
        let base = TcpListener::bind(address).unwrap();
        base.set_nonblocking(true).unwrap();
        let address = base.local_addr().unwrap();
        let mut group = Self {
            base,
            members: Vec::new(),
            address,
        };
        (0..members).for_each(|_| group.grow());
        group
    }

    pub(super) fn grow(&mut self) {
        let socket = member(self.base.as_fd()).unwrap();
        listen(&socket, Backlog::new(1000).unwrap()).unwrap();
        self.members.push(socket.into());
    }

    pub(super) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// Take all that wait: how many at the base, and at each member.
    pub(super) fn drain(&self) -> (usize, Vec<usize>) {
        let queue = |socket: &TcpListener| std::iter::from_fn(|| socket.accept().ok()).count();
        (queue(&self.base), self.members.iter().map(queue).collect())
    }

    /// Connect once, and say who got it: None is the base.
    pub(super) fn send(&self) -> Option<usize> {
        let _client = self.connect();
        let (base, members) = self.drain();
        assert_eq!(base + members.iter().sum::<usize>(), 1);
        members.iter().position(|n| *n == 1)
    }
}

/// Run it as a user without privileges, who makes his own sockets.
pub(crate) fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let drop_and_run = || {
        const NOBODY: libc::c_long = 65534;
        // The system call, unlike the C library's function, is for this thread only.
        // SAFETY: numbers only. Fails if this is not root, who need not do it.
        unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        run()
    };
    std::thread::scope(|scope| scope.spawn(drop_and_run).join().unwrap())
}

/// May this process load a program? Says what is not tested if not.
pub(crate) fn privileged() -> bool {
    match crate::bpf::kernel::sockets(1) {
        Err(Error { code, text }) if code == -libc::EPERM => {
            eprintln!("not tested: {text}");
            false
        }
        _ => true,
    }
}

/// Programs for so many listeners.
fn steer_for(rows: usize, listeners: usize) -> crate::error::Result<super::Steer> {
    let mut steer = super::Steer::load(rows)?;
    (0..listeners).try_for_each(|listener| steer.prepare(listener))?;
    Ok(steer)
}
