//! The structs of the API: opaque handles, and what callbacks and queries hand out or take.

// In the order of the header.
mod handle;

mod query;

mod setup;

mod action;

pub(crate) use {action::*, handle::*, query::*, setup::*};
