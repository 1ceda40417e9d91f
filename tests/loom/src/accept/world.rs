//! Workers, the master's sentinel, and the kernel's wait queue at one door.

use super::choose::{Candidate, Limit};
use super::door::{Door, Kind};
use super::handover::HandOver;
use super::mode::Mode;
use crate::row::{Row, away};
use crate::sync::{AtomicU32, AtomicU64};
use loom::sync::Mutex;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::*;

pub(super) const BASE: Door = Door {
    listener: 0,
    kind: Kind::Shared { group: 0 },
};

/// What the kernel does is done at once, under its own lock.
#[derive(Debug, Default)]
struct Kernel {
    /// Who stands at the door; the sentinel, if it does, at this place.
    queue: Vec<usize>,
    sentinel: Option<usize>,
    waiting: u32,
    /// Told of a connection, and not at work for one yet.
    woken: Vec<usize>,
    alarm: bool,
}

pub(super) struct World {
    pub(super) rows: Vec<Row>,
    open: AtomicU64,
    limit: AtomicU32,
    /// Slots that have been at work for long.
    late: AtomicU64,
    kernel: Mutex<Kernel>,
}

/// A process that was killed.
struct Killed;

loom::thread_local! {
    /// Steps that this process still takes.
    static LEFT: Cell<Option<usize>> = Cell::new(None);
}

/// The process is killed after so many steps, if it takes as many.
pub(super) fn dies_at(step: usize, process: impl FnOnce()) {
    LEFT.with(|left| left.set(Some(step)));
    let end = catch_unwind(AssertUnwindSafe(process));
    LEFT.with(|left| left.set(None));
    if let Err(cause) = end
        && !cause.is::<Killed>()
    {
        resume_unwind(cause);
    }
}

/// Each step that others can see begins with this.
fn step() {
    let dead = LEFT.with(|left| match left.get() {
        Some(0) => true,
        Some(n) => {
            left.set(Some(n - 1));
            false
        }
        None => false,
    });
    if dead {
        resume_unwind(Box::new(Killed));
    }
}

impl World {
    pub(super) fn new(workers: usize, k: usize) -> Self {
        let row = |_| Row::default();
        let world = Self {
            rows: (0..workers).map(row).collect(),
            open: AtomicU64::new((1 << workers) - 1),
            limit: AtomicU32::new(k as u32),
            late: AtomicU64::new(0),
            kernel: Mutex::default(),
        };
        world.top_up(BASE, super::choose::MASTER);
        world.watch(BASE).unwrap();
        world
    }

    pub(super) fn set_limit(&self, k: u32) {
        self.limit.store(k, Relaxed);
    }

    pub(super) fn set_late(&self, slots: u64) {
        self.late.store(slots, Relaxed);
    }

    fn kernel<R>(&self, act: impl FnOnce(&mut Kernel) -> R) -> R {
        act(&mut self.kernel.lock().unwrap())
    }

    /// A client comes. Everybody else sleeps, so the first at the door is woken, and none
    /// behind him; the sentinel, in front of him, just sees it.
    pub(super) fn connect(&self) {
        self.kernel(|kernel| {
            kernel.waiting += 1;
            let woken = kernel.queue.first().copied();
            kernel.alarm |= woken.is_none() || kernel.sentinel == Some(0);
            kernel.woken.extend(woken);
        });
    }

    /// This worker was woken, or looks because it is at the door.
    pub(super) fn accept(&self, slot: usize) -> bool {
        let client = self.kernel(|kernel| {
            kernel.woken.retain(|woken| *woken != slot);
            let here = kernel.queue.contains(&slot) && kernel.waiting > 0;
            kernel.waiting -= u32::from(here);
            here
        });
        if client {
            let row = &self.rows[slot];
            row.set_load(row.load() + 1);
        }
        client
    }

    /// It looks, and passes its token on if it got a client.
    pub(super) fn serve(&self, slot: usize) {
        if self.accept(slot) {
            self.pass_on(slot, BASE, 0);
        }
    }

    /// The master has seen that this worker is dead.
    pub(super) fn bury(&self, slot: usize) {
        self.open.fetch_and(!(1 << slot), SeqCst);
        self.unregister(slot, BASE);
        self.rows[slot].vacate();
        self.repair(BASE);
    }

    fn tokens(&self) -> usize {
        self.limit.load(Relaxed) as usize
    }

    fn armed(&self) -> Vec<usize> {
        let all = 0..self.rows.len();
        all.filter(|slot| self.rows[*slot].holds(0)).collect()
    }

    /// When nobody is in the middle of anything: as many tokens as there should be, or
    /// more, for two may have made good the same loss. The next clients end that.
    pub(super) fn check(&self) {
        self.check_at_least(self.tokens());
        for _ in 0..self.rows.len() {
            self.connect();
            let slot = self.armed()[0];
            assert!(self.accept(slot), "it is at the door");
            self.pass_on(slot, BASE, 0);
        }
        let able = (0..self.rows.len()).filter(|slot| self.takes_clients(*slot));
        assert_eq!(
            self.armed().len(),
            self.tokens().min(able.count()),
            "tokens"
        );
        self.check_at_least(self.tokens());
    }

    fn check_at_least(&self, k: usize) {
        let able: Vec<usize> = (0..self.rows.len())
            .filter(|s| self.takes_clients(*s))
            .collect();
        let armed = self.armed();
        assert!(armed.len() >= k.min(able.len()), "{armed:?} of {able:?}");
        assert!(
            armed.iter().all(|slot| able.contains(slot)),
            "{armed:?} of {able:?}"
        );
        self.kernel(|kernel| {
            let mut queue = kernel.queue.clone();
            queue.sort_unstable();
            // One without a token looks once and is gone.
            assert!(
                armed.iter().all(|slot| queue.contains(slot)),
                "{armed:?}, {kernel:?}"
            );
            assert!(kernel.sentinel.is_some(), "nobody observes");
            let woken = kernel
                .woken
                .iter()
                .any(|slot| able.contains(slot) && queue.contains(slot));
            assert!(
                kernel.waiting == 0 || woken || kernel.alarm,
                "left alone: {kernel:?}"
            );
        });
    }
}

impl HandOver for World {
    fn slots(&self) -> usize {
        self.rows.len()
    }

    fn is_open(&self, slot: usize) -> bool {
        self.open.load(SeqCst) & 1 << slot != 0
    }

    fn mode(&self, _: usize) -> Mode {
        Mode::Token
    }

    fn limit(&self, _: Door) -> Limit {
        Limit::of(self.limit.load(Relaxed), 0, 0)
    }

    fn shared_door(&self, _: usize, _: usize) -> Door {
        BASE
    }

    fn load(&self, slot: usize) -> u32 {
        self.rows[slot].load()
    }

    fn candidates(&self, _: Door, _: usize) -> impl Iterator<Item = Candidate> {
        let (open, late) = (self.open.load(SeqCst), self.late.load(Relaxed));
        let candidate = move |slot: usize| Candidate {
            slot,
            load: self.rows[slot].load(),
            armed: self.rows[slot].holds(0),
            paused: self.rows[slot].away() != 0,
            late: late & 1 << slot != 0,
        };
        (0..self.rows.len())
            .filter(move |slot| open & 1 << slot != 0)
            .map(candidate)
    }

    fn away(&self, slot: usize) -> u32 {
        self.rows[slot].away()
    }

    fn holds(&self, slot: usize, listener: usize) -> bool {
        self.rows[slot].holds(listener)
    }

    fn claim(&self, slot: usize, listener: usize) -> bool {
        step();
        self.rows[slot].claim(listener)
    }

    fn release(&self, slot: usize, listener: usize) -> bool {
        step();
        self.rows[slot].release(listener)
    }

    fn register(&self, slot: usize, _: Door) -> nix::Result<()> {
        step();
        self.kernel(|kernel| {
            if !kernel.queue.contains(&slot) {
                kernel.queue.push(slot);
                if kernel.waiting > 0 {
                    kernel.woken.push(slot);
                }
            }
        });
        Ok(())
    }

    fn unregister(&self, slot: usize, _: Door) -> bool {
        step();
        self.kernel(|kernel| {
            let place = kernel.queue.iter().position(|other| *other == slot);
            if let Some(place) = place {
                kernel.queue.remove(place);
                kernel.woken.retain(|woken| *woken != slot);
                kernel.sentinel = kernel.sentinel.map(|at| at - usize::from(at > place));
            }
            place.is_some()
        })
    }

    fn watch(&self, _: Door) -> nix::Result<()> {
        step();
        self.kernel(|kernel| {
            if kernel.sentinel.is_none() {
                kernel.sentinel = Some(kernel.queue.len());
                kernel.alarm |= kernel.waiting > 0;
            }
        });
        Ok(())
    }

    fn unwatch(&self, _: Door) -> bool {
        step();
        self.kernel(|kernel| kernel.sentinel.take().is_some())
    }

    fn leave_unwatched(&self) {
        unreachable!("here watch() never fails");
    }

    fn readable(&self, _: Door) -> bool {
        self.kernel(|kernel| kernel.waiting > 0)
    }
}
