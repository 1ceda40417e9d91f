//! The words in shared memory. For the master, those that workers write are
//! hints: a wrong one costs evenness, nothing else.
//!
//! | where | what | who writes |
//! |---|---|---|
//! | rules | who is open, modes, groups, limits, what the master saw | master |
//! | rows | load, absence, tokens and heartbeat of a worker; what is on the way to it | the worker, the master, the program that steers |
//! | words | the accept lock, tallies, whether a door lost the sentinel | workers and master |

use super::choose::Limit;
use super::door::{Door, Kind};
use super::mode::Mode;
use super::pool::GROUP;
use super::tally::TallyRow;
use crate::bpf::{Loads, Row};
use crate::error::Result;
use crate::ffi::DTM_LISTENERS_MAX;
use crate::shm::{One, Piece, Region, add};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

const WORD: usize = size_of::<u64>();
/// There is room for so many, whatever there is at the start: a reload may bring more.
pub(super) const LISTENERS: usize = DTM_LISTENERS_MAX as usize;

/// Totals that go on in the binary that replaces this one, by their names between the two.
pub(crate) const CARRIED: [&str; 10] = [
    "accepted", "moves", "passed", "repassed", "rescues", "empty", "errors", "switches", "late",
    "drops",
];

/// What the master publishes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Wanted,
    /// Tokens of each queue as they were set, whether the mode has any or not.
    Tokens,
    Depth,
    WaitingSince,
    Passed,
    Repassed,
    Rescues,
    Switches,
    Errors,
    Drops,
    /// The binary that replaces this one takes all clients.
    Handed,
    /// A bit for each listener that serves, those included that the reader does not know.
    Serving,
    /// The same for those where the accept lock schedules.
    Locking,
    /// How many there are.
    Count,
}

pub(super) struct Words {
    slots: usize,
    groups: usize,
    rules: Arc<Region>,
    /// Open workers: first of all, then those of each group.
    open: Piece<AtomicU64>,
    /// Of each slot.
    group: Piece<AtomicU64>,
    /// Of each listener.
    modes: Modes,
    queues: Piece<AtomicU64>,
    closing: Piece<AtomicU64>,
    /// Of each shared door.
    limit: Piece<AtomicU64>,
    told: Piece<AtomicU64>,
    inherited: Piece<AtomicU64>,
    lock: One<AtomicU64>,
    unwatched: One<AtomicU64>,
    tallies: Piece<TallyRow>,
    /// Those of the program that steers, if there is one.
    rows: Piece<Row>,
}

impl Words {
    pub(super) fn new(slots: usize, steered: Option<Arc<Loads>>) -> Result<Self> {
        let rows = match steered {
            Some(loads) => loads.piece(),
            None => {
                let rows = Region::new("dtm-accept-rows", slots * size_of::<Row>())?;
                Arc::new(rows).piece(0, slots)
            }
        };
        let groups = slots.div_ceil(GROUP);
        let parts = [
            (1 + groups) * slots.div_ceil(64),
            slots,
            LISTENERS,
            LISTENERS,
            LISTENERS,
            LISTENERS * groups,
            Told::Count as usize,
            CARRIED.len(),
        ];
        let rules = parts.iter().sum::<usize>() * WORD;
        let rules = Arc::new(Region::published("dtm-accept-rules", rules)?);
        let mut start = 0;
        let pieces = parts.map(|n| {
            let piece = rules.piece(start * WORD, n);
            start += n;
            piece
        });
        let [open, group, modes, queues, closing, limit, told, inherited] = pieces;
        // The accept lock has a line of its own, with what is written next to never.
        let tallies = align_of::<TallyRow>();
        let words = tallies + slots * size_of::<TallyRow>();
        let words = Arc::new(Region::new("dtm-accept", words)?);
        Ok(Self {
            slots,
            groups,
            rules,
            open,
            group,
            modes: Modes(modes),
            queues,
            closing,
            limit,
            told,
            inherited,
            lock: words.piece(0, 1).one(0),
            unwatched: words.piece(WORD, 1).one(0),
            tallies: words.piece(tallies, slots),
            rows,
        })
    }

    /// Called in each child: the master alone says who takes part, and how.
    pub(super) fn make_read_only(&self) -> Result<()> {
        self.rules.make_read_only()
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Of all slots.
    #[inline(always)]
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    #[inline(always)]
    pub(super) fn row(&self, slot: usize) -> &Row {
        &self.rows()[slot]
    }

    // --- Rules ---

    #[inline(always)]
    fn open_bits(&self, group: Option<usize>) -> &[AtomicU64] {
        let n = self.slots.div_ceil(64);
        let start = group.map_or(0, |group| (1 + group) * n);
        &self.open[start..start + n]
    }

    /// Of each listener: how many sockets get its connections.
    pub(super) fn queues(&self, listener: usize) -> &AtomicU64 {
        &self.queues[listener]
    }

    /// Of each listener: 1 while it closes, and who leaves takes what waits there.
    pub(super) fn closing(&self, listener: usize) -> &AtomicU64 {
        &self.closing[listener]
    }

    pub(super) fn told(&self, what: Told) -> &AtomicU64 {
        &self.told[what as usize]
    }

    /// What the binary before this one has counted, in the order of [`CARRIED`].
    pub(super) fn inherited(&self) -> &[AtomicU64] {
        &self.inherited
    }

    /// For every process: this listener serves, or not any more.
    pub(super) fn tell_serving(&self, listener: usize, serves: bool) {
        self.tell_of(Told::Serving, listener, serves);
    }

    fn tell_of(&self, what: Told, listener: usize, yes: bool) {
        let (word, bit) = (self.told(what), 1 << listener);
        match yes {
            true => word.fetch_or(bit, SeqCst),
            false => word.fetch_and(!bit, SeqCst),
        };
    }

    /// Those that serve.
    pub(super) fn serving(&self) -> impl Iterator<Item = usize> {
        let bits = self.told(Told::Serving).load(SeqCst);
        (0..LISTENERS).filter(move |listener| bits & (1 << listener) != 0)
    }

    pub(super) fn tell_more(&self, what: Told) {
        add(self.told(what), 1);
    }

    pub(super) fn is_open(&self, slot: usize) -> bool {
        // The first bits are of all.
        let (word, bit) = place(slot);
        self.open[word].load(SeqCst) & bit != 0
    }

    /// In its group, which set_group() says before.
    pub(super) fn set_open(&self, slot: usize, open: bool) {
        let (word, bit) = place(slot);
        let clear = |group| self.open_bits(group)[word].fetch_and(!bit, SeqCst);
        clear(None);
        for group in 0..self.groups {
            clear(Some(group));
        }
        if open {
            for group in [None, Some(self.group(slot))] {
                self.open_bits(group)[word].fetch_or(bit, SeqCst);
            }
        }
    }

    pub(super) fn open_slots(&self) -> impl Iterator<Item = usize> {
        self.open_in(None)
    }

    /// Open workers of this group, or of all.
    #[inline(always)]
    pub(super) fn open_in(&self, group: Option<usize>) -> impl Iterator<Item = usize> {
        let words = self.open_bits(group);
        let left = words[0].load(SeqCst);
        Bits { words, at: 0, left }
    }

    pub(super) fn mode(&self, listener: usize) -> Mode {
        self.modes.at(listener)
    }

    pub(super) fn set_mode(&self, listener: usize, mode: Mode) {
        self.modes.0[listener].store(mode.number().into(), SeqCst);
        self.tell_of(Told::Locking, listener, mode == Mode::Lock);
    }

    pub(super) fn group(&self, slot: usize) -> usize {
        let group = usize::try_from(self.group[slot].load(Relaxed)).unwrap_or(0);
        if group < self.groups { group } else { 0 }
    }

    pub(super) fn set_group(&self, slot: usize, group: usize) {
        let group = u64::try_from(group).unwrap_or(0);
        self.group[slot].store(group, Relaxed);
    }

    /// How many tokens the door has.
    pub(super) fn limit(&self, door: Door) -> Limit {
        let word = self.limit[self.shared_index(door)].load(Relaxed);
        let half = |n: u64| u32::try_from(n & u64::from(u32::MAX)).unwrap_or(0);
        Limit {
            always: half(word),
            most: half(word >> 32),
        }
    }

    pub(super) fn set_limit(&self, door: Door, limit: Limit) {
        let word = u64::from(limit.most) << 32 | u64::from(limit.always);
        self.limit[self.shared_index(door)].store(word, Relaxed);
    }

    /// The slot is nobody's.
    pub(super) fn forget(&self, slot: usize) {
        self.row(slot).vacate();
    }

    // --- What workers write ---

    /// The accept lock: the spawn that has it; 0: nobody.
    pub(super) fn lock(&self) -> &AtomicU64 {
        &self.lock
    }

    /// Not 0: the sentinel could not be put back at some door.
    pub(super) fn unwatched(&self) -> &AtomicU64 {
        &self.unwatched
    }

    pub(super) fn tallies(&self) -> &[TallyRow] {
        &self.tallies
    }

    pub(super) fn tally(&self, slot: usize) -> &TallyRow {
        &self.tallies[slot]
    }

    // --- Looked up once ---

    pub(super) fn row_of(&self, slot: usize) -> One<Row> {
        self.rows.one(slot)
    }

    pub(super) fn tally_of(&self, slot: usize) -> One<TallyRow> {
        self.tallies.one(slot)
    }

    pub(super) fn open_of(&self, slot: usize) -> Open {
        let (word, bit) = place(slot);
        Open {
            word: self.open.one(word),
            bit,
        }
    }

    pub(super) fn told_of(&self, what: Told) -> One<AtomicU64> {
        self.told.one(what as usize)
    }

    pub(super) fn modes(&self) -> Modes {
        self.modes.clone()
    }

    fn shared_index(&self, door: Door) -> usize {
        match door.kind {
            Kind::Shared { group } => group * LISTENERS + door.listener,
            Kind::Own { .. } => door.listener,
        }
    }
}

/// Where a slot's bit is: in which word, and which of its bits.
fn place(slot: usize) -> (usize, u64) {
    (slot / 64, 1 << (slot % 64))
}

/// Whether a slot is open, as the master says.
pub(super) struct Open {
    word: One<AtomicU64>,
    bit: u64,
}

impl Open {
    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        self.word.load(SeqCst) & self.bit != 0
    }
}

/// The mode in force at each listener.
#[derive(Clone)]
pub(super) struct Modes(Piece<AtomicU64>);

impl Modes {
    #[inline(always)]
    pub(super) fn at(&self, listener: usize) -> Mode {
        Mode::of_number(self.0[listener].load(Relaxed))
    }
}

/// The numbers of the bits that are set.
struct Bits<'a> {
    words: &'a [AtomicU64],
    at: usize,
    /// Of word `at`, those that are still to come.
    left: u64,
}

impl Iterator for Bits<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            self.at += 1;
            self.left = self.words.get(self.at)?.load(SeqCst);
        }
        let bit = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Some(self.at * 64 + bit)
    }
}
