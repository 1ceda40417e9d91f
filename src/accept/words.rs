//! The words in shared memory. For the master, those that workers write are
//! hints: a wrong one costs evenness, nothing else.
//!
//! | where | what | who writes |
//! |---|---|---|
//! | rules | who is open, modes, groups, limits, what the master saw | master |
//! | rows | load, absence and heartbeat of a worker; what is on the way to it | the worker, the master, the program that steers |
//! | words | tokens, the accept lock, tallies | workers and master |

use super::door::{Door, Kind};
use super::mode::Mode;
use super::pool::GROUP;
use crate::bpf::{Loads, Row};
use crate::error::Result;
use crate::shm::Region;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Words of a line that shares no cache line with another.
const LINE: usize = 16;
const WORD: usize = size_of::<u64>();

/// A slot's own tally.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tally {
    Accepted,
    Moves,
    Empty,
    Errors,
    Late,
    /// How many there are.
    Count,
}

/// What the master publishes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Wanted,
    Depth,
    WaitingSince,
    Passed,
    Repassed,
    Rescues,
    Switches,
    Errors,
    /// How many there are.
    Count,
}

pub(super) struct Words {
    slots: usize,
    listeners: usize,
    rules: Region,
    words: Region,
    /// None: the rows are those of the program that steers.
    rows: Option<Region>,
    steered: Option<Arc<Loads>>,
}

impl Words {
    pub(super) fn new(slots: usize, listeners: usize, steered: Option<Arc<Loads>>) -> Result<Self> {
        let rows = match steered {
            Some(_) => None,
            None => Some(Region::new("dtm-accept-rows", slots * size_of::<Row>())?),
        };
        let groups = slots.div_ceil(GROUP);
        let rules = slots.div_ceil(64) + slots + listeners * (2 + groups) + Told::Count as usize;
        let lines = 1 + listeners * groups + slots * per_slot(listeners);
        let words = slots.next_multiple_of(LINE) + LINE * lines;
        Ok(Self {
            slots,
            listeners,
            rules: Region::published("dtm-accept-rules", rules * WORD)?,
            words: Region::new("dtm-accept", words * WORD)?,
            rows,
            steered,
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
        self.slots.div_ceil(GROUP)
    }

    pub(super) fn row(&self, slot: usize) -> &Row {
        match (&self.rows, &self.steered) {
            (Some(rows), _) => &rows.rows(0, self.slots)[slot],
            (None, Some(loads)) => loads.row(slot),
            (None, None) => unreachable!("rows are there from the beginning"),
        }
    }

    // --- Rules ---

    fn rule(&self, start: usize, n: usize) -> &[AtomicU64] {
        self.rules.u64s(start * WORD, n)
    }

    fn open_bits(&self) -> &[AtomicU64] {
        self.rule(0, self.slots.div_ceil(64))
    }

    fn group_words(&self) -> &[AtomicU64] {
        self.rule(self.slots.div_ceil(64), self.slots)
    }

    fn mode_words(&self) -> &[AtomicU64] {
        self.rule(self.slots.div_ceil(64) + self.slots, self.listeners)
    }

    /// Of each listener: how many sockets get its connections.
    pub(super) fn queues(&self, listener: usize) -> &AtomicU64 {
        let start = self.slots.div_ceil(64) + self.slots + self.listeners;
        &self.rule(start, self.listeners)[listener]
    }

    fn limit_words(&self) -> &[AtomicU64] {
        let start = self.slots.div_ceil(64) + self.slots + 2 * self.listeners;
        self.rule(start, self.listeners * self.groups())
    }

    pub(super) fn told(&self, what: Told) -> &AtomicU64 {
        let start = self.slots.div_ceil(64) + self.slots + self.listeners * (2 + self.groups());
        &self.rule(start, Told::Count as usize)[what as usize]
    }

    pub(super) fn tell_more(&self, what: Told) {
        more(self.told(what));
    }

    pub(super) fn is_open(&self, slot: usize) -> bool {
        self.open_bits()[slot / 64].load(SeqCst) & (1 << (slot % 64)) != 0
    }

    pub(super) fn set_open(&self, slot: usize, open: bool) {
        let (word, bit) = (&self.open_bits()[slot / 64], 1 << (slot % 64));
        if open {
            word.fetch_or(bit, SeqCst);
        } else {
            word.fetch_and(!bit, SeqCst);
        }
    }

    pub(super) fn open_slots(&self) -> impl Iterator<Item = usize> {
        let slots = self.slots;
        let bits = self.open_bits().iter().map(|word| word.load(SeqCst));
        let all = bits.enumerate().flat_map(|(i, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(i * 64 + bit)
            })
        });
        all.take_while(move |slot| *slot < slots)
    }

    pub(super) fn mode(&self, listener: usize) -> Mode {
        Mode::of_number(self.mode_words()[listener].load(Relaxed))
    }

    pub(super) fn set_mode(&self, listener: usize, mode: Mode) {
        self.mode_words()[listener].store(mode.number().into(), SeqCst);
    }

    pub(super) fn group(&self, slot: usize) -> usize {
        let group = usize::try_from(self.group_words()[slot].load(Relaxed)).unwrap_or(0);
        if group < self.groups() { group } else { 0 }
    }

    pub(super) fn set_group(&self, slot: usize, group: usize) {
        let group = u64::try_from(group).unwrap_or(0);
        self.group_words()[slot].store(group, Relaxed);
    }

    /// How many tokens the door has, when enough workers are there.
    pub(super) fn limit(&self, door: Door) -> &AtomicU64 {
        &self.limit_words()[self.shared_index(door)]
    }

    pub(super) fn limit_of(&self, door: Door) -> usize {
        usize::try_from(self.limit(door).load(Relaxed)).unwrap_or(usize::MAX)
    }

    // --- Tokens ---

    fn tokens(&self, slot: usize) -> &AtomicU64 {
        &self.words.u64s(0, self.slots)[slot]
    }

    pub(super) fn holds(&self, slot: usize, listener: usize) -> bool {
        self.tokens(slot).load(SeqCst) & bit(listener) != 0
    }

    /// Set the slot's bit. False: it was set.
    pub(super) fn claim(&self, slot: usize, listener: usize) -> bool {
        self.tokens(slot).fetch_or(bit(listener), SeqCst) & bit(listener) == 0
    }

    /// Clear the slot's bit. False: it was clear.
    pub(super) fn release(&self, slot: usize, listener: usize) -> bool {
        self.tokens(slot).fetch_and(!bit(listener), SeqCst) & bit(listener) != 0
    }

    /// The slot is nobody's.
    pub(super) fn forget(&self, slot: usize) {
        self.row(slot).vacate();
        self.tokens(slot).store(0, SeqCst);
    }

    // --- Lines ---

    fn line(&self, line: usize) -> &[AtomicU64] {
        let start = self.slots.next_multiple_of(LINE) + line * LINE;
        self.words.u64s(start * WORD, LINE)
    }

    /// The accept lock: the spawn that has it; 0: nobody.
    pub(super) fn lock(&self) -> &AtomicU64 {
        &self.line(0)[0]
    }

    /// Counts a shared door's clients: shows that its queue is served.
    pub(super) fn served(&self, door: Door) -> &AtomicU64 {
        match door.kind {
            Kind::Shared { .. } => &self.line(1 + self.shared_index(door))[0],
            Kind::Own { slot } => self.tally(slot, Tally::Accepted),
        }
    }

    fn shared_index(&self, door: Door) -> usize {
        match door.kind {
            Kind::Shared { group } => group * self.listeners + door.listener,
            Kind::Own { .. } => door.listener,
        }
    }

    /// A slot's own words: its tally, then one for each listener.
    fn own(&self, slot: usize, word: usize) -> &AtomicU64 {
        let first = 1 + self.listeners * self.groups() + slot * per_slot(self.listeners);
        &self.line(first + word / LINE)[word % LINE]
    }

    pub(super) fn tally(&self, slot: usize, what: Tally) -> &AtomicU64 {
        self.own(slot, what as usize)
    }

    /// Clients of this listener that the slot's workers accepted.
    pub(super) fn accepted(&self, slot: usize, listener: usize) -> &AtomicU64 {
        self.own(slot, Tally::Count as usize + listener)
    }

    /// Only for the slot's own process.
    pub(super) fn count(&self, slot: usize, what: Tally) {
        more(self.tally(slot, what));
    }

    /// Only for the slot's own process: a client of this listener.
    pub(super) fn count_client(&self, slot: usize, listener: usize) {
        more(self.tally(slot, Tally::Accepted));
        more(self.accepted(slot, listener));
    }

    /// Clients of this listener, over all slots.
    pub(super) fn accepted_at(&self, listener: usize) -> u64 {
        let of = |slot| self.accepted(slot, listener).load(Relaxed);
        (0..self.slots).map(of).fold(0, u64::wrapping_add)
    }

    /// Over all slots, since the start.
    pub(super) fn total(&self, what: Tally) -> u64 {
        let of = |slot| self.tally(slot, what).load(Relaxed);
        (0..self.slots).map(of).fold(0, u64::wrapping_add)
    }
}

/// Lines of a slot.
fn per_slot(listeners: usize) -> usize {
    (Tally::Count as usize + listeners).div_ceil(LINE)
}

/// There is one writer, so no locked addition.
fn more(word: &AtomicU64) {
    word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
}

fn bit(listener: usize) -> u64 {
    1 << (listener % 32)
}
