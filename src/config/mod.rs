//! Configuration: owned, checked values from the C struct and the [dtm] section.

/// stub
pub(crate) struct Config;
