//! Channels: one SOCK_SEQPACKET pair per slot, made before the first fork, so
//! that a running controller reaches workers that are forked later.
//!
//! A message arrives whole or not at all, whoever is killed meanwhile. It names
//! the fork that it is for (or from): one that outlives its addressee is
//! dropped by the next process in the same slot. State lives in shared memory;
//! a message is a nudge to look, so losing one does no harm.

mod attached;
mod clients;
mod frame;
mod life;
mod pair;
mod queue;

pub(crate) use attached::{Attached, FDS_MAX, receive_text};
#[cfg(test)]
pub(crate) use clients::TEXT as LONGEST_TEXT;
pub(crate) use clients::{ClientFacts, Clients, MOST as MOST_CLIENTS};
pub(crate) use frame::{Fence, Frame, HEAD, Head, Kind};
pub(crate) use life::Life;
pub(crate) use pair::{
    Buffer, MESSAGES_MAX, Pair, Recv, Sent, drain, recv, recv_with, send, send_text, send_with,
};
pub(crate) use queue::Outbox;

/// Messages read from one channel before anything else has its turn: one that does not stop
/// talking keeps nobody else waiting.
pub(crate) const AT_ONCE: usize = 64;
