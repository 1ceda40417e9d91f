//! libdtm: a master that forks and supervises, workers that serve clients,
//! a controller that brings them up to date, helpers under the same care.
//!
//! The product is the C header `include/dtm.h`, generated from [`ffi`].
//!
//! | folder | what it holds |
//! |---|---|
//! | `ffi` | the C API; the only exported symbols |
//! | `master` | supervision: a pure policy, and the loop that carries it out |
//! | `worker`, `controller`, `func` | the three kinds of children |
//! | `console` | the ready-made console on the control listener |
//! | `event` | the loop they share: clients, watches, timers, wake-ups |
//! | `accept` | which worker accepts next |
//! | `bpf` | kernel programs that choose a listening socket |
//! | `action`, `store` | durable actions, and where they are kept |
//! | `channel` | messages between processes |
//! | `shm` | what processes publish to each other |
//! | `process`, `signal` | fork, exit, death; signals by role |
//! | `reserve` | memory for a master that gets no more |
//! | `daemon` | pid file, background, titles, privileges, limits |
//! | `config`, `net`, `log` | settings, listeners, log targets |

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::type_complexity))]

mod accept;
mod action;
mod answer;
mod border;
mod bpf;
mod channel;
mod child;
mod config;
mod console;
mod controller;
mod daemon;
mod error;
mod event;
#[cfg(feature = "fault")]
mod fault;
mod ffi;
mod func;
mod guard;
mod log;
mod master;
mod net;
mod process;
mod report;
mod reserve;
mod role;
mod runtime;
mod shm;
mod signal;
mod stack;
mod store;
mod sync;
mod sys;
mod systemd;
mod text;
mod upgrade;
mod worker;

#[global_allocator]
static MEMORY: reserve::Patient = reserve::Patient::new();
