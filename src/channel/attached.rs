//! Descriptors that come with a frame (SCM_RIGHTS). Of a list that was cut short
//! nix hands out nothing, and what had arrived stays open for ever; so this file
//! speaks to the kernel itself.

use nix::errno::Errno;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors of one frame.
pub(crate) const FDS_MAX: usize = 32;

/// The one control message that a channel carries, as the kernel lays it out.
#[repr(C)]
struct Control {
    head: libc::cmsghdr,
    fds: [RawFd; FDS_MAX],
}

// SAFETY: plain arithmetic.
const _: () = assert!(offset_of!(Control, fds) == unsafe { libc::CMSG_LEN(0) } as usize);

/// What came with the frame that was read last. Descriptors that are not taken
/// out of it are closed at the next read.
pub(crate) struct Attached {
    pub(crate) fds: Vec<OwnedFd>,
    /// There were more than this process could take, so there are none: it is
    /// out of descriptors, or they were more than [`FDS_MAX`].
    pub(crate) cut: bool,
    control: Control,
}

impl Attached {
    pub(crate) fn new() -> Self {
        Self {
            fds: Vec::with_capacity(FDS_MAX),
            cut: false,
            control: Control {
                // SAFETY: a struct of integers.
                head: unsafe { std::mem::zeroed() },
                fds: [-1; FDS_MAX],
            },
        }
    }

    pub(super) fn clear(&mut self) {
        self.fds.clear();
        self.cut = false;
    }

    /// Own what the kernel put into `control`.
    fn collect(&mut self, len: usize, flags: i32) {
        self.clear();
        let head = &self.control.head;
        let start = offset_of!(Control, fds);
        if len >= start && (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
        {
            let count = head.cmsg_len.saturating_sub(start) / size_of::<RawFd>();
            let fds = self.control.fds.iter().take(count);
            // SAFETY: made by the kernel for this message; nobody else owns them.
            let owned = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
            self.fds.extend(owned);
        }
        if flags & libc::MSG_CTRUNC != 0 {
            self.clear();
            self.cut = true;
        }
    }
}

/// Take one message: its length, and the flags MSG_*. Without `attached` the
/// kernel closes the descriptors of the message.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    bytes: &mut [u8],
    mut attached: Option<&mut Attached>,
) -> Result<(usize, i32), Errno> {
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zero says: no name, no parts, no control messages.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(attached) = attached.as_deref_mut() {
        message.msg_control = (&raw mut attached.control).cast();
        message.msg_controllen = size_of::<Control>();
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: message names `bytes` and `control`, which outlive the call.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(len).map_err(|_| Errno::last())?;
    if let Some(attached) = attached {
        attached.collect(message.msg_controllen, message.msg_flags);
    }
    Ok((len, message.msg_flags))
}

/// Take one message of text; None: the other side is gone. What is no text is cleaned.
pub(crate) fn receive_text(
    fd: BorrowedFd<'_>,
    attached: &mut Attached,
) -> Result<Option<String>, Errno> {
    let mut bytes = vec![0; crate::ffi::DTM_MESSAGE_MAX];
    let (len, _) = receive(fd, &mut bytes, Some(attached))?;
    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
    Ok((len > 0).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::frame::{FrameError, HEAD};
    use crate::channel::{Buffer, Frame, Head, Kind, Pair, Recv, Sent, recv_with, send, send_with};
    use crate::ffi::DTM_MESSAGE_MAX;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    fn frame(kind: Kind) -> Frame<'static> {
        let head = Head {
            kind,
            slot: 1,
            generation: 1,
            spawn: 9,
            seq: 0,
            arg: 3,
            arg2: 4,
        };
        let payload = b"which";
        Frame { head, payload }
    }

    /// A pipe whose reader shows, by its end, that nobody has the writer any more.
    struct Probe {
        reader: OwnedFd,
        writer: OwnedFd,
    }

    impl Probe {
        fn new() -> Self {
            let (reader, writer) = nix::unistd::pipe().unwrap();
            Self { reader, writer }
        }

        fn copies(&self, n: usize) -> Vec<BorrowedFd<'_>> {
            vec![self.writer.as_fd(); n]
        }

        /// Are all copies closed? (A fork in another test has them for a moment.)
        fn all_closed(self) -> bool {
            drop(self.writer);
            let mut fds = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
            assert_ne!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(0));
            nix::unistd::read(&self.reader, &mut [0]) == Ok(0)
        }
    }

    fn raw(fd: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let parts = [IoSlice::new(bytes)];
        let sent = sendmsg::<()>(fd.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(bytes.len()));
    }

    fn bytes(frame: &Frame<'_>) -> Vec<u8> {
        [&frame.encode_head().unwrap(), frame.payload].concat()
    }

    #[test]
    fn descriptors_arrive_with_their_frame() {
        let Pair { master, child } = Pair::new().unwrap();
        let probe = Probe::new();
        let (mut buffer, mut attached) = (Buffer::new(), Attached::new());
        for n in [1, 0, 3, FDS_MAX, 0] {
            let sent = send_with(master.as_fd(), &frame(Kind::Client), &probe.copies(n));
            assert_eq!(sent, Ok(Sent::Done));
            let got = recv_with(child.as_fd(), &mut buffer, &mut attached);
            assert_eq!(got, Recv::Frame(frame(Kind::Client)));
            assert_eq!((attached.fds.len(), attached.cut), (n, false));
            for fd in &attached.fds {
                let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
                assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
                assert_eq!(nix::unistd::write(fd, b"x"), Ok(1));
                assert_eq!(nix::unistd::read(&probe.reader, &mut [0; 2]), Ok(1));
            }
        }
        assert!(probe.all_closed());
    }

    #[test]
    fn those_taken_out_stay_open_and_the_others_are_closed() {
        let Pair { master, child } = Pair::new().unwrap();
        let (mut buffer, mut attached) = (Buffer::new(), Attached::new());
        let (kept, left) = (Probe::new(), Probe::new());
        let fds = [kept.writer.as_fd(), left.writer.as_fd()];
        send_with(master.as_fd(), &frame(Kind::Client), &fds).unwrap();
        recv_with(child.as_fd(), &mut buffer, &mut attached);
        let mine = attached.fds.swap_remove(0);
        assert_eq!(
            recv_with(child.as_fd(), &mut buffer, &mut attached),
            Recv::Empty
        );
        assert!(left.all_closed());
        drop(kept.writer);
        assert_eq!(nix::unistd::write(&mine, b"x"), Ok(1));
    }

    #[test]
    fn too_many_are_not_sent() {
        let Pair { master, child } = Pair::new().unwrap();
        let probe = Probe::new();
        let many = probe.copies(FDS_MAX + 1);
        let error = send_with(master.as_fd(), &frame(Kind::Client), &many).unwrap_err();
        assert_eq!(error.code, -libc::E2BIG);
        let mut buffer = Buffer::new();
        let got = recv_with(child.as_fd(), &mut buffer, &mut Attached::new());
        assert_eq!(got, Recv::Empty);
    }

    /// F05: whatever comes, no descriptor is left behind.
    #[test]
    fn nothing_leaks_whatever_arrives() {
        let client = bytes(&frame(Kind::Client));
        let cases: [(&[u8], usize, Option<FrameError>, bool); 6] = [
            (&client, FDS_MAX + 8, None, true),
            (&bytes(&frame(Kind::Data)), 2, None, false),
            (b"", 2, Some(FrameError::Length), false),
            (b"rubbish", FDS_MAX, Some(FrameError::Length), false),
            (&[0; HEAD], 1, Some(FrameError::Magic), false),
            (
                &[0; HEAD + DTM_MESSAGE_MAX + 1],
                FDS_MAX + 1,
                Some(FrameError::Length),
                false,
            ),
        ];
        let Pair { master, child } = Pair::new().unwrap();
        let (mut buffer, mut attached) = (Buffer::new(), Attached::new());
        for (bytes, n, error, cut) in cases {
            let probe = Probe::new();
            raw(&master, bytes, &probe.copies(n));
            match (recv_with(child.as_fd(), &mut buffer, &mut attached), error) {
                (Recv::Frame(frame), None) => assert_eq!(frame.payload, b"which"),
                (Recv::Bad(got), Some(error)) => assert_eq!(got, error),
                (got, _) => panic!("{got:?} of {n} descriptors"),
            }
            assert_eq!((attached.fds.len(), attached.cut), (0, cut));
            assert!(probe.all_closed(), "{n} descriptors with {error:?}");
        }
        send(master.as_fd(), &frame(Kind::Client)).unwrap();
        recv_with(child.as_fd(), &mut buffer, &mut attached);
        assert!(!attached.cut, "of an earlier message");
    }

    /// B05: a receiver that is out of descriptors is told of the frame all the same.
    #[test]
    fn out_of_descriptors_is_told_apart() {
        let Pair { master, child } = Pair::new().unwrap();
        let probe = Probe::new();
        let sent = send_with(master.as_fd(), &frame(Kind::Client), &probe.copies(5));
        assert_eq!(sent, Ok(Sent::Done));
        let (mut buffer, mut attached) = (Buffer::new(), Attached::new());
        let mut look = || {
            let next = |fd: &OwnedFd| fd.try_clone().map(|fd| fd.as_raw_fd());
            let free = next(&child).map_err(|_| 1)?;
            let soft = libc::rlim_t::from(free.unsigned_abs()) + 1;
            let limit = libc::rlimit {
                rlim_cur: soft,
                rlim_max: soft,
            };
            // SAFETY: valid storage; this process ends right after.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            match recv_with(child.as_fd(), &mut buffer, &mut attached) {
                Recv::Frame(got) if got == frame(Kind::Client) => {}
                _ => return Err(2),
            }
            if !attached.cut || !attached.fds.is_empty() {
                return Err(3);
            }
            // The one for which there was room is closed again.
            if next(&child).ok() == Some(free) {
                Ok(())
            } else {
                Err(4)
            }
        };
        // A process of its own: the limit counts for all of its threads.
        // SAFETY: the child allocates nothing, and ends by _exit.
        #[allow(clippy::disallowed_methods)]
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            crate::process::exit_now(look().err().unwrap_or(0));
        }
        let pid = nix::unistd::Pid::from_raw(pid);
        let status = nix::sys::wait::waitpid(pid, None).unwrap();
        assert_eq!(status, nix::sys::wait::WaitStatus::Exited(pid, 0));
        drop(child);
        assert!(probe.all_closed());
    }
}
