//! The socket pair of a slot, and single messages on it. Nothing here waits.

use super::attached::{Attached, FDS_MAX, receive};
use super::frame::{Frame, FrameError, HEAD};
use crate::error::{Context, Error, Result};
use crate::ffi::DTM_MESSAGE_MAX;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, recv as recv_bytes,
    sendmsg, setsockopt, socketpair, sockopt,
};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Room asked for in each direction: several of the longest messages, which
/// the kernel charges with up to twice their size.
const SEND_BUFFER: usize = 8 * (HEAD + DTM_MESSAGE_MAX);
/// More messages than a channel has room for: some 1,400, of which the kernel charges 768
/// bytes for the shortest.
pub(crate) const MESSAGES_MAX: usize = 4096;
/// The least that carries one longest message.
const SEND_BUFFER_MIN: usize = 2 * (HEAD + DTM_MESSAGE_MAX);

pub(crate) struct Pair {
    /// The end of those who talk to the child: master and controller.
    pub(crate) master: OwnedFd,
    /// The child's end. The master keeps it for the slot's next child.
    pub(crate) child: OwnedFd,
}

impl Pair {
    pub(crate) fn new() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (master, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .context("socketpair for a channel")?;
        for end in [&master, &child] {
            setsockopt(end, sockopt::SndBuf, &SEND_BUFFER).context("setsockopt(SO_SNDBUF)")?;
            let got = getsockopt(end, sockopt::SndBuf).context("getsockopt(SO_SNDBUF)")?;
            if got < SEND_BUFFER_MIN {
                return Err(Error::os(
                    Errno::ENOBUFS,
                    format!(
                        "a channel got a send buffer of {got} bytes and needs {SEND_BUFFER_MIN}; \
                         raise the sysctl net.core.wmem_max to {SEND_BUFFER}"
                    ),
                ));
            }
        }
        Ok(Self { master, child })
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Done,
    /// The channel takes no more until the other side reads.
    Full,
    /// Nobody has the other end any more.
    Gone,
}

/// Send a frame. Fails only if its payload is longer than DTM_MESSAGE_MAX.
pub(crate) fn send(fd: BorrowedFd<'_>, frame: &Frame<'_>) -> Result<Sent> {
    send_with(fd, frame, &[])
}

/// The same, with descriptors: the receiver gets duplicates. Fails also if they
/// are more than [`FDS_MAX`].
pub(crate) fn send_with(
    fd: BorrowedFd<'_>,
    frame: &Frame<'_>,
    fds: &[BorrowedFd<'_>],
) -> Result<Sent> {
    let head = frame.encode_head().ok_or_else(too_long)?;
    send_all(fd, &[IoSlice::new(&head), IoSlice::new(frame.payload)], fds)
}

/// The same with a line of text in place of a frame, for those who have no slot.
pub(crate) fn send_text(fd: BorrowedFd<'_>, text: &str, fds: &[BorrowedFd<'_>]) -> Result<Sent> {
    if text.len() > DTM_MESSAGE_MAX {
        return Err(too_long());
    }
    send_all(fd, &[IoSlice::new(text.as_bytes())], fds)
}

fn send_all(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> Result<Sent> {
    let mut raw: [RawFd; FDS_MAX] = [-1; FDS_MAX];
    let Some(raw) = raw.get_mut(..fds.len()) else {
        let text = format!("a message carries at most {FDS_MAX} descriptors");
        return Err(Error::os(Errno::E2BIG, text));
    };
    for (raw, fd) in raw.iter_mut().zip(fds) {
        *raw = fd.as_raw_fd();
    }
    let rights = [ControlMessage::ScmRights(raw)];
    let control = if fds.is_empty() { &[] } else { &rights[..] };
    Ok(send_parts(fd, parts, control))
}

pub(super) fn too_long() -> Error {
    Error::os(
        Errno::EMSGSIZE,
        format!("a message is at most {DTM_MESSAGE_MAX} bytes long"),
    )
}

pub(super) fn send_parts(
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    control: &[ControlMessage<'_>],
) -> Sent {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        return match sendmsg::<()>(fd.as_raw_fd(), parts, control, flags, None) {
            Ok(_) => Sent::Done,
            Err(Errno::EINTR) => continue,
            // The last one: too many descriptors are on their way already.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::ETOOMANYREFS) => Sent::Full,
            Err(_) => Sent::Gone,
        };
    }
}

/// Where received frames are kept, one at a time.
pub(crate) struct Buffer(Box<[u8]>);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; HEAD + DTM_MESSAGE_MAX].into_boxed_slice())
    }
}

/// One look at a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recv<'a> {
    Frame(Frame<'a>),
    /// Nothing there now.
    Empty,
    /// Nothing there, and nobody has the other end any more.
    Closed,
    /// A message that is no frame was taken away.
    Bad(FrameError),
}

/// Take one message. No room is given for descriptors: the kernel closes those
/// that come with a message, and says so.
pub(crate) fn recv<'a>(fd: BorrowedFd<'_>, buffer: &'a mut Buffer) -> Recv<'a> {
    take(fd, buffer, None)
}

/// Take one message and the descriptors that belong to it. Those with a frame
/// that takes none are closed.
pub(crate) fn recv_with<'a>(
    fd: BorrowedFd<'_>,
    buffer: &'a mut Buffer,
    attached: &mut Attached,
) -> Recv<'a> {
    attached.clear();
    let taken = take(fd, buffer, Some(attached));
    if !matches!(&taken, Recv::Frame(frame) if frame.head.kind.carries_fds()) {
        attached.clear();
    }
    taken
}

fn take<'a>(
    fd: BorrowedFd<'_>,
    buffer: &'a mut Buffer,
    mut attached: Option<&mut Attached>,
) -> Recv<'a> {
    let (len, flags) = loop {
        match receive(fd, &mut buffer.0, attached.as_deref_mut()) {
            Ok(taken) => break taken,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Recv::Empty,
            Err(_) => return Recv::Closed,
        }
    };
    if len == 0 && hung_up(fd) {
        return Recv::Closed;
    }
    let refused = attached.is_none() && flags & libc::MSG_CTRUNC != 0;
    if refused || flags & libc::MSG_TRUNC != 0 {
        return Recv::Bad(FrameError::Length);
    }
    match Frame::decode(&buffer.0[..len]) {
        Ok(frame) => Recv::Frame(frame),
        Err(error) => Recv::Bad(error),
    }
}

/// Read everything away; returns how many messages that were. At a death both
/// ends of the slot's pair are drained, and the next child starts with silence.
pub(crate) fn drain(fd: BorrowedFd<'_>) -> usize {
    let mut messages = 0;
    while messages < MESSAGES_MAX {
        match recv_bytes(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Ok(0) if hung_up(fd) => break,
            Ok(_) => messages += 1,
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    messages
}

/// Tells the end of the channel from an empty message. (nix has no POLLRDHUP.)
fn hung_up(fd: BorrowedFd<'_>) -> bool {
    let rdhup = PollFlags::from_bits_retain(libc::POLLRDHUP);
    poll(&mut [PollFd::new(fd, rdhup)], PollTimeout::ZERO) != Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Head, Kind};
    use nix::sys::socket::ControlMessage;
    use std::os::fd::AsFd;

    fn frame(payload: &[u8]) -> Frame<'_> {
        let head = Head {
            kind: Kind::Data,
            slot: 1,
            generation: 1,
            spawn: 9,
            seq: 0,
            arg: 0,
            arg2: 0,
        };
        Frame { head, payload }
    }

    fn raw(fd: &OwnedFd, bytes: &[u8], with: &[ControlMessage<'_>]) {
        let sent = sendmsg::<()>(
            fd.as_raw_fd(),
            &[IoSlice::new(bytes)],
            with,
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent, Ok(bytes.len()));
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let Pair { master, child } = Pair::new().unwrap();
        let long = vec![7; DTM_MESSAGE_MAX];
        for payload in [&b"one"[..], b"", &long] {
            assert_eq!(send(master.as_fd(), &frame(payload)).unwrap(), Sent::Done);
        }
        let mut buffer = Buffer::new();
        for payload in [&b"one"[..], b"", &long] {
            assert_eq!(
                recv(child.as_fd(), &mut buffer),
                Recv::Frame(frame(payload))
            );
        }
        assert_eq!(recv(child.as_fd(), &mut buffer), Recv::Empty);
    }

    #[test]
    fn too_long_a_message_is_refused() {
        let pair = Pair::new().unwrap();
        let error = send(pair.master.as_fd(), &frame(&vec![0; DTM_MESSAGE_MAX + 1])).unwrap_err();
        assert_eq!(error.code, -libc::EMSGSIZE);
    }

    /// F03: a peer that does not read never makes us wait.
    #[test]
    fn a_full_channel_says_so_and_recovers() {
        let Pair { master, child } = Pair::new().unwrap();
        let long = vec![7; DTM_MESSAGE_MAX];
        let taken = (0..).take_while(|_| send(master.as_fd(), &frame(&long)) == Ok(Sent::Done));
        let taken = taken.count();
        assert!(taken >= 2, "{taken}");
        assert_eq!(drain(child.as_fd()), taken);
        assert_eq!(send(master.as_fd(), &frame(&long)), Ok(Sent::Done));
    }

    #[test]
    fn the_end_is_seen_after_the_last_message() {
        let Pair { master, child } = Pair::new().unwrap();
        send(child.as_fd(), &frame(b"last")).unwrap();
        drop(child);
        let mut buffer = Buffer::new();
        assert_eq!(
            recv(master.as_fd(), &mut buffer),
            Recv::Frame(frame(b"last"))
        );
        assert_eq!(recv(master.as_fd(), &mut buffer), Recv::Closed);
        assert_eq!(drain(master.as_fd()), 0);
        assert_eq!(send(master.as_fd(), &frame(b"")), Ok(Sent::Gone));
    }

    #[test]
    fn a_child_that_shuts_its_end_down_is_at_its_end_too() {
        let Pair { master, child } = Pair::new().unwrap();
        send(child.as_fd(), &frame(b"last")).unwrap();
        nix::sys::socket::shutdown(child.as_raw_fd(), nix::sys::socket::Shutdown::Write).unwrap();
        assert_eq!(drain(master.as_fd()), 1);
        assert_eq!(recv(master.as_fd(), &mut Buffer::new()), Recv::Closed);
    }

    /// F05: messages that are no frames cost nothing but themselves.
    #[test]
    fn bad_messages_are_dropped_one_by_one() {
        let Pair { master, child } = Pair::new().unwrap();
        raw(&child, b"", &[]);
        raw(&child, b"rubbish", &[]);
        raw(&child, &[0; HEAD], &[]);
        raw(&child, &[0; HEAD + DTM_MESSAGE_MAX + 1], &[]);
        send(child.as_fd(), &frame(b"good")).unwrap();
        let mut buffer = Buffer::new();
        for error in [
            FrameError::Length,
            FrameError::Length,
            FrameError::Magic,
            FrameError::Length,
        ] {
            assert_eq!(recv(master.as_fd(), &mut buffer), Recv::Bad(error));
        }
        assert_eq!(
            recv(master.as_fd(), &mut buffer),
            Recv::Frame(frame(b"good"))
        );
    }

    /// F05: descriptors that nobody asked for are not received.
    #[test]
    fn descriptors_are_closed_by_the_kernel() {
        let Pair { master, child } = Pair::new().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let bytes = [&frame(b"x").encode_head().unwrap()[..], b"x"].concat();
        raw(
            &child,
            &bytes,
            &[ControlMessage::ScmRights(&[writer.as_raw_fd()])],
        );
        drop(writer);
        let mut buffer = Buffer::new();
        assert_eq!(
            recv(master.as_fd(), &mut buffer),
            Recv::Bad(FrameError::Length)
        );
        // The pipe's end shows that the last writer is gone.
        assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(0));
    }

    /// L6, M13: nothing of a dead child is left for the next one.
    #[test]
    fn drain_takes_everything_from_both_ends() {
        let Pair { master, child } = Pair::new().unwrap();
        for end in [&master, &child] {
            send(end.as_fd(), &frame(b"old")).unwrap();
            raw(end, b"", &[]);
            raw(end, &[1; 1000], &[]);
        }
        for end in [&master, &child] {
            assert_eq!(drain(end.as_fd()), 3);
            assert_eq!(recv(end.as_fd(), &mut Buffer::new()), Recv::Empty);
        }
    }
}
