//! Channels: SOCK_SEQPACKET pairs and their fenced frames.
