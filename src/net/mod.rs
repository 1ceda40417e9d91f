//! Addresses and listening sockets.
