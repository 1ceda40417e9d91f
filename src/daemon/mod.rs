//! What a good daemon does beside its work: a pid file that is a lock, the background,
//! titles, privileges that it gives up, limits. See docs/daemon.md.
//!
//! The master keeps its privileges and applies to itself only what must hold for
//! everybody ([`place`]); the rest is a child's, between fork and init ([`child`]).

pub(crate) mod account;
pub(crate) mod affinity;
pub(crate) mod capability;
pub(crate) mod child;
pub(crate) mod detach;
pub(crate) mod identity;
pub(crate) mod options;
pub(crate) mod pid_file;
pub(crate) mod place;
pub(crate) mod strangers;
pub(crate) mod title;

pub(crate) use options::Options;
