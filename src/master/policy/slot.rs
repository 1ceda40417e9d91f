//! One element of the process table, as the master privately knows it.

use super::note::Who;
use super::types::*;
use super::why::Leave;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// What the slot is for; `None`: free.
    pub(crate) job: Option<Job>,
    /// 0 for the controller, which belongs to no generation.
    pub(crate) generation: u32,
    pub(crate) child: Option<Child>,
    /// A dead process that is not waited for yet, because forking is forbidden:
    /// the zombie is the kernel's own record of the death, and pins the pid.
    pub(crate) corpse: Option<i32>,
    /// When a process is to be forked here.
    pub(crate) due: Option<Ms>,
    /// Deaths in a row, each after a short life.
    pub(crate) deaths: u32,
    /// When its processes died lately, see [`Slot::spend`].
    recent: VecDeque<Ms>,
    /// Given up: nobody is forked here before a reset or a reload.
    pub(crate) failed: bool,
    pub(crate) tally: Tally,
    /// How its last process ended: why, and the status.
    pub(crate) last: Option<(Reason, Exit)>,
    /// Since when it stands as it does.
    pub(crate) since: Ms,
    /// The worker that this slot's is to replace, when it is open.
    pub(crate) replaces: Option<u64>,
    /// Its worker is not recycled before.
    pub(crate) recycle_after: Ms,
    /// Forks in a row that failed.
    pub(crate) fork_failures: u32,
    /// Between Action::Fork and its outcome.
    pub(crate) forking: bool,
    /// Nobody wants the process any more that is just being forked.
    pub(crate) dismissed: Option<(Order, Leave)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) spawn: u64,
    pub(crate) pid: i32,
    pub(crate) since: Ms,
    pub(crate) phase: Phase,
    /// When it opened; a helper: when it was ready.
    pub(crate) opened: Option<Ms>,
    /// Why the master ends it.
    pub(crate) ends: Option<Reason>,
    /// Ready by then, at the request of the child; `Some(None)`: whenever.
    pub(crate) start_by: Option<Option<Ms>>,
    /// It was sent SIGABRT, and SIGKILL follows then.
    pub(crate) kill_at: Option<Ms>,
    /// It is being replaced.
    pub(crate) recycled: bool,
    /// Told to end: flow's `graceful_shutdown == 1`.
    pub(crate) stop: Option<Stop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Updated,
    Open,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) order: Order,
    /// SIGKILL then; `None`: never (the drain has no limit).
    pub(crate) deadline: Option<Ms>,
    pub(crate) killed: bool,
}

impl Slot {
    pub(crate) fn is_free(&self) -> bool {
        self.job.is_none() && self.child.is_none() && !self.forking && self.corpse.is_none()
    }

    pub(crate) fn is_worker(&self) -> bool {
        matches!(self.job, Some(Job::Worker { .. }))
    }

    /// The child and its job, for a note.
    pub(crate) fn who(&self) -> Option<Who> {
        let child = self.child.as_ref()?;
        Some(Who {
            job: self.job?,
            generation: self.generation,
            spawn: child.spawn,
            pid: child.pid,
        })
    }

    /// A child that nobody has told to end.
    pub(crate) fn running(&self) -> Option<&Child> {
        self.child.as_ref().filter(|c| c.stop.is_none())
    }

    /// Give the slot back, once its process and corpse are gone.
    pub(crate) fn release(&mut self) {
        self.job = None;
        self.generation = 0;
        self.due = None;
        self.deaths = 0;
        self.fork_failures = 0;
        self.replaces = None;
        self.recycle_after = 0;
        self.forgive();
    }

    /// A death more. True: there were `budget` of them within the window.
    pub(crate) fn spend(&mut self, budget: u32, window_ms: Ms, now: Ms) -> bool {
        self.recent.push_back(now);
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        let old = |at: &Ms| now.saturating_sub(*at) >= window_ms;
        while self.recent.len() > budget || self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
        self.recent.len() >= budget
    }

    /// Its past does not count any more.
    pub(crate) fn forgive(&mut self) {
        self.recent.clear();
        self.failed = false;
    }

    pub(crate) fn class(&self) -> Class {
        match &self.child {
            Some(child)
                if matches!(
                    child.ends,
                    Some(Reason::Start | Reason::Hang | Reason::Deadline)
                ) =>
            {
                Class::TimedOut
            }
            Some(child) if child.stop.is_some() => Class::Disallowed,
            Some(child) if child.phase == Phase::Open => Class::Valid,
            _ => Class::NotStarted,
        }
    }
}
