//! What a new binary has when it begins: the link to the old one, and what that has
//! handed over.

use super::link::Link;
use super::wire::{Message, Socket};
use crate::error::Result;
use crate::net::inherited::From;
use crate::net::{Inherited, Use};
use std::os::fd::OwnedFd;

pub(crate) struct Coming {
    pub(crate) link: Link,
    /// The numbers go on from these.
    pub(crate) generation: u32,
    pub(crate) spawn: u64,
    /// The run of the old binary, which goes on with this epoch if that cannot say.
    pub(crate) run: Option<(String, u64)>,
    pub(crate) pid_file: Option<OwnedFd>,
    /// Process 1 wants to know who is the master.
    pub(crate) init: Option<Link>,
}

impl Coming {
    /// None: this program was started by somebody else than its predecessor.
    pub(crate) fn from_environment(inherited: &Inherited) -> Result<Option<Self>> {
        let Some(link) = Link::from_environment()? else {
            return Ok(None);
        };
        let (mut generation, mut spawn) = (0, 0);
        let (mut run, mut pid_file, mut init) = (None, None, None);
        link.hear_all(|message, fds| {
            let mut fds = fds.into_iter();
            match message {
                Message::Hello {
                    generation: newest,
                    spawn: last,
                } => (generation, spawn) = (newest, last),
                Message::Run { name, epoch } => run = Some((name, epoch)),
                Message::Socket(Socket::PidFile) => pid_file = fds.next(),
                Message::Socket(Socket::Init) => init = fds.next().map(Link::of),
                Message::Socket(socket) => take(inherited, socket, fds),
                _ => {}
            }
        })?;
        Ok(Some(Self {
            link,
            generation,
            spawn,
            run,
            pid_file,
            init,
        }))
    }
}

fn take(inherited: &Inherited, socket: Socket, mut fds: impl Iterator<Item = OwnedFd>) {
    let mut listener = |file, address: &str, used| {
        if let Some(fd) = fds.next() {
            inherited.add(fd, address, From::Predecessor { file, used });
        }
    };
    match socket {
        Socket::Base { file, address } => listener(file, &address, Use::Service),
        Socket::Control { file, address } => listener(file, &address, Use::Control),
        Socket::Metrics { file, address } => listener(file, &address, Use::Metrics),
        Socket::Doors(codes) => {
            for (code, fd) in codes.into_iter().zip(fds) {
                inherited.add_door(code, fd);
            }
        }
        Socket::PidFile | Socket::Init => {}
    }
}
