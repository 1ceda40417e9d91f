//! The C API. Only this folder has exported symbols; `include/dtm.h` is
//! generated from it, in this order.

#![allow(non_camel_case_types, unreachable_pub, clippy::missing_safety_doc)]

mod action;
mod callbacks;
mod client;
mod config;
mod console;
mod consts;
mod controller;
mod lock;
mod layout;
mod loop_;
mod runtime;
mod timer;
mod types;
mod version;
mod watch;
mod worker;

pub(crate) use {callbacks::*, config::*, consts::*, types::*};
