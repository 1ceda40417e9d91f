//! What processes publish to each other: sealed regions, made by the master
//! before its first fork and inherited by every child.
//!
//! | block | writer | readers |
//! |---|---|---|
//! | [`Table`] | master | every child, read-only |
//! | [`FactsBlock`] | master | every child, read-only |
//! | [`AdoptedBlock`] | master | every child, read-only |
//! | [`Ban`] | controller | master |
//! | [`Board`] | each child its own row | all |
//! | [`ProgressTable`] | each child its own row, and one word the master | master |
//! | [`LastWords`] | each child its own | master, when a child has failed |
//! | [`Locks`] | who takes one, and the master for the dead | all |
//!
//! The master never takes a decision from memory that a child can write without
//! checking it: such words are hints, or wishes that it may refuse.

mod adopted;
mod ban;
mod board;
mod counts;
mod facts;
mod last_words;
mod latch;
mod lock;
mod progress;
mod region;
mod table;

pub(crate) use adopted::AdoptedBlock;
pub(crate) use ban::{Ban, Notice};
pub(crate) use board::{Board, BoardRow, Gauge, Gauges};
pub(crate) use counts::{Count, Counts};
pub(crate) use facts::{Facts, FactsBlock};
pub(crate) use last_words::LastWords;
pub(crate) use latch::Latch;
pub(crate) use lock::{Locks, owner};
pub(crate) use progress::{Doing, NUMBER_BITS, Note, Progress, ProgressTable};
pub(crate) use region::{One, Owner, Piece, Region, Word, add};
pub(crate) use table::{Order, Row, Table};
