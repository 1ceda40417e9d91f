//! Addresses and listening sockets.

mod addr;
pub(crate) mod group;
pub(crate) mod inherited;
mod listener;
mod peer;
mod set;
mod socket;
pub(crate) mod syn;
mod unix;

pub(crate) use addr::Address;
pub(crate) use inherited::Inherited;
pub(crate) use listener::{ListenSpec, Listener, Use};
pub(crate) use peer::{AcceptError, Peer, accept, listens, peer_of};
pub(crate) use set::{Begun, Listeners};
