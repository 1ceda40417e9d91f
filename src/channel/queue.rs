//! Messages that a full channel did not take yet, up to a limit.

use super::frame::Frame;
use super::pair::{Sent, send_parts, too_long};
use crate::error::Result;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

/// The outgoing messages of one slot.
pub(crate) struct Outbox {
    waiting: RefCell<VecDeque<Box<[u8]>>>,
    bytes: Cell<usize>,
    limit: usize,
}

impl Outbox {
    /// `limit`: bytes that may wait, heads included.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: RefCell::default(),
            bytes: Cell::new(0),
            limit,
        }
    }

    /// Send a frame after those that wait. Done: it is sent, or waits in line
    /// (see [`Outbox::is_empty`]). Full: the limit is reached and it was not taken.
    pub(crate) fn push(&self, fd: BorrowedFd<'_>, frame: &Frame<'_>) -> Result<Sent> {
        let head = frame.encode_head().ok_or_else(too_long)?;
        if self.is_empty() {
            let sent = send_parts(fd, &[IoSlice::new(&head), IoSlice::new(frame.payload)], &[]);
            if sent != Sent::Full {
                return Ok(sent);
            }
        }
        let bytes = self.bytes.get() + head.len() + frame.payload.len();
        if bytes > self.limit {
            return Ok(Sent::Full);
        }
        self.bytes.set(bytes);
        let message = [&head, frame.payload].concat().into_boxed_slice();
        self.waiting.borrow_mut().push_back(message);
        Ok(Sent::Done)
    }

    /// The channel is writable: send what waits. Full: some is left, wait for
    /// the channel again. Gone: nobody reads, and nothing waits any more.
    pub(crate) fn flush(&self, fd: BorrowedFd<'_>) -> Sent {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(message) = waiting.front() {
            match send_parts(fd, &[IoSlice::new(message)], &[]) {
                Sent::Done => {
                    self.bytes.set(self.bytes.get() - message.len());
                    waiting.pop_front();
                }
                Sent::Full => return Sent::Full,
                Sent::Gone => {
                    drop(waiting);
                    self.clear();
                    return Sent::Gone;
                }
            }
        }
        Sent::Done
    }

    /// The addressee is dead: its messages are for nobody.
    pub(crate) fn clear(&self) {
        self.waiting.take();
        self.bytes.set(0);
    }

    /// For what may be lost: the other half of the room is for what may not.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes.get() > self.limit / 2
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Buffer, Head, Kind, Pair, Recv, drain, recv};
    use std::os::fd::AsFd;

    fn frame(seq: u64, payload: &[u8]) -> Frame<'_> {
        let head = Head {
            kind: Kind::Data,
            slot: 0,
            generation: 0,
            spawn: 1,
            seq,
            arg: 0,
            arg2: 0,
        };
        Frame { head, payload }
    }

    /// F03: to a peer that stopped, messages wait up to the limit; when it goes
    /// on it gets every message that was taken, in order.
    #[test]
    fn messages_wait_in_order_up_to_the_limit() {
        let Pair { master, child } = Pair::new().unwrap();
        let outbox = Outbox::new(1 << 20);
        let payload = [3; 30_000];
        let mut taken = 0;
        while outbox
            .push(master.as_fd(), &frame(taken, &payload))
            .unwrap()
            == Sent::Done
        {
            taken += 1;
        }
        assert!(!outbox.is_empty());
        assert!(outbox.bytes.get() <= 1 << 20);

        let mut buffer = Buffer::new();
        for expected in 0..taken {
            match recv(child.as_fd(), &mut buffer) {
                Recv::Frame(frame) => assert_eq!(frame.head.seq, expected),
                other => panic!("message {expected} of {taken}: {other:?}"),
            }
            outbox.flush(master.as_fd());
        }
        assert!(outbox.is_empty());
        assert_eq!(recv(child.as_fd(), &mut buffer), Recv::Empty);
        assert_eq!(
            outbox.push(master.as_fd(), &frame(taken, b"")),
            Ok(Sent::Done)
        );
        assert!(outbox.is_empty(), "sent at once");
    }

    #[test]
    fn a_death_empties_the_queue() {
        for clear in [true, false] {
            let Pair { master, child } = Pair::new().unwrap();
            let outbox = Outbox::new(1 << 20);
            while outbox
                .push(master.as_fd(), &frame(0, &[0; 30_000]))
                .unwrap()
                == Sent::Done
            {}
            if clear {
                outbox.clear();
                drain(child.as_fd());
                assert_eq!(outbox.flush(master.as_fd()), Sent::Done);
            } else {
                drop(child);
                assert_eq!(outbox.flush(master.as_fd()), Sent::Gone);
            }
            assert!(outbox.is_empty());
        }
    }
}
