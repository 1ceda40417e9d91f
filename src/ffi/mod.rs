//! The C API. Only this folder has exported symbols; `include/dtm.h` is
//! generated from it, in the order of the modules below (the empty lines keep it).

#![allow(non_camel_case_types, unreachable_pub, clippy::missing_safety_doc)]

pub(crate) mod abi;
mod layout;
mod register;

mod consts;

mod types;

mod callbacks;

mod config;

mod settings;

mod version;

mod runtime;

mod setup;

mod run;

mod client;

mod watch;

mod timer;

mod worker;

mod loop_;

mod controller;

mod accept;

mod report;

pub(crate) mod console;

mod action;

pub(crate) mod lock;

pub(crate) use {callbacks::*, consts::*, types::*};
