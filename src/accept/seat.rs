//! A worker's part in the schedule.

use super::door::{Door, Side};
use super::handover::{HandOver, Outcome};
use super::mode::Mode;
use super::pool::Pool;
use super::quantum::Quantum;
use super::tally::{Tally, TallyRow};
use super::words::{LISTENERS, Modes, Open, Told};
use super::{lock, probe};
use crate::bpf::{Row, away};
use crate::shm::One;
use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

pub(crate) struct Seat {
    pool: Arc<Pool>,
    slot: usize,
    spawn: u64,
    // What is needed at each client, looked up once: behind each step of a longer way there
    // lies a cache line that a worker which was asleep finds cold.
    row: One<Row>,
    tally: One<TallyRow>,
    open: Open,
    modes: Modes,
    locking: One<AtomicU64>,
    /// It had the accept lock when it went to sleep.
    had_lock: AtomicBool,
    /// By all workers, when it last looked for the lock.
    accepted: AtomicU64,
    /// When clients that never came were last forgotten, and how many had been
    /// announced by then.
    reconciled: AtomicU64,
    seen: AtomicU32,
    quantum: Cell<Quantum>,
}

/// A handshake that takes longer has most likely failed.
const HANDSHAKE_MS: u64 = 10_000;
/// Clients accepted at one event from a socket of the worker's own.
const BATCH: u32 = 16;

impl Seat {
    pub(super) fn new(pool: Arc<Pool>, slot: usize, spawn: u64) -> Self {
        let words = &pool.words;
        let row = words.row_of(slot);
        let seen = AtomicU32::new(row.assigned());
        Self {
            row,
            tally: words.tally_of(slot),
            open: words.open_of(slot),
            modes: words.modes(),
            locking: words.told_of(Told::Locking),
            pool,
            slot,
            spawn,
            had_lock: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            reconciled: AtomicU64::new(crate::sys::now_ms()),
            seen,
            quantum: Cell::default(),
        }
    }

    /// The epoll instance that this worker has to sleep in: the kernel passes
    /// over a worker that does not.
    pub(crate) fn epoll_fd(&self) -> RawFd {
        self.pool.epoll(self.slot).0.as_raw_fd()
    }

    /// What the others know of this worker.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// The door that an event of this worker's loop means.
    pub(crate) fn door(&self, token: u32) -> Option<Door> {
        let (listener, side) = Side::of_token(token)?;
        (listener < LISTENERS).then(|| match side {
            Side::Base => Door::shared(listener, 0),
            Side::Group => self.pool.shared_door(self.slot, listener),
            Side::Own => Door::own(listener, self.slot),
        })
    }

    pub(crate) fn fd(&self, door: Door) -> Option<BorrowedFd<'_>> {
        self.pool.fd(door)
    }

    /// Every door at which something may wait for this worker.
    pub(crate) fn doors(&self) -> impl Iterator<Item = Door> {
        let all = (0..self.pool.listeners()).flat_map(|l| self.pool.doors_of(self.slot, l));
        all.filter(|door| self.pool.fd(*door).is_some())
    }

    /// A reload took this listener away: whoever leaves takes what waits there.
    pub(crate) fn closes(&self, door: Door) -> bool {
        self.pool.words.closing(door.listener).load(SeqCst) != 0
    }

    /// A door is open: is it this worker's turn? If not, it is not asked
    /// again: it was armed by somebody who did not know yet.
    pub(crate) fn may_accept(&self, door: Door) -> bool {
        let may = self.may_take();
        if !may {
            self.pool.hand_over(self.slot, door);
        }
        may
    }

    #[inline(always)]
    fn may_take(&self) -> bool {
        self.open.is_set() && self.row.may_take()
    }

    /// How many clients to accept now: one where several workers wait, for the
    /// second is the next worker's.
    pub(crate) fn share(&self, door: Door) -> u32 {
        match (door.is_own(), self.modes.at(door.listener)) {
            (true, Mode::Steer) => self.row.on_the_way().clamp(1, BATCH),
            _ => 1,
        }
    }

    /// A client was accepted: arrange the next turn, before any work is done for it. `gone`:
    /// how many clients have left this worker, ever; 0 where its passes cannot be timed.
    #[inline(always)]
    pub(crate) fn accepted(&self, door: Door, gone: impl Fn() -> u64) {
        self.count_one(door.listener);
        if door.is_own() {
            return self.row.took(1);
        }
        self.accepted_together(door, gone());
    }

    #[unsafe(link_section = ".text.hot")]
    fn accepted_together(&self, door: Door, gone: u64) {
        let mode = self.modes.at(door.listener);
        self.tally.count_taken(door.listener);
        if mode == Mode::Lock {
            return;
        }
        let now = self.row.woke_at().unwrap_or(0);
        let mut quantum = self.quantum.get();
        let slack = quantum.slack(gone, now);
        if slack > 0 && self.keeps_token(door, mode) && quantum.goes_on(self.row.load()) {
            return self.quantum.set(quantum);
        }
        match self.pool.pass_on(self.slot, door, slack) {
            Outcome::Kept { level } if slack > 0 => quantum.kept(level),
            Outcome::Kept { .. } | Outcome::Gone => quantum.is_over(gone),
            Outcome::Passed => {
                quantum.is_over(gone);
                self.tally.count(Tally::Moves);
            }
        }
        self.quantum.set(quantum);
    }

    /// It has the token of this door, as the schedule stands now.
    #[inline(always)]
    fn keeps_token(&self, door: Door, mode: Mode) -> bool {
        let listener = door.listener;
        mode == Mode::Token
            && self.row.holds(listener)
            && self.pool.shared_door(self.slot, listener) == door
    }

    /// A pass is over: is [`Seat::keep_on`] to be called?
    #[inline(always)]
    pub(crate) fn is_timed(&self) -> bool {
        self.quantum.get().is_on() && self.is_timed_now()
    }

    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn is_timed_now(&self) -> bool {
        let mut quantum = self.quantum.get();
        let timed = quantum.is_timed(self.row.woke_at().unwrap_or(u64::MAX));
        self.quantum.set(quantum);
        timed
    }

    /// A pass is over that may have been a long one, and it has kept a token: if it was,
    /// others get it.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    pub(crate) fn keep_on(&self, gone: u64) {
        let mut quantum = self.quantum.get();
        let woke = self.row.woke_at().unwrap_or(u64::MAX);
        let long = quantum.was_long(woke, crate::sys::now_ns(), gone);
        self.quantum.set(quantum);
        if !long {
            return;
        }
        for listener in 0..self.pool.listeners() {
            let door = self.pool.shared_door(self.slot, listener);
            if self.keeps_token(door, self.modes.at(listener)) {
                self.pool.pass_on(self.slot, door, 0);
            }
        }
    }

    /// A client came by the master.
    pub(crate) fn was_passed(&self, listener: usize) {
        if listener < self.pool.listeners() {
            self.count_one(listener);
        }
    }

    #[inline(always)]
    fn count_one(&self, listener: usize) {
        self.row.set_load(self.row.load().saturating_add(1));
        self.tally.count_client(listener);
    }

    /// There was no client: another worker was quicker.
    pub(crate) fn empty(&self) {
        self.tally.count(Tally::Empty);
    }

    /// accept() failed.
    pub(crate) fn failed(&self) {
        self.tally.count(Tally::Errors);
    }

    /// What other workers compare with their own.
    pub(crate) fn set_load(&self, load: u32) {
        self.row.set_load(load);
    }

    /// The program that steers counts a client when its SYN arrives. Some never
    /// come: those are forgotten after a while, when nothing waits any more.
    pub(crate) fn forget_lost(&self, now_ms: u64) {
        let since = self.reconciled.load(Relaxed);
        if self.row.on_the_way() != 0 && now_ms.saturating_sub(since) >= HANDSHAKE_MS {
            self.reconcile(now_ms);
        }
    }

    #[cold]
    fn reconcile(&self, now_ms: u64) {
        let own = (0..self.pool.listeners()).map(|l| Door::own(l, self.slot));
        let mut queues = own.filter_map(|door| self.pool.fd(door));
        if queues.all(|fd| probe::depth(fd) == 0) {
            let then = self.row.reconcile(self.seen.load(Relaxed));
            self.seen.store(then, Relaxed);
        }
        self.reconciled.store(now_ms, Relaxed);
    }

    /// Take no clients until [`Seat::resume`]: the worker is full, or the process
    /// is out of descriptors.
    pub(crate) fn pause(&self) {
        if self.row.go_away(away::FULL) {
            self.doors()
                .for_each(|door| self.pool.hand_over(self.slot, door));
        }
    }

    /// It runs, whatever the master thought.
    pub(crate) fn awake(&self) {
        if self.row.away() & away::DOUBTED != 0 {
            self.row.come_back(away::DOUBTED);
            self.take_part();
        }
    }

    /// True: clients wait, and the master should know.
    pub(crate) fn resume(&self) -> bool {
        self.row.come_back(away::FULL);
        self.take_part();
        self.pool.words.told(Told::WaitingSince).load(Relaxed) != 0
    }

    fn take_part(&self) {
        for listener in 0..self.pool.listeners() {
            let mode = self.modes.at(listener);
            if mode.is_own() && self.may_take() {
                self.attend(Door::own(listener, self.slot));
            } else if mode.is_queue() {
                // Somebody who went away meanwhile may have found nobody to follow him.
                let door = self.pool.shared_door(self.slot, listener);
                self.pool.top_up(door, self.slot);
            }
        }
    }

    fn attend(&self, door: Door) {
        if let Err(errno) = self.pool.register(self.slot, door) {
            ::log::warn!("epoll_ctl of the worker's own socket: {}", errno.desc());
        }
        self.pool.rewatch(door);
    }

    /// Has another binary the groups? Its master sees nothing of a wake-up that this worker
    /// has had and made no use of.
    pub(crate) fn is_handed(&self) -> bool {
        self.pool.words.told(Told::Handed).load(Relaxed) != 0
    }

    /// Is there another worker that takes clients?
    pub(crate) fn has_successor(&self) -> bool {
        self.is_handed() || self.pool.words.open_slots().any(|slot| slot != self.slot)
    }

    /// Take no client any more. False: there is no other worker that does.
    pub(crate) fn leave(&self) -> bool {
        self.row.go_away(away::LEAVING);
        self.doors()
            .for_each(|door| self.pool.hand_over(self.slot, door));
        self.give_lock();
        self.has_successor()
    }

    // --- The accept lock ---

    /// Does the accept lock schedule workers?
    #[inline(always)]
    pub(crate) fn locks(&self) -> bool {
        self.locking.load(Relaxed) != 0
    }

    /// Before a wait, where the lock schedules: after how many ms to look again.
    pub(crate) fn take_lock(&self) -> Option<u64> {
        let may = self.may_take();
        let has = may && lock::take(&self.pool, self.slot, self.spawn);
        self.had_lock.store(has, Relaxed);
        if has {
            return None;
        }
        let accepted = self.pool.words.total(Tally::Accepted);
        let before = self.accepted.swap(accepted, Relaxed);
        (before != accepted).then_some(lock::DELAY)
    }

    /// After the accepts of a pass, before the clients' steps. flow: L12
    pub(crate) fn give_lock(&self) {
        let had = self.had_lock.swap(false, Relaxed);
        lock::give(&self.pool, self.slot, self.spawn, had);
    }
}
