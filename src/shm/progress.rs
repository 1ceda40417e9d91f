//! How far each child is: one cache line per slot, written by the child with plain
//! stores. The master looks at it from time to time; for it these are hints.

use super::Region;
use crate::error::Result;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// Which of the service's functions a process is in, or was in last. Steps of clients
/// come first: for them, nothing is to be added to the client's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Doing {
    Step,
    Open,
    Close,
    WatchStep,
    WatchClose,
    Timer,
    Init,
    Exit,
    Message,
    Tick,
    Drain,
    Health,
    Main,
    Pass,
    Update,
    Answer,
    ConfigLoad,
    Phase,
    Done,
    Nothing,
}

impl Doing {
    const NAMES: [&str; Self::Nothing as usize + 1] = [
        "client_step",
        "client_open",
        "client_close",
        "watch step",
        "watch close",
        "timer",
        "init",
        "exit",
        "message",
        "tick",
        "worker_drain",
        "worker_health",
        "main",
        "controller_pass",
        "update_new_worker",
        "worker_answer",
        "config_load",
        "action phase",
        "done",
        "no callback",
    ];

    /// What a row says may be anything.
    pub(crate) fn name(code: u8) -> &'static str {
        Self::NAMES.get(usize::from(code)).copied().unwrap_or("?")
    }
}

const CODE: u32 = 56;

/// One child's row.
#[repr(C, align(64))]
pub(crate) struct Progress {
    /// Callbacks begun, wrapping: whoever gets on counts on.
    steps: AtomicU64,
    /// The running callback: a client's id, under a [`Doing`].
    what: AtomicU64,
    /// The descriptor that it is about; -1: none.
    fd: AtomicU32,
    /// 0: the master sleeps, and wants to hear when this process wakes up.
    watched: AtomicU32,
    /// Of a process that has no row in the accept schedule: as `Reactor::set_beat`.
    beat: AtomicU64,
    /// Requests served in this slot. Never falls: it outlives processes.
    requests: AtomicU64,
}

impl Progress {
    /// The row of a loop that nobody watches.
    pub(crate) const fn unseen() -> Self {
        Self {
            steps: AtomicU64::new(0),
            what: AtomicU64::new(0),
            fd: AtomicU32::new(0),
            watched: AtomicU32::new(1),
            beat: AtomicU64::new(crate::event::ASLEEP),
            requests: AtomicU64::new(0),
        }
    }

    /// A step of a client begins.
    #[inline(always)]
    pub(crate) fn step(&self, client: u64, fd: i32) {
        self.what.store(client, Relaxed);
        self.fd.store(fd.cast_unsigned(), Relaxed);
        // There is one writer, so no locked addition.
        self.steps
            .store(self.steps.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Another callback begins.
    pub(crate) fn begin(&self, doing: Doing, id: u64, fd: i32) {
        self.step(id | u64::from(doing as u8) << CODE, fd);
    }

    /// Callbacks begun.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// A [`Doing`], the client's id (0: none), the descriptor (-1: none).
    pub(crate) fn what(&self) -> (u8, u64, i32) {
        let word = self.what.load(Relaxed);
        let [.., code] = word.to_le_bytes();
        let fd = self.fd.load(Relaxed).cast_signed();
        (code, word & ((1 << CODE) - 1), fd)
    }

    /// The process wakes up. True: the master wants to hear of it, once.
    #[inline(always)]
    pub(crate) fn is_unwatched(&self) -> bool {
        self.watched.load(Relaxed) == 0
    }

    /// True: it is for the caller to tell the master.
    pub(crate) fn announce(&self) -> bool {
        self.watched.swap(1, SeqCst) == 0
    }

    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched.into(), SeqCst);
    }

    pub(crate) fn beat(&self) -> &AtomicU64 {
        &self.beat
    }

    #[inline(always)]
    pub(crate) fn count_request(&self) {
        self.requests
            .store(self.requests.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

pub(crate) struct ProgressTable {
    region: Region,
    slots: usize,
}

impl ProgressTable {
    pub(crate) fn new(slots: usize) -> Result<Self> {
        let region = Region::new("dtm-progress", slots * size_of::<Progress>())?;
        let table = Self { region, slots };
        (0..slots).for_each(|slot| table.reset(slot, true));
        Ok(table)
    }

    pub(crate) fn row(&self, slot: usize) -> &Progress {
        &self.region.slice::<Progress>(0, self.slots)[slot]
    }

    /// Before a fork: the row is the new process's, but for what belongs to the slot.
    pub(crate) fn reset(&self, slot: usize, watched: bool) {
        let row = self.row(slot);
        row.begin(Doing::Nothing, 0, -1);
        row.beat.store(crate::event::ASLEEP, Relaxed);
        row.set_watched(watched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_and_counts() {
        let table = ProgressTable::new(2).unwrap();
        let row = table.row(1);
        assert_eq!(row.what(), (Doing::Nothing as u8, 0, -1));
        let before = row.steps();
        row.step(7, 5);
        assert_eq!((row.what(), row.steps()), ((0, 7, 5), before + 1));
        row.begin(Doing::Timer, 0, -1);
        assert_eq!(Doing::name(row.what().0), "timer");
        assert_eq!(Doing::name(200), "?");
    }

    #[test]
    fn one_announcement_for_each_time_nobody_watches() {
        let table = ProgressTable::new(1).unwrap();
        let row = table.row(0);
        assert!(!row.is_unwatched());
        row.set_watched(false);
        assert!(row.is_unwatched() && row.announce() && !row.announce() && !row.is_unwatched());
        row.count_request();
        table.reset(0, false);
        assert_eq!((row.requests(), row.is_unwatched()), (1, true));
    }
}
