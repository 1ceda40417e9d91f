//! Every order of the steps that processes share: `sh tests/gates/loom.sh`.
//!
//! These are the library's own files; only the atomics are loom's here, which runs a model
//! in every order of its threads' steps (with at most PREEMPTIONS of them interrupted), and
//! shows each the old values that weak memory may. A process that is killed is a thread that
//! takes no more steps from a certain one on; each step of it is tried.

// Not everything in these files is needed here.
#![allow(dead_code, unused_imports)]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64};
}
mod event {
    pub(crate) const ASLEEP: u64 = u64::MAX / 2;
}
mod accept;
#[path = "../../../src/ffi"]
mod ffi {
    mod consts;
    pub(crate) use consts::*;
}
#[path = "../../../src/shm/latch.rs"]
mod latch;
mod loads;
mod records;
#[path = "../../../src/bpf/row.rs"]
mod row;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PREEMPTIONS: usize = 3;

/// In every order. One that takes too long is cut off, and says so.
fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let (begun, count) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let orders = Arc::clone(&count);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = 10_000;
    builder.max_duration = Some(Duration::from_secs(60));
    builder.check(move || {
        orders.fetch_add(1, Relaxed);
        model();
    });
    println!("ok {name} ({} orders)", count.load(Relaxed));
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{name}: not all orders were tried"
    );
}

fn main() {
    records::models();
    loads::models();
    accept::models();
}
