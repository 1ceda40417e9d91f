//! The master.

pub(crate) mod policy;
