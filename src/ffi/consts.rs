//! The numbers of the API. Retired values stay reserved, new ones go at the end.

#![allow(dead_code, reason = "most are for the C side only")]

/// The ABI number: part of the SONAME (`libdtm.so.0`). It changes only when a
/// program compiled against an older header could break.
pub const DTM_ABI_VERSION: u32 = 0;

// In the order of the header.
mod errors;

mod process;

mod event;

mod config;

mod command;

mod life;

mod limit;

mod action;

pub(crate) use {
    action::*, command::*, config::*, errors::*, event::*, life::*, limit::*, process::*,
};
