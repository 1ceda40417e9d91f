//! From time to time the master looks how far its children are. Only while one of them
//! is at work: in an idle service nobody wakes up.
//!
//! When all sleep, the master says so in their rows ([`crate::shm::Progress`]), looks once
//! more a period later (by then whoever woke up before has been seen), and sleeps. The
//! first child that wakes up then tells it, once.

use super::Master;
use super::policy::{Event, Hangs, Job, Stand};
use crate::report;
use crate::sys::now_ms;
use std::sync::atomic::Ordering::Relaxed;

/// The longest time between two looks: a hang is found so much after its limit.
const PERIOD_MAX: u64 = 1_000;
const PERIOD_MIN: u64 = 20;

/// Whether the master looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    On,
    /// The children were told that it will stop; one look more.
    Last,
}

pub(super) struct Looking {
    mode: Mode,
    at: Option<u64>,
    hangs: Hangs,
    /// Per slot: the spawn that the kernel says is stopped.
    stopped: Vec<Option<u64>>,
    /// Per slot: requests that were served there before its process.
    served: Vec<u64>,
    /// Per slot: clients accepted by then, and since when there is none.
    idle: Vec<(u64, u64)>,
    scaled: u64,
    /// Workers whose memory was looked at.
    measured: usize,
}

impl Looking {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            mode: Mode::Off,
            at: None,
            hangs: Hangs::new(slots),
            stopped: vec![None; slots],
            served: vec![0; slots],
            idle: vec![(0, 0); slots],
            scaled: 0,
            measured: 0,
        }
    }

    /// A process is forked in this slot, where so many requests were served before.
    pub(super) fn begins(&mut self, slot: usize, served: u64) {
        self.served[slot] = served;
        self.idle[slot] = (0, now_ms());
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.at
    }

    /// A process that is forked now: will somebody look at it?
    pub(super) fn watched(&self) -> bool {
        self.mode != Mode::Off
    }

    /// Requests of this slot's process, when so many were served in the slot.
    pub(super) fn requests(&self, slot: usize, served: u64) -> u64 {
        served.wrapping_sub(self.served[slot])
    }

    /// For how long it has had no client.
    pub(super) fn idle(&mut self, slot: usize, open: u64, accepted: u64, now: u64) -> u64 {
        let (before, since) = self.idle[slot];
        if open > 0 || accepted != before {
            self.idle[slot] = (accepted, now);
            return 0;
        }
        now.saturating_sub(since)
    }

    /// Whose memory is looked at first, of so many, and then who.
    pub(super) fn turns(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.measured.checked_rem(count).unwrap_or(0);
        (first..count).chain(0..first)
    }

    pub(super) fn had_its_turn(&mut self) {
        self.measured = self.measured.wrapping_add(1);
    }

    pub(super) fn scaled_at(&self) -> u64 {
        self.scaled
    }

    pub(super) fn scaled(&mut self, now: u64) {
        self.scaled = now;
    }

    pub(super) fn set_stopped(&mut self, slot: usize, spawn: Option<u64>) {
        self.stopped[slot] = spawn;
    }

    pub(super) fn is_stopped(&self, slot: usize, spawn: u64) -> bool {
        self.stopped[slot] == Some(spawn)
    }
}

impl Master {
    /// How long between two looks; `None`: there is nothing to look for.
    fn look_period(&self) -> Option<u64> {
        let wanted = &self.rt.config().supervision;
        let recycle = wanted.recycle.is_on().then_some(PERIOD_MAX);
        let scale = wanted.scale.is_some().then_some(wanted.scale_period);
        let hang = wanted.hang.map(|hang| hang / 10);
        let least = [recycle, scale, hang].into_iter().flatten().min()?;
        Some(least.clamp(PERIOD_MIN, PERIOD_MAX))
    }

    /// A child is at work, or was stopped: look at all of them from now on.
    pub(super) fn begin_to_look(&mut self) {
        let Some(period) = self.look_period() else {
            return;
        };
        match self.looking.mode {
            Mode::On => return,
            Mode::Last => {}
            Mode::Off => self.looking.at = Some(now_ms() + period),
        }
        self.looking.mode = Mode::On;
        self.set_watched(true);
    }

    fn set_watched(&self, watched: bool) {
        for slot in 0..self.pairs.len() {
            self.shared.progress.row(slot).set_watched(watched);
        }
    }

    pub(super) fn run_looks(&mut self) {
        let heard = self.heard.until().real;
        if self.looking.at.is_none_or(|at| at > heard) {
            return;
        }
        let Some(period) = self.look_period() else {
            return self.stop_looking();
        };
        let now = now_ms();
        self.looking.at = Some(now + period);
        let stands = self.stands();
        if let Some(limit) = self.rt.config().supervision.hang {
            let looks = stands.iter().copied();
            for hung in self.looking.hangs.look(now, period, limit, looks) {
                self.found_hung(hung.slot, hung.spawn, hung.stuck);
            }
        }
        self.look_at_usage(now);
        self.look_on(&stands);
    }

    /// Is there somebody to look at the next time?
    fn look_on(&mut self, stands: &[(usize, u64, Stand)]) {
        let at_work = stands.iter().any(|(_, _, stand)| *stand != Stand::Asleep);
        let active = at_work || self.policy.may_shrink();
        match (self.looking.mode, active) {
            (_, true) => {
                if self.looking.mode != Mode::On {
                    self.looking.mode = Mode::On;
                    self.set_watched(true);
                }
            }
            (Mode::On, false) => {
                self.looking.mode = Mode::Last;
                self.set_watched(false);
            }
            (Mode::Off | Mode::Last, false) => self.stop_looking(),
        }
    }

    /// Until somebody is at work, or one of those limits may be reached that idle workers
    /// reach, too.
    fn stop_looking(&mut self) {
        let quiet = self.rt.config().supervision.recycle.quiet_period();
        self.looking.mode = Mode::Off;
        self.looking.at = quiet.map(|ms| now_ms() + ms);
        self.looking.hangs.pause();
        if self.look_period().is_some() {
            self.wait_for_own_loops();
        }
    }

    /// Everybody whose loop is libdtm's, and how it stands. Helpers have none that must
    /// be in use; and who has not begun has its start timeout.
    fn stands(&self) -> Vec<(usize, u64, Stand)> {
        let slots = self.policy.slots().iter().enumerate();
        slots
            .filter(|(_, s)| !matches!(s.job, Some(Job::Func { .. }) | None))
            .filter_map(|(slot, s)| Some((slot, s.child.as_ref()?)))
            .filter(|(_, child)| child.phase > super::policy::Phase::Starting)
            .map(|(slot, child)| (slot, child.spawn, self.stand(slot, child.spawn)))
            .collect()
    }

    fn stand(&self, slot: usize, spawn: u64) -> Stand {
        if self.looking.is_stopped(slot, spawn) {
            return Stand::Stopped;
        }
        let row = self.shared.progress.row(slot);
        let beat = match self.policy.slots()[slot].job {
            Some(Job::Worker { .. }) => self.shared.schedule.beat(slot),
            _ => row.beat().load(Relaxed),
        };
        match beat {
            beat if beat >= crate::event::ASLEEP && !self.is_awaited(slot) => Stand::Asleep,
            beat => Stand::Busy {
                mark: row.mark(beat),
            },
        }
    }

    fn found_hung(&mut self, slot: usize, spawn: u64, stuck: u64) {
        let Some(child) = self.policy.slots()[slot].child.as_ref() else {
            return;
        };
        if report::is_traced(child.pid) {
            let pid = child.pid;
            ::log::warn!(
                "slot {slot} pid {pid}: no progress for {stuck} ms, but a debugger has it"
            );
            return self.looking.hangs.excuse(slot);
        }
        self.events.push_back(Event::Hung { slot, spawn, stuck });
    }

    /// A child asks for more time: for its init, or for the callback that it is in, if that
    /// is still the one.
    pub(super) fn extend(&mut self, slot: usize, spawn: u64, ms: u64, mark: u64) {
        let ms = (ms != u64::from(crate::ffi::DTM_OFF)).then_some(ms);
        self.events.push_back(Event::Extended { slot, spawn, ms });
        let stand = self.stand(slot, spawn);
        if stand == (Stand::Busy { mark }) {
            self.looking.hangs.extend(slot, spawn, stand, ms);
        }
    }
}
