//! A child's way to the master from where its objects are out of reach: deep inside of the
//! loop, and in signal handlers. Async-signal-safe.

use super::birth::Birth;
use crate::channel::{Frame, HEAD, Head, Kind};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::*};

static CHANNEL: AtomicI32 = AtomicI32::new(-1);
/// A process that the service forks has all this, too, and is none of ours.
static OWNER: AtomicI32 = AtomicI32::new(0);
static SLOT: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(0);
static SPAWN: AtomicU64 = AtomicU64::new(0);

/// Longest payload.
const PAYLOAD: usize = 1024;

/// In a child, once.
pub(super) fn raise(birth: &Birth, channel: i32) {
    CHANNEL.store(channel, Relaxed);
    SLOT.store(birth.slot_number(), Relaxed);
    GENERATION.store(birth.generation, Relaxed);
    SPAWN.store(birth.spawn, Relaxed);
    OWNER.store(nix::unistd::getpid().as_raw(), Release);
}

/// Is this process that child?
pub(crate) fn is_ours() -> bool {
    // SAFETY: async-signal-safe.
    unsafe { libc::getpid() == OWNER.load(Acquire) }
}

/// It is at work, and the master had stopped to look at it. A master whose channel is
/// full is awake.
pub(crate) fn announce() {
    if is_ours() {
        say(Kind::Awake, &[]);
    }
}

/// One message, whole or not at all. False: the channel is full, or gone.
pub(crate) fn say(kind: Kind, payload: &[u8]) -> bool {
    let head = Head {
        kind,
        slot: SLOT.load(Relaxed),
        generation: GENERATION.load(Relaxed),
        spawn: SPAWN.load(Relaxed),
        seq: 0,
        arg: 0,
        arg2: 0,
    };
    let mut message = [0u8; HEAD + PAYLOAD];
    let len = HEAD + payload.len();
    let (Some(head), Some(body)) = (
        (Frame { head, payload }).encode_head(),
        message.get_mut(HEAD..len),
    ) else {
        return false;
    };
    body.copy_from_slice(payload);
    message[..HEAD].copy_from_slice(&head);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let fd = CHANNEL.load(Relaxed);
    // SAFETY: async-signal-safe, and `len` bytes of `message` are there.
    unsafe { libc::send(fd, message.as_ptr().cast(), len, flags) >= 0 }
}

/// The same, for what must not get lost: gives a full channel a moment.
pub(crate) fn insist(kind: Kind, payload: &[u8]) {
    for _ in 0..3 {
        if say(kind, payload) {
            return;
        }
        let mut poll = libc::pollfd {
            fd: CHANNEL.load(Relaxed),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: async-signal-safe, with one valid element.
        unsafe { libc::poll(&raw mut poll, 1, 100) };
    }
}
