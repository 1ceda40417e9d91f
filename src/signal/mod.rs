//! Signals: what each means to whom ([`table`]), and how they arrive ([`handler`], [`blocked`]).

pub(crate) mod blocked;
pub(crate) mod handler;
pub(crate) mod mask;
mod saved;
pub(crate) mod table;
