//! From wanted to open: generations, forks, gates.

use super::*;

/// Delays between attempts of a fork that failed (no memory, no pids): 50 ms
/// doubling to 2 s, so that full strength returns at most that long after the
/// shortage has ended, without any other event.
const FORK_RETRY_MS: Ms = 50;
const FORK_RETRY_MAX_MS: Ms = 2_000;

impl Policy {
    /// The loop starts: the controller, then generation 1. flow: M6, M7
    pub(super) fn begin(&mut self, now: Ms, out: &mut Actions) {
        if let Some(slot) = self.slots.first_mut() {
            slot.job = Some(Job::Controller);
            slot.due = Some(now);
        }
        self.newest += 1;
        self.serving = self.newest;
        if let Err(text) = self.populate(self.newest, now) {
            // Checked before dtm_run() gets here; a config may not outgrow the table.
            out.push(Action::Note(Note::ReloadEnds {
                generation: 1,
                code: -libc::ENOSPC,
                text,
            }));
        }
    }

    /// Assign slots to a new generation. All or nothing.
    pub(super) fn populate(&mut self, generation: u32, now: Ms) -> Result<(), String> {
        let free = self.room_for_all(self.settings.workers)?;
        for (slot, job) in free.into_iter().zip(self.jobs(self.settings.workers)) {
            self.assign(slot, job, generation, now);
        }
        Ok(())
    }

    /// The processes of a generation with so many workers.
    fn jobs(&self, workers: u32) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for (func, spec) in (0u32..).zip(&self.settings.funcs) {
            jobs.extend((0..spec.count).map(|index| Job::Func { func, index }));
        }
        jobs.extend((0..workers).map(|index| Job::Worker { index }));
        jobs
    }

    /// Free slots for all of them.
    fn room_for_all(&self, workers: u32) -> Result<Vec<usize>, String> {
        let needed = self.jobs(workers).len();
        let all = self.slots.iter().enumerate();
        let free = all.filter(|(_, slot)| slot.is_free()).map(|(at, _)| at);
        let free: Vec<usize> = free.take(needed).collect();
        if free.len() < needed {
            return Err(format!(
                "the process table is full: {needed} processes needed, {} of {} slots free; raise \
                 max_processes",
                free.len(),
                self.slots.len()
            ));
        }
        Ok(free)
    }

    /// A configuration with so many workers is about to be loaded: is there room for them?
    /// Asked before the service is told of it, which then has nothing to undo.
    pub(crate) fn check_room(&self, workers: u32) -> Result<(), (i32, String)> {
        if !self.loads_for_reload() {
            return self.room_for(workers).map(drop);
        }
        if self.stopped {
            return Ok(());
        }
        let room = self.room_for_all(workers);
        room.map(drop).map_err(|text| (-libc::ENOSPC, text))
    }

    pub(super) fn assign(&mut self, slot: usize, job: Job, generation: u32, now: Ms) {
        let slot = &mut self.slots[slot];
        slot.job = Some(job);
        slot.generation = generation;
        slot.due = Some(now);
        slot.since = now;
    }

    /// Fork what is due, unless it is forbidden. flow: M10, M19
    pub(super) fn fork_due(&mut self, now: Ms, out: &mut Actions) {
        // While a configuration is being loaded its outcome comes first, so that
        // no event ever meets a slot between Fork and Forked.
        let loading =
            self.loading.is_some() || self.reload.as_ref().is_some_and(|r| r.generation == 0);
        if self.banned || self.finished || loading {
            return;
        }
        for i in 0..self.slots.len() {
            let slot = &self.slots[i];
            let due = slot.due.is_some_and(|due| due <= now) && self.may_fork(slot);
            let Some(job) = slot.job.filter(|_| due) else {
                continue;
            };
            self.last_spawn += 1;
            let slot = &mut self.slots[i];
            slot.due = None;
            slot.forking = true;
            let (generation, spawn) = (slot.generation, self.last_spawn);
            out.push(Action::Fork {
                slot: i,
                job,
                generation,
                spawn,
            });
        }
    }

    /// Is it this slot's turn? Helpers of the first phase come before the
    /// workers, those of the second when the generation is open.
    pub(super) fn may_fork(&self, slot: &Slot) -> bool {
        if slot.child.is_some() || slot.corpse.is_some() || slot.forking {
            return false;
        }
        match slot.job {
            None => false,
            Some(Job::Controller) => self.ending.is_none(),
            Some(_) if self.ending.is_some() || self.stopped => false,
            Some(_) if self.waits_for_reload(slot) || self.waits_for_canary(slot) => false,
            Some(Job::Worker { .. }) => !self.helpers_pending(slot.generation),
            Some(Job::Func { func, .. }) => !self.after_open(func) || self.is_open(slot.generation),
        }
    }

    /// The configuration in memory is that of a reload which may be cancelled: a
    /// replacement of the serving generation would get it. It waits for the outcome,
    /// unless nobody else serves.
    pub(super) fn waits_for_reload(&self, slot: &Slot) -> bool {
        let reloading = self.reload.as_ref().map_or(0, |r| r.generation);
        let open = |s: &Slot| {
            s.generation == slot.generation
                && s.is_worker()
                && s.running().is_some_and(|c| c.phase == Phase::Open)
        };
        reloading > 0 && slot.generation != reloading && self.slots.iter().any(open)
    }

    fn after_open(&self, func: u32) -> bool {
        usize::try_from(func)
            .is_ok_and(|f| self.settings.funcs.get(f).is_some_and(|s| s.after_open))
    }

    /// A first-phase helper that was never up yet holds the workers back; one
    /// that died later does not.
    fn helpers_pending(&self, generation: u32) -> bool {
        self.slots.iter().any(|s| {
            s.generation == generation
                && s.deaths == 0
                && matches!(s.job, Some(Job::Func { func, .. }) if !self.after_open(func))
                && s.child
                    .as_ref()
                    .map_or(s.due.is_some() || s.forking, |c| c.phase == Phase::Starting)
        })
    }

    /// Does the generation serve: has every worker of it opened that did not die
    /// before it could?
    pub(super) fn is_open(&self, generation: u32) -> bool {
        let opened = |s: &Slot| s.child.as_ref().is_some_and(|c| c.phase == Phase::Open);
        let workers = || {
            self.slots
                .iter()
                .filter(|s| s.generation == generation && s.is_worker())
        };
        workers().any(opened) && workers().all(|s| opened(s) || s.deaths > 0)
    }

    pub(super) fn forked(&mut self, at: usize, spawn: u64, pid: i32, now: Ms, out: &mut Actions) {
        self.counts.one_more(Count::Forks);
        let slot = &mut self.slots[at];
        if slot.is_worker() {
            self.counts.one_more(Count::WorkerForks);
        }
        slot.forking = false;
        slot.fork_failures = 0;
        slot.since = now;
        slot.tally.forks += 1;
        slot.child = Some(Child {
            spawn,
            pid,
            since: now,
            phase: Phase::Starting,
            opened: None,
            ends: None,
            start_by: None,
            kill_at: None,
            recycled: false,
            stop: None,
        });
        if let Some((order, why)) = slot.dismissed.take() {
            self.tell(at, order, why, now, out);
        }
    }

    pub(super) fn fork_failed(&mut self, slot: usize, banned: bool, now: Ms) {
        let slot = &mut self.slots[slot];
        slot.forking = false;
        if slot.dismissed.take().is_some() {
            slot.release();
            return;
        }
        if banned {
            slot.due = Some(now);
            return;
        }
        let delay = FORK_RETRY_MS << slot.fork_failures.min(8);
        slot.fork_failures += 1;
        slot.due = Some(now + delay.min(FORK_RETRY_MAX_MS));
    }

    /// flow: W2, L10: init is done; the gate is next.
    pub(super) fn ready(&mut self, slot: usize, spawn: u64, now: Ms, out: &mut Actions) {
        let Some(child) = self.child(slot, spawn) else {
            return;
        };
        if child.phase != Phase::Starting {
            return;
        }
        child.phase = Phase::Ready;
        let stopping = child.stop.is_some();
        out.push(Action::Note(Note::Ready { slot }));
        let waits = self.hold.lock && self.slots[slot].job == Some(Job::Controller);
        if !stopping && !waits && !self.slots[slot].is_worker() {
            // A helper has no gate. The controller's gate is the control lock:
            // its slot is the only one, and a slot is never forked anew before
            // its last process is dead, so nobody else can hold it.
            self.open(slot, now, out);
        }
    }

    pub(super) fn updated(&mut self, slot: usize, spawn: u64, now: Ms, out: &mut Actions) {
        let Some(child) = self.child(slot, spawn) else {
            return;
        };
        if child.phase != Phase::Ready || child.stop.is_some() {
            return;
        }
        child.phase = Phase::Updated;
        let reloading = self.reload.as_ref().map(|r| r.generation);
        if reloading != Some(self.slots[slot].generation) && !self.hold.gates {
            self.open(slot, now, out);
        }
    }

    pub(super) fn open(&mut self, slot: usize, now: Ms, out: &mut Actions) {
        if let Some(child) = self.slots[slot].child.as_mut() {
            child.phase = Phase::Open;
            child.opened = Some(now);
            self.slots[slot].since = now;
            out.push(Action::Open { slot });
            out.push(Action::Note(Note::Opened { slot }));
            self.succeeded(slot, now, out);
        }
    }
}
