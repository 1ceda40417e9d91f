//! What must hold of the parsers whatever bytes they are given: `sh tests/gates/fuzz.sh`.
//!
//! These are the library's and dtmctl's own files. Each module has one function `check`,
//! which panics if a property does not hold.

// Not everything in these files is needed here.
#![allow(dead_code, unused_imports)]

pub mod commands;
pub mod config;
pub mod frames;
pub mod gateway;
pub mod http;
pub mod replies;
pub mod upgrade;

#[path = "../../../src/ffi"]
mod ffi {
    mod consts;
    pub(crate) use consts::*;
}
#[path = "../../../src/bin/dtmctl/json.rs"]
mod json;
#[path = "../../../src/text.rs"]
mod text;
#[path = "../../../src/bin/dtmctl/value.rs"]
mod value;
#[path = "../../../src/console/json.rs"]
mod writing;

/// How a stream is cut: the first bytes of the input say how large the pieces are, the
/// last of them again and again.
struct Cuts<'a> {
    sizes: &'a [u8],
    at: usize,
}

const CUTS: usize = 4;

impl<'a> Cuts<'a> {
    /// The cuts, and the stream itself.
    fn of(data: &'a [u8]) -> (Self, &'a [u8]) {
        let (sizes, stream) = data.split_at(CUTS.min(data.len()));
        (Self { sizes, at: 0 }, stream)
    }

    fn next_size(&mut self) -> usize {
        let size = self
            .sizes
            .get(self.at.min(self.sizes.len().saturating_sub(1)));
        self.at += 1;
        usize::from(*size.unwrap_or(&1)).max(1)
    }
}
