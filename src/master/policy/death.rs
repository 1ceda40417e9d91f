//! Deaths: what is left of the process, who follows, when. flow: M10-M14, L6

use super::*;

impl Policy {
    /// flow: M10-M14, L6
    pub(super) fn died(&mut self, at: usize, spawn: u64, exit: Exit, now: Ms, out: &mut Actions) {
        let Some(child) = self.child(at, spawn).cloned() else {
            return;
        };
        let asked = child.stop.is_some();
        let reason = child.ends.unwrap_or(match exit {
            Exit::Signal { number, .. } if !asked || number != libc::SIGTERM => Reason::Signal,
            _ if asked && child.recycled => Reason::Recycle,
            _ if asked => Reason::Told,
            Exit::Code(_) => Reason::Exit,
            Exit::Signal { .. } => Reason::Signal,
            Exit::Unknown => Reason::Unknown,
        });
        let generation = self.slots[at].generation;
        let in_reload = generation > 0
            && self
                .reload
                .as_ref()
                .is_some_and(|r| r.generation == generation);
        let Some(who) = self.slots[at].who() else {
            return;
        };
        let slot = &mut self.slots[at];
        slot.child = None;
        slot.since = now;
        slot.last = Some((reason, exit));
        self.counts.one_more(why::count_of_end(reason));
        if !asked {
            slot.tally.deaths += 1;
            slot.tally.crashes += u32::from(reason == Reason::Signal);
        }
        if self.banned && self.ending.is_none() {
            self.slots[at].corpse = Some(child.pid);
        } else {
            out.push(Action::Reap {
                slot: at,
                pid: child.pid,
            });
        }
        if !asked {
            self.counts.one_more(Count::Deaths);
        }
        // A worker that never opened cannot leave by its own right.
        let hopeful = in_reload && self.slots[at].is_worker();
        let leaves = !asked && !hopeful && self.may_leave(at, exit);
        let next = if leaves {
            self.slots[at].release();
            Next::Left
        } else if asked
            || in_reload
            || self.ending.is_some()
            || child.recycled && self.has_successor(spawn)
        {
            self.slots[at].release();
            Next::Free
        } else {
            self.plan_respawn(at, &child, now)
        };
        out.push(Action::Note(Note::Died {
            slot: at,
            who,
            exit,
            asked,
            next,
        }));
        if next == Next::GivenUp {
            self.counts.one_more(Count::SlotsFailed);
            out.push(Action::Note(Note::Failed {
                slot: at,
                who,
                deaths: self.settings.budget.unwrap_or(0),
                window_ms: self.settings.window_ms,
            }));
        }
        if in_reload && !asked && !leaves {
            self.cancel_reload(
                &format!(
                    "{} of the new generation {}",
                    who.job.describe(),
                    describe(exit)
                ),
                Some(at),
                now,
                out,
            );
        }
    }

    /// Was this end the last one by the process's own right?
    fn may_leave(&self, at: usize, exit: Exit) -> bool {
        match self.slots[at].job {
            Some(Job::Func { .. }) => {
                let spec = self.func_spec(at);
                match spec.map_or(Restart::Always, |s| s.restart) {
                    Restart::Always => exit == Exit::Code(NO_RESTART),
                    Restart::OnFailure | Restart::Detached => {
                        matches!(exit, Exit::Code(0 | NO_RESTART))
                    }
                    Restart::Once => true,
                }
            }
            // A worker may ask not to be replaced, unless it is the last one that serves.
            Some(Job::Worker { .. }) => exit == Exit::Code(NO_RESTART) && self.others_serve(at),
            _ => false,
        }
    }

    fn func_spec(&self, at: usize) -> Option<FuncSpec> {
        let Some(Job::Func { func, .. }) = self.slots[at].job else {
            return None;
        };
        self.settings
            .funcs
            .get(usize::try_from(func).ok()?)
            .copied()
    }

    fn plan_respawn(&mut self, at: usize, child: &Child, now: Ms) -> Next {
        let reset = self.settings.respawn_reset_ms;
        let budget = self.settings.budget.filter(|_| self.may_give_up(at));
        let window = self.settings.window_ms;
        let healthy = child
            .opened
            .is_some_and(|at| now.saturating_sub(at) >= reset);
        let slot = &mut self.slots[at];
        slot.deaths = if healthy { 1 } else { slot.deaths + 1 };
        // Counted even where it may not be given up: it may be later.
        let spent = slot.spend(self.settings.budget.unwrap_or(1), window, now);
        if spent && self.keep_the_old(at, now) {
            return Next::Free;
        }
        let slot = &mut self.slots[at];
        if budget.is_some() && spent {
            slot.failed = true;
            slot.due = None;
            return Next::GivenUp;
        }
        let delay = match self.func_spec(at).and_then(|spec| spec.interval) {
            Some(interval) => interval,
            None => backoff(&self.settings, self.slots[at].deaths, child.spawn),
        };
        self.slots[at].due = Some(now + delay);
        if self.banned {
            Next::Deferred
        } else if self.waits_for_reload(&self.slots[at]) {
            Next::AfterReload
        } else {
            Next::Respawn(delay)
        }
    }

    /// Giving up must not end the service: neither its last worker nor the controller,
    /// without whom nobody could give the slots another chance, is given up. They go on
    /// with the longest delay.
    fn may_give_up(&self, at: usize) -> bool {
        match self.slots[at].job {
            Some(Job::Controller) | None => false,
            Some(Job::Worker { .. }) => self.others_serve(at),
            Some(Job::Func { .. }) => true,
        }
    }

    /// DTM_CMD_RESET: whoever is not there is forked now.
    pub(super) fn reset(&mut self, now: Ms) -> usize {
        let mut given = 0;
        for slot in &mut self.slots {
            if slot.failed || slot.due.is_some() {
                given += usize::from(slot.failed);
                slot.forgive();
                slot.deaths = 0;
                slot.fork_failures = 0;
                slot.due = Some(now);
                slot.since = now;
            }
        }
        given
    }

    fn others_serve(&self, at: usize) -> bool {
        self.slots.iter().enumerate().any(|(i, s)| {
            i != at && s.is_worker() && s.running().is_some_and(|c| c.phase == Phase::Open)
        })
    }

    /// flow: M10: deaths that fell into the ban are acted on now, each once.
    pub(super) fn ban(&mut self, on: bool, out: &mut Actions) {
        self.banned = on;
        if !on {
            self.reap_corpses(out);
        }
    }

    pub(super) fn reap_corpses(&mut self, out: &mut Actions) {
        for (slot, s) in self.slots.iter_mut().enumerate() {
            if let Some(pid) = s.corpse.take() {
                out.push(Action::Reap { slot, pid });
            }
        }
    }
}

const NO_RESTART: i32 = crate::ffi::DTM_EXIT_NO_RESTART;

/// 0, then the base doubling up to the cap, less up to a tenth: slots that died
/// together do not come back together.
fn backoff(settings: &Settings, deaths: u32, spawn: u64) -> Ms {
    if deaths <= 1 {
        return 0;
    }
    let doubled = settings.respawn_ms << (deaths - 2).min(20);
    let delay = doubled.min(settings.respawn_max_ms);
    let jitter = spawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    delay - jitter % (delay / 10 + 1)
}

/// "exited with status 1" and the like.
pub(crate) fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(crate::ffi::DTM_EXIT_INIT) => "failed in its init callback (status 64)".into(),
        Exit::Code(status) => format!("exited with status {status}"),
        Exit::Signal { number, core } => {
            let name = nix::sys::signal::Signal::try_from(number)
                .map_or("a real-time signal", |s| s.as_str());
            format!(
                "was killed by {name} ({number}){}",
                if core { ", core dumped" } else { "" }
            )
        }
        Exit::Unknown => "ended, status unknown (somebody else waited for it)".into(),
    }
}
