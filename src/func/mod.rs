//! Helper processes.
