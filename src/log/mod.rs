//! Logging: targets, set up anew in every process.
