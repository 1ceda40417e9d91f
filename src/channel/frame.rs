//! The frame: a fixed head and up to DTM_MESSAGE_MAX bytes. Pure.

use crate::ffi::DTM_MESSAGE_MAX;
use std::cell::Cell;

const MAGIC: u32 = u32::from_be_bytes(*b"dtmF");
/// Changes with the meaning of any field.
const ABI: u16 = 1;
/// Bytes of an encoded head.
pub(crate) const HEAD: usize = 56;

/// What a frame means. The first row is sent by the master to its children, the
/// second by children to the master, the third by the controller to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Open = 1,
    Nudge = 2,
    Reply = 3,
    TableChanged = 4,
    ConfigLoaded = 5,
    ConfigReverted = 6,
    Answer = 7,
    Refused = 8,
    ReopenLog = 9,
    /// An accepted client, with its descriptor.
    Client = 10,
    /// A life event, see [`super::Life`].
    Life = 11,
    /// What a worker said of its clients, for the question `arg2`.
    Clients = 12,
    /// This log level from now on.
    LogLevel = 13,
    /// Let go of the control lock; Open gives it back.
    Suspend = 14,
    /// The binary that serves now has adopted it: it outlives its master. `arg`: when it is
    /// killed at the latest, CLOCK_MONOTONIC in ms; u64::MAX: never.
    Adopted = 15,

    Ready = 16,
    Updated = 17,
    Refusal = 18,
    AnswerUp = 19,
    Command = 20,
    /// The client `arg` is served here.
    Taken = 21,
    /// The client `arg` is not, and its descriptor is closed.
    Declined = 22,
    Room = 23,
    /// It has work, and the master had stopped to look at it.
    Awake = 24,
    /// It asks for `arg` ms more for what it is doing.
    Extend = 25,
    /// It crashes: a report.
    Report = 26,
    /// The answer to `AskClients`, for the controller.
    ClientsUp = 27,
    /// The controller has let go of its lock.
    Suspended = 28,

    Data = 32,
    Sync = 33,
    /// Tell of your clients: question `arg`.
    AskClients = 34,
}

impl Kind {
    const ALL: [Self; 31] = [
        Self::Open,
        Self::Nudge,
        Self::Reply,
        Self::TableChanged,
        Self::ConfigLoaded,
        Self::ConfigReverted,
        Self::Answer,
        Self::Refused,
        Self::ReopenLog,
        Self::Client,
        Self::Life,
        Self::Clients,
        Self::LogLevel,
        Self::Suspend,
        Self::Adopted,
        Self::Suspended,
        Self::Ready,
        Self::Updated,
        Self::Refusal,
        Self::AnswerUp,
        Self::Command,
        Self::Taken,
        Self::Declined,
        Self::Room,
        Self::Awake,
        Self::Extend,
        Self::Report,
        Self::ClientsUp,
        Self::Data,
        Self::Sync,
        Self::AskClients,
    ];

    fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == code)
    }

    /// May descriptors come with it?
    pub(super) fn carries_fds(self) -> bool {
        matches!(self, Self::Client | Self::ReopenLog | Self::ConfigLoaded)
    }
}

/// The head of a frame, but for its length. `slot`, `generation` and `spawn`
/// name the child at the far end of the channel: the addressee of a frame that
/// goes down, the sender of one that goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) spawn: u64,
    /// Numbers the sender's frames, or names the frame that this one answers.
    pub(crate) seq: u64,
    /// The kind's own.
    pub(crate) arg: u64,
    /// The kind's own.
    pub(crate) arg2: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Head,
    pub(crate) payload: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Not one of ours.
    Magic,
    /// Of another version of this library.
    Abi,
    /// Cut short, too long, or with descriptors for one that takes none.
    Length,
    /// Of a kind that does not exist.
    Kind,
}

impl<'a> Frame<'a> {
    /// The encoded head; the payload follows it as it is. `None`: the payload is
    /// too long. Both ends run on one machine, so numbers are in its order.
    pub(crate) fn encode_head(&self) -> Option<[u8; HEAD]> {
        let Head {
            kind,
            slot,
            generation,
            spawn,
            seq,
            arg,
            arg2,
        } = self.head;
        if self.payload.len() > DTM_MESSAGE_MAX {
            return None;
        }
        let len = u32::try_from(self.payload.len()).ok()?;
        let mut bytes = [0; HEAD];
        bytes[0..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[4..6].copy_from_slice(&ABI.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(kind as u16).to_ne_bytes());
        bytes[8..12].copy_from_slice(&len.to_ne_bytes());
        bytes[12..16].copy_from_slice(&slot.to_ne_bytes());
        bytes[16..20].copy_from_slice(&generation.to_ne_bytes());
        // 20..24 is reserved.
        bytes[24..32].copy_from_slice(&spawn.to_ne_bytes());
        bytes[32..40].copy_from_slice(&seq.to_ne_bytes());
        bytes[40..48].copy_from_slice(&arg.to_ne_bytes());
        bytes[48..56].copy_from_slice(&arg2.to_ne_bytes());
        Some(bytes)
    }

    /// Read one frame that takes up all of `bytes`.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some((head, payload)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(FrameError::Length);
        };
        if u32_at(head, 0) != MAGIC {
            return Err(FrameError::Magic);
        }
        if u16_at(head, 4) != ABI {
            return Err(FrameError::Abi);
        }
        let kind = Kind::from_code(u16_at(head, 6)).ok_or(FrameError::Kind)?;
        if payload.len() > DTM_MESSAGE_MAX || usize::try_from(u32_at(head, 8)) != Ok(payload.len())
        {
            return Err(FrameError::Length);
        }
        let head = Head {
            kind,
            slot: u32_at(head, 12),
            generation: u32_at(head, 16),
            spawn: u64_at(head, 24),
            seq: u64_at(head, 32),
            arg: u64_at(head, 40),
            arg2: u64_at(head, 48),
        };
        Ok(Self { head, payload })
    }
}

fn bytes_at<const N: usize>(head: &[u8; HEAD], at: usize) -> [u8; N] {
    std::array::from_fn(|i| head[at + i])
}

fn u16_at(head: &[u8; HEAD], at: usize) -> u16 {
    u16::from_ne_bytes(bytes_at(head, at))
}

fn u32_at(head: &[u8; HEAD], at: usize) -> u32 {
    u32::from_ne_bytes(bytes_at(head, at))
}

fn u64_at(head: &[u8; HEAD], at: usize) -> u64 {
    u64::from_ne_bytes(bytes_at(head, at))
}

/// Lets the frames of one fork pass and counts the others.
pub(crate) struct Fence {
    slot: u32,
    spawn: u64,
    dropped: Cell<u64>,
}

impl Fence {
    pub(crate) fn new(slot: u32, spawn: u64) -> Self {
        Self {
            slot,
            spawn,
            dropped: Cell::new(0),
        }
    }

    /// Is this frame of the fork that the fence is for? If not, drop it.
    pub(crate) fn accepts(&self, head: &Head) -> bool {
        let ours = head.slot == self.slot && head.spawn == self.spawn;
        if !ours {
            self.dropped.set(self.dropped.get() + 1);
        }
        ours
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(frame: &Frame<'_>) -> Vec<u8> {
        [&frame.encode_head().unwrap(), frame.payload].concat()
    }

    fn head() -> Head {
        Head {
            kind: Kind::Data,
            slot: 3,
            generation: 2,
            spawn: 77,
            seq: 1,
            arg: 5,
            arg2: 6,
        }
    }

    fn any_head() -> impl Strategy<Value = Head> {
        let kind = proptest::sample::select(&Kind::ALL[..]);
        let rest = any::<(u32, u32, u64, u64, u64, u64)>();
        (kind, rest).prop_map(|(kind, (slot, generation, spawn, seq, arg, arg2))| Head {
            kind,
            slot,
            generation,
            spawn,
            seq,
            arg,
            arg2,
        })
    }

    proptest! {
        #[test]
        fn frames_survive_encoding(head in any_head(), payload: Vec<u8>) {
            let frame = Frame { head, payload: &payload };
            let bytes = encode(&frame);
            prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = Frame::decode(&bytes);
        }

        /// Damage to a true head is either noticed or changes only values.
        #[test]
        fn damaged_frames_are_frames_or_errors(at in 0..HEAD, byte: u8) {
            let mut bytes = encode(&Frame { head: head(), payload: b"abc" });
            bytes[at] = byte;
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(frame.payload, b"abc");
            }
        }
    }

    #[test]
    fn errors_are_told_apart() {
        let good = encode(&Frame {
            head: head(),
            payload: b"abc",
        });
        let damaged = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            Frame::decode(&bytes).unwrap_err()
        };
        assert_eq!(damaged(0), FrameError::Magic);
        assert_eq!(damaged(4), FrameError::Abi);
        assert_eq!(damaged(6), FrameError::Kind);
        assert_eq!(damaged(8), FrameError::Length);
        for len in [0, 1, HEAD - 1, HEAD, good.len() - 1] {
            assert_eq!(Frame::decode(&good[..len]), Err(FrameError::Length));
        }
    }

    #[test]
    fn the_longest_payload_fits_and_no_longer_one() {
        let payload = vec![0; DTM_MESSAGE_MAX + 1];
        let mut frame = Frame {
            head: head(),
            payload: &payload[1..],
        };
        assert_eq!(Frame::decode(&encode(&frame)), Ok(frame));
        frame.payload = &payload;
        assert_eq!(frame.encode_head(), None);
    }

    #[test]
    fn the_fence_lets_one_fork_pass() {
        let fence = Fence::new(3, 77);
        let of = |slot, spawn| Head {
            slot,
            spawn,
            ..head()
        };
        assert!(fence.accepts(&of(3, 77)));
        assert!(!fence.accepts(&of(3, 76)));
        assert!(!fence.accepts(&of(4, 77)));
        assert_eq!(fence.dropped(), 2);
    }
}
