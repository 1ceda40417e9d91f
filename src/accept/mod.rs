//! The accept schedule.
