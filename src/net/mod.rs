//! Addresses and listening sockets.

mod addr;
#[allow(dead_code)] // the accept schedule is to take it up
pub(crate) mod group;
mod listener;
mod peer;
mod unix;

pub(crate) use addr::Address;
#[allow(unused_imports)] // likewise
pub(crate) use group::member;
pub(crate) use listener::{ListenSpec, Listener};
pub(crate) use peer::{AcceptError, Peer, accept, peer_of};
