//! Shared memory: sealed regions, latch publication, per-slot board.
