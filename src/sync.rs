//! The atomics of the code that tests/loom runs in every order of its steps: there, this
//! name means loom's.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64};
