//! A child's end of its channel, and the fence: whatever is not addressed to
//! this very spawn is dropped and counted. flow: W1, W7, M13

use super::birth::Birth;
use crate::channel::{
    AT_ONCE, Attached, Buffer, Fence, Frame, Head, Kind, Recv, Sent, recv_with, send,
};
use crate::error::{Error, Result};
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

pub(crate) struct Link {
    fd: OwnedFd,
    inode: Option<u64>,
    generation: u32,
    slot: u32,
    spawn: u64,
    sequence: Cell<u64>,
    fence: Fence,
    buffer: Cell<Option<(Buffer, Attached)>>,
}

impl Link {
    pub(crate) fn new(fd: OwnedFd, birth: &Birth) -> Self {
        Self {
            inode: inode(&fd),
            fd,
            generation: birth.generation,
            slot: birth.slot_number(),
            spawn: birth.spawn,
            sequence: Cell::new(0),
            fence: Fence::new(birth.slot_number(), birth.spawn),
            buffer: Cell::new(Some((Buffer::new(), Attached::new()))),
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Is the descriptor still the socket it was?
    pub(crate) fn intact(&self) -> bool {
        self.inode.is_some() && inode(&self.fd) == self.inode
    }

    /// Messages for earlier processes of this slot that were dropped.
    pub(crate) fn fenced(&self) -> u64 {
        self.fence.dropped()
    }

    /// To the master. -EAGAIN: its end is full.
    pub(crate) fn send(&self, kind: Kind, arg: u64, arg2: u64, payload: &[u8]) -> Result<()> {
        let sequence = self.sequence.get() + 1;
        let head = Head {
            kind,
            slot: self.slot,
            generation: self.generation,
            spawn: self.spawn,
            seq: sequence,
            arg,
            arg2,
        };
        let frame = Frame { head, payload };
        #[cfg(feature = "fault")]
        crate::fault::hit("channel.send");
        match send(self.fd.as_fd(), &frame)? {
            Sent::Done => {
                self.sequence.set(sequence);
                Ok(())
            }
            Sent::Full => Err(Error::new(
                -libc::EAGAIN,
                "the channel to the master is full",
            )),
            Sent::Gone => Err(Error::new(crate::ffi::DTM_EGONE, "the master is gone")),
        }
    }

    /// The same, for the few messages on which the protocol depends: waits for
    /// room. The master always reads, so this is short.
    pub(crate) fn must_send(&self, kind: Kind, arg: u64, arg2: u64, payload: &[u8]) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        loop {
            match self.send(kind, arg, arg2, payload) {
                Err(error) if error.code == -libc::EAGAIN => {
                    let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::from(100u8));
                }
                _ => return,
            }
        }
    }

    /// Waits there more than was read at once?
    pub(crate) fn has_more(&self) -> bool {
        crate::sys::readable(self.fd.as_fd())
    }

    /// Hand waiting frames to `f`, so many at once. Descriptors that it leaves are closed.
    /// False: there is nobody at the other end.
    pub(crate) fn read(&self, f: &mut dyn FnMut(&Frame<'_>, &mut Attached)) -> bool {
        // Taken out, so that nothing is borrowed while callbacks run.
        let Some((mut buffer, mut attached)) = self.buffer.take() else {
            return true;
        };
        let mut open = true;
        for _ in 0..AT_ONCE {
            match recv_with(self.fd.as_fd(), &mut buffer, &mut attached) {
                Recv::Frame(frame) if self.fence.accepts(&frame.head) => f(&frame, &mut attached),
                Recv::Frame(_) => {
                    ::log::debug!("dropped a message for an earlier process of this slot")
                }
                Recv::Bad(why) => ::log::warn!("dropped a malformed message: {why:?}"),
                Recv::Empty => break,
                Recv::Closed => {
                    open = false;
                    break;
                }
            }
        }
        self.buffer.set(Some((buffer, attached)));
        open
    }
}

fn inode(fd: &OwnedFd) -> Option<u64> {
    nix::sys::stat::fstat(fd).ok().map(|s| s.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Pair, send_with};

    /// F05: what came for an earlier process of the slot is dropped, with its
    /// descriptors.
    #[test]
    fn the_fence_closes_descriptors_too() {
        let Pair { master, child } = Pair::new().unwrap();
        let birth = Birth {
            role: crate::ffi::DTM_ROLE_WORKER,
            slot: 3,
            generation: 1,
            index: 0,
            func: 0,
            spawn: 8,
            master: 0,
        };
        let link = Link::new(child, &birth);
        let (reader, writer) = nix::unistd::pipe().unwrap();
        for spawn in [7, 8] {
            let head = Head {
                kind: Kind::Client,
                slot: 3,
                generation: 1,
                spawn,
                seq: 0,
                arg: 0,
                arg2: 0,
            };
            let frame = Frame { head, payload: &[] };
            let sent = send_with(master.as_fd(), &frame, &[writer.as_fd()]).unwrap();
            assert_eq!(sent, Sent::Done);
        }
        drop(writer);
        let mut seen = Vec::new();
        let open =
            link.read(&mut |frame, attached| seen.push((frame.head.spawn, attached.fds.len())));
        assert_eq!((seen, link.fenced(), open), (vec![(8, 1)], 1, true));
        drop(master);
        assert!(!link.read(&mut |_, _| ()), "the master is gone");
        assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(0));
    }
}
