//! Results.
//!
//! 0 is success. -1..-4095 are negated errno values (-EAGAIN, -ENOMEM, ...).
//! The codes below are libdtm's own. dtm_strerror() knows both kinds.

/// Success.
pub const DTM_OK: i32 = 0;
/// An argument is NULL, out of range or contradicts another one (-EINVAL).
pub const DTM_EINVAL: i32 = -22;
/// A struct's `size` is none that this library can read: 0, too small, absurdly
/// large, or the pointer is not aligned.
pub const DTM_EABI: i32 = -4101;
/// Not available in this build or version, or a newer caller asks (by non-zero
/// bytes in a struct's unknown tail) for what this library does not know.
pub const DTM_ENOTSUP: i32 = -4102;
/// The call may not be made from this process, thread or callback.
pub const DTM_EROLE: i32 = -4103;
/// The calling process was forked by the service, not by libdtm: the handle is
/// not valid here and nothing was done.
pub const DTM_EFORKED: i32 = -4104;
/// The call comes too early, too late or for the second time (dtm_run() twice,
/// dtm_listen() while it runs but in config_load, a second runtime in one process).
pub const DTM_ESTATE: i32 = -4105;
/// A configuration value or file is wrong; dtm_last_error() names file, line and key.
pub const DTM_ECONFIG: i32 = -4106;
/// The process has more than one thread, so forking would be unsafe.
pub const DTM_ETHREADS: i32 = -4107;
/// An internal error was caught at the API boundary. The runtime of this
/// process is poisoned: every later call answers this code.
pub const DTM_EPANIC: i32 = -4108;
/// The handle or id names something that is gone: a closed client, a dead worker.
pub const DTM_EGONE: i32 = -4109;
/// The other side received the message or command and said no.
pub const DTM_EREFUSED: i32 = -4110;
/// Refused because the controller has forbidden forking.
pub const DTM_ENOFORK: i32 = -4111;
/// The operation was tried and did not succeed; the old state is in force.
pub const DTM_EFAILED: i32 = -4112;
/// Never produced by libdtm: for the service's own use in callbacks.
pub const DTM_EUSER: i32 = -4999;
