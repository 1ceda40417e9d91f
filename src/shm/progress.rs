//! How far each child is: one cache line per slot, written by the child with plain
//! stores. The master looks at it from time to time; for it these are hints.

use super::board::BoardRow;
use super::{Piece, add};
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
        "action phase",
        "done",
        "no callback",
    ];

    /// What a row says may be anything.
    pub(crate) fn name(code: u8) -> &'static str {
        Self::NAMES.get(usize::from(code)).copied().unwrap_or("?")
    }
}

/// A note: what a row says of a callback, in one word, for each step of each client stores
/// one. Of a step it is the word that the client's entry has: its number in the low 40
/// bits, the top bit clear. Of others: the top bit, the [`Doing`], 16 bits of descriptor
/// (all ones: none, or a larger one), the client's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note(u64);

/// Bits of a client's number.
pub(crate) const NUMBER_BITS: u32 = 40;
const FD_BITS: u32 = 16;
const NO_FD: u64 = (1 << FD_BITS) - 1;
const OTHER: u64 = 1 << 63;

impl Note {
    #[inline(always)]
    pub(crate) fn step(word: u64) -> Self {
        Self(word)
    }

    pub(crate) fn of(doing: Doing, number: u64, fd: i32) -> Self {
        let fd = u64::try_from(fd)
            .ok()
            .filter(|fd| *fd < NO_FD)
            .unwrap_or(NO_FD);
        let doing = u64::from(doing as u8) << (NUMBER_BITS + FD_BITS);
        Self(OTHER | doing | fd << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
    }

    pub(crate) fn doing(self) -> u8 {
        match self.0 & OTHER {
            0 => Doing::Step as u8,
            _ => u8::try_from((self.0 & !OTHER) >> (NUMBER_BITS + FD_BITS)).unwrap_or(u8::MAX),
        }
    }

    /// The client's; 0: none.
    pub(crate) fn number(self) -> u64 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }

    /// -1: none, or not known here.
    pub(crate) fn fd(self) -> i32 {
        match self.0 >> NUMBER_BITS & NO_FD {
            NO_FD => -1,
            _ if self.0 & OTHER == 0 => -1,
            fd => i32::try_from(fd).unwrap_or(-1),
        }
    }
}

/// One child's row.
#[repr(C, align(64))]
pub(crate) struct Progress {
    /// The running callback, as a [`Note`].
    note: AtomicU64,
    /// 0: the master sleeps, and wants to hear when this process is at work.
    watched: AtomicU32,
    /// Callbacks begun that are no answer to an event of a client, wrapping. An event
    /// has a pass and a client of its own; these may follow each other in one pass.
    others: AtomicU64,
    /// Of a process that has no row in the accept schedule: as `Reactor::set_beat`.
    beat: AtomicU64,
    /// Requests served in this slot. Never falls: it outlives processes.
    requests: AtomicU64,
}

impl Progress {
    /// The row of a loop that nobody watches.
    pub(crate) const fn unseen() -> Self {
        Self {
            note: AtomicU64::new(0),
            watched: AtomicU32::new(1),
            others: AtomicU64::new(0),
            beat: AtomicU64::new(crate::event::ASLEEP),
            requests: AtomicU64::new(0),
        }
    }

    /// An event's step of a client begins.
    #[inline(always)]
    pub(crate) fn step(&self, note: Note) {
        self.note.store(note.0, Relaxed);
        if self.watched.load(Relaxed) == 0 {
            self.announce();
        }
    }

    /// Another callback begins.
    pub(crate) fn begin(&self, note: Note) {
        add(&self.others, 1);
        self.step(note);
    }

    pub(crate) fn note(&self) -> Note {
        Note(self.note.load(Relaxed))
    }

    /// Where a process stands that woke up at `beat`: the same again means that it has not
    /// moved.
    pub(crate) fn mark(&self, beat: u64) -> u64 {
        let others = self.others.load(Relaxed);
        beat ^ self.note().0.rotate_left(13) ^ others.rotate_left(40)
    }

    /// It is at work while the master sleeps: say so, once.
    #[cold]
    #[inline(never)]
    fn announce(&self) {
        if self.watched.swap(1, SeqCst) == 0 {
            crate::child::announce();
        }
    }

    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched.into(), SeqCst);
    }

    pub(crate) fn beat(&self) -> &AtomicU64 {
        &self.beat
    }

    #[inline(always)]
    pub(crate) fn count_request(&self) {
        add(&self.requests, 1);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

pub(crate) struct ProgressTable {
    rows: Piece<BoardRow>,
}

impl ProgressTable {
    /// The rows are part of those of the board.
    pub(super) fn new(rows: Piece<BoardRow>) -> Self {
        let table = Self { rows };
        (0..table.rows.len()).for_each(|slot| table.reset(slot, true));
        table
    }

    pub(crate) fn row(&self, slot: usize) -> &Progress {
        &self.rows[slot].progress
    }

    /// Before a fork: the row is the new process's, but for what belongs to the slot.
    pub(crate) fn reset(&self, slot: usize, watched: bool) {
        let row = self.row(slot);
        row.set_watched(true);
        row.begin(Note::of(Doing::Nothing, 0, -1));
        row.beat.store(crate::event::ASLEEP, Relaxed);
        row.set_watched(watched);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Board;
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for (number, fd) in [(0, -1), (1, 0), (7, 65_534), ((1 << NUMBER_BITS) - 1, 3)] {
            let note = Note::of(Doing::Nothing, number, fd);
            assert_eq!((note.number(), note.fd()), (number, fd));
            assert_eq!(note.doing(), Doing::Nothing as u8);
        }
        assert_eq!(Note::of(Doing::Open, 1, 1 << 20).fd(), -1);
        let step = Note::step(99 << NUMBER_BITS | 7);
        assert_eq!(
            (step.number(), step.fd(), step.doing()),
            (7, -1, Doing::Step as u8)
        );
        assert_eq!(Doing::name(Doing::Timer as u8), "timer");
        assert_eq!(Doing::name(200), "?");
    }

    #[test]
    fn whoever_moves_leaves_another_mark() {
        let table = Board::new(1).unwrap().progress();
        let row = table.row(0);
        let (a, b) = (Note::step(1), Note::step(2));
        row.step(a);
        let mark = row.mark(9);
        assert_eq!(row.mark(9), mark);
        assert_ne!(row.mark(10), mark); // another pass
        row.step(b);
        assert_ne!(row.mark(9), mark); // another client
        row.begin(a);
        assert_ne!(row.mark(9), mark); // the same, once more in this pass
    }

    #[test]
    fn what_is_the_slots_outlives_processes() {
        let table = Board::new(2).unwrap().progress();
        table.row(1).count_request();
        table.reset(1, false);
        assert_eq!((table.row(1).requests(), table.row(0).requests()), (1, 0));
    }
}
