//! One end of the socket pair between the two binaries. A message is whole or absent; no
//! call waits, but for the inventory at the very beginning.

use super::VARIABLE;
use super::unsent::Unsent;
use super::wire::Message;
use crate::channel::{Attached, Sent, receive_text, send_text};
use crate::error::{Context, Error, Result};
use crate::sys::now_ms;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socketpair, sockopt,
};
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Room for all sockets of a large service; less will do for others.
const BUFFER: usize = 4 << 20;
/// The predecessor has sent everything before this program began.
const INVENTORY_MS: u64 = 10_000;

pub(crate) struct Link {
    fd: OwnedFd,
    unsent: RefCell<Unsent>,
}

/// What was heard.
pub(crate) enum Heard {
    Message(Message, Vec<OwnedFd>),
    /// What only a later version would know.
    Unknown,
    /// Nothing more at the moment.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// It may be sent later.
pub(crate) fn is_full(error: &Error) -> bool {
    error.code == -libc::ENOBUFS
}

fn full() -> Error {
    Error::os(
        Errno::ENOBUFS,
        "the other binary does not read what it is told",
    )
}

impl Link {
    /// The two ends; the second one stays open over exec.
    pub(crate) fn pair() -> Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let kind = SockType::SeqPacket;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, kind, None, flags).context("socketpair")?;
        // Not to be had without privilege: the default carries some 200 messages.
        if setsockopt(&ours, sockopt::SndBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&ours, sockopt::SndBuf, &BUFFER);
        }
        Ok((Self::of(ours), theirs))
    }

    /// In the new binary: the end that it was started with. The variable goes: what this
    /// process starts is no successor of anybody.
    pub(crate) fn from_environment() -> Result<Option<Self>> {
        let Ok(value) = std::env::var(VARIABLE) else {
            return Ok(None);
        };
        // SAFETY: dtm_new() is called by one thread, before the service has others.
        unsafe { std::env::remove_var(VARIABLE) };
        let wrong = || {
            Error::invalid(format!(
                "{VARIABLE}={value}: not the descriptor of an upgrade"
            ))
        };
        let fd: RawFd = value.parse().map_err(|_| wrong())?;
        if fd <= 2 {
            return Err(wrong());
        }
        // SAFETY: borrowed for these calls only; a closed one answers EBADF.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        if getsockopt(&borrowed, sockopt::SockType) != Ok(SockType::SeqPacket) {
            return Err(wrong());
        }
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context(VARIABLE)?;
        fcntl(borrowed, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context(VARIABLE)?;
        // SAFETY: it was left open for this program, and named to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Some(Self::of(fd)))
    }

    /// The end that another process has handed over.
    pub(crate) fn of(fd: OwnedFd) -> Self {
        let unsent = RefCell::default();
        Self { fd, unsent }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Now or not at all: ENOBUFS if there is no room at the moment, or something else comes
    /// first.
    pub(crate) fn send(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<()> {
        if !self.flush() {
            return Err(full());
        }
        self.put(message, fds)
    }

    /// Now, or as soon as there is room, in the order in which all was said: what follows
    /// depends on it.
    pub(crate) fn post(&self, message: Message) {
        self.unsent.borrow_mut().add(message);
        self.flush();
    }

    /// Send what could not be sent before. False: there is still no room.
    pub(crate) fn flush(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        while let Some(message) = unsent.first() {
            match self.put(message, &[]) {
                Err(error) if is_full(&error) => return false,
                // That it is gone is noticed elsewhere.
                Err(error) if error.code != -libc::EPIPE => ::log::warn!("upgrade: {error}"),
                _ => {}
            }
            unsent.drop_first();
        }
        true
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent.borrow().first().is_some()
    }

    fn put(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<()> {
        match send_text(self.fd(), &message.encode(), fds) {
            Ok(Sent::Done) => Ok(()),
            Ok(Sent::Gone) => Err(Error::os(Errno::EPIPE, "the other binary is gone")),
            Ok(Sent::Full) => Err(full()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn hear(&self) -> Heard {
        let mut attached = Attached::new();
        loop {
            return match receive_text(self.fd(), &mut attached) {
                Ok(Some(text)) => match Message::decode(&text) {
                    Some(message) => Heard::Message(message, std::mem::take(&mut attached.fds)),
                    None => {
                        ::log::debug!("upgrade: an unknown message was passed over: {text}");
                        Heard::Unknown
                    }
                },
                Err(Errno::EAGAIN) => Heard::Nothing,
                Err(Errno::EINTR) => continue,
                Ok(None) | Err(_) => Heard::Gone,
            };
        }
    }

    /// The inventory: every message up to Complete.
    pub(crate) fn hear_all(&self, mut each: impl FnMut(Message, Vec<OwnedFd>)) -> Result<()> {
        let until = now_ms() + INVENTORY_MS;
        loop {
            match self.hear() {
                Heard::Message(Message::Complete, _) => return Ok(()),
                Heard::Message(message, fds) => each(message, fds),
                Heard::Unknown => {}
                Heard::Gone => {
                    return Err(Error::os(Errno::EPIPE, "the binary to be replaced is gone"));
                }
                Heard::Nothing => {
                    let mut fds = [PollFd::new(self.fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut fds, PollTimeout::from(100u8));
                }
            }
            if now_ms() >= until {
                let text = "the binary to be replaced does not hand over its sockets";
                return Err(Error::os(Errno::ETIMEDOUT, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No step of an upgrade is lost while the other side does not read.
    #[test]
    fn what_finds_no_room_goes_later_in_order() {
        let (ours, theirs) = Link::pair().unwrap();
        let theirs = Link::of(theirs);
        let mut sent = 0;
        while ours.send(&Message::Complete, &[]).is_ok() {
            sent += 1;
            assert!(sent < 1_000_000, "it has no end");
        }
        ours.post(Message::Updated);
        ours.post(Message::Opened);
        assert!(ours.has_unsent());
        let heard = || match theirs.hear() {
            Heard::Message(message, _) => Some(message),
            _ => None,
        };
        for _ in 0..sent {
            assert_eq!(heard(), Some(Message::Complete));
        }
        // What is said now comes behind it.
        ours.send(&Message::Adopt, &[]).unwrap();
        assert!(!ours.has_unsent());
        let last = [Message::Updated, Message::Opened, Message::Adopt];
        assert_eq!([heard(), heard(), heard()], last.map(Some));
        drop(theirs);
        ours.post(Message::Go);
        assert!(!ours.has_unsent(), "nobody will ever hear it");
    }
}
