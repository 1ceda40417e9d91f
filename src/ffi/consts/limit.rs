//! Limits, and locks.

/// Largest payload of one message between controller and workers, in bytes.
pub const DTM_MESSAGE_MAX: usize = 65536;
/// Most counters a service can register.
pub const DTM_COUNTERS_MAX: u32 = 32;
/// Most commands a service can add to the ready-made console.
pub const DTM_COMMANDS_MAX: u32 = 256;
/// Longest text of one part of a console reply, in bytes.
pub const DTM_REPLY_TEXT_MAX: usize = 262144;
/// Most listeners a runtime can have.
pub const DTM_LISTENERS_MAX: u32 = 32;
/// Most locks a service can register.
pub const DTM_LOCKS_MAX: u32 = 64;

/// Result of dtm_lock_take(): the lock is yours, but its last owner died with it.
pub const DTM_LOCK_RECOVERED: i32 = 1;
