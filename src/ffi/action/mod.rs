//! Durable actions and their store.

// In the order of the header.
mod instance;

mod stored;

mod phase;

mod plugin;
