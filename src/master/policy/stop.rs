//! Telling children to end, deadlines, the end of everything. flow: M8, M18, M21

use super::reload::reply_all;
use super::slot::Stop;
use super::*;
use crate::ffi::DTM_EFAILED;

/// The service is ending.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) fast: bool,
    pub(super) signal: i32,
}

impl Policy {
    /// Tell one child to end. A stricter order replaces a milder one.
    pub(super) fn tell(&mut self, at: usize, order: Order, why: Leave, now: Ms, out: &mut Actions) {
        let grace = self.settings.grace_ms;
        let deadline = match order {
            Order::Drain => self.settings.drain_ms.map(|drain| now + drain + grace),
            Order::Expire | Order::Stop => Some(now + grace),
        };
        let Some(child) = self.slots[at].child.as_mut() else {
            return;
        };
        if child.stop.is_some_and(|s| s.order >= order) {
            return;
        }
        let killed = child.stop.is_some_and(|s| s.killed);
        let (first, recycled) = (child.stop.is_none(), child.recycled);
        child.stop = Some(Stop {
            order,
            deadline,
            killed,
        });
        if first {
            let slot = &mut self.slots[at];
            slot.since = now;
            match order {
                Order::Drain if recycled => slot.tally.recycled += 1,
                _ => slot.tally.disallowed += 1,
            }
            if let Some(count) = why.count().filter(|_| order == Order::Drain) {
                self.counts.one_more(count);
            }
        }
        // The original's signals: USR1 to a child that is to leave by itself,
        // TERM at the end of everything.
        let signal = if order == Order::Stop || self.ending.is_some() {
            libc::SIGTERM
        } else {
            libc::SIGUSR1
        };
        out.push(Action::Note(Note::Draining { slot: at, why }));
        out.push(Action::Order {
            slot: at,
            order,
            signal,
        });
    }

    /// This slot's process is not wanted any more, whether it lives or not yet.
    pub(super) fn dismiss(
        &mut self,
        at: usize,
        order: Order,
        why: Leave,
        now: Ms,
        out: &mut Actions,
    ) {
        let slot = &mut self.slots[at];
        if slot.forking {
            slot.dismissed = Some((order, why));
        } else if slot.child.is_none() {
            slot.release();
        } else {
            self.tell(at, order, why, now, out);
        }
    }

    pub(super) fn slot_deadline(&self, slot: &Slot) -> Option<Ms> {
        let due = slot.due.filter(|_| !self.banned && self.may_fork(slot));
        let child = slot.child.as_ref();
        let killed = child.and_then(|c| c.kill_at);
        let child = child.and_then(|c| match c.stop {
            Some(stop) => stop.deadline.filter(|_| !stop.killed),
            None if c.phase == Phase::Starting && c.ends.is_none() => self.start_deadline(c),
            None => None,
        });
        [due, killed, child].into_iter().flatten().min()
    }

    fn start_deadline(&self, child: &Child) -> Option<Ms> {
        let own = self.settings.start_ms.map(|ms| child.since + ms);
        child.start_by.unwrap_or(own)
    }

    /// Whatever was overdue when everybody had been heard last.
    pub(super) fn timers(&mut self, heard: Ms, now: Ms, out: &mut Actions) {
        if self
            .reload
            .as_ref()
            .and_then(|r| r.deadline)
            .is_some_and(|d| d <= heard)
        {
            self.reload_timed_out(now, out);
        }
        for at in 0..self.slots.len() {
            if self.slots[at].child.is_none()
                || self
                    .slot_deadline(&self.slots[at])
                    .is_none_or(|d| d > heard)
            {
                continue;
            }
            self.overdue(at, heard, now, out);
        }
    }

    /// This slot's process has let a deadline pass.
    fn overdue(&mut self, at: usize, heard: Ms, now: Ms, out: &mut Actions) {
        let Some(child) = self.slots[at].child.as_mut() else {
            return;
        };
        if child.kill_at.is_some_and(|kill_at| kill_at <= heard) {
            child.kill_at = None;
            let why = "it did not end by SIGABRT";
            out.push(Action::Kill {
                slot: at,
                signal: libc::SIGKILL,
            });
            out.push(Action::Note(Note::Killed { slot: at, why }));
        } else if let Some(stop) = child.stop.as_mut() {
            stop.killed = true;
            let (why, stuck) = (Reason::Deadline, now.saturating_sub(self.slots[at].since));
            self.condemn(at, why, stuck, out);
            let why = "it did not leave in time";
            out.push(Action::Kill {
                slot: at,
                signal: libc::SIGKILL,
            });
            out.push(Action::Note(Note::Killed { slot: at, why }));
        } else {
            let stuck = now.saturating_sub(child.since);
            self.abort(at, Reason::Start, stuck, now, out);
            let why = "its init took longer than start_timeout";
            out.push(Action::Note(Note::Killed { slot: at, why }));
        }
    }

    /// It makes no progress. Whether it was told to leave or not: it will not.
    pub(super) fn hung(&mut self, at: usize, spawn: u64, stuck: Ms, now: Ms, out: &mut Actions) {
        if self.child(at, spawn).is_some_and(|c| c.ends.is_none()) {
            self.abort(at, Reason::Hang, stuck, now, out);
            out.push(Action::Note(Note::Hung { slot: at, stuck }));
        }
    }

    /// SIGABRT, by which it can tell where it stands, and leave a core; SIGKILL after the
    /// grace. Not as if it was told to leave: the slot keeps its job, the death its back-off.
    fn abort(&mut self, at: usize, why: Reason, stuck: Ms, now: Ms, out: &mut Actions) {
        let grace = self.settings.grace_ms;
        if let Some(child) = self.slots[at].child.as_mut() {
            child.kill_at = Some(now + grace);
        }
        self.condemn(at, why, stuck, out);
        out.push(Action::Kill {
            slot: at,
            signal: libc::SIGABRT,
        });
    }

    pub(super) fn condemn(&mut self, at: usize, why: Reason, stuck: Ms, out: &mut Actions) {
        let slot = &mut self.slots[at];
        let Some(child) = slot.child.as_mut() else {
            return;
        };
        if child.ends.is_none() {
            self.counts.one_more(Count::Killed);
            slot.tally.timeouts += u32::from(why != Reason::Memory);
            child.ends = Some(why);
            out.push(Action::Report {
                slot: at,
                why,
                stuck,
            });
        }
    }

    /// A child asks for more time to start: the reload that it is part of has it, too.
    pub(super) fn extended(&mut self, at: usize, spawn: u64, ms: Option<Ms>, now: Ms) {
        let Some(child) = self.child(at, spawn).filter(|c| c.phase == Phase::Starting) else {
            return;
        };
        let until = ms.map(|ms| now.saturating_add(ms));
        child.start_by = Some(until);
        let generation = self.slots[at].generation;
        let reload = self.reload.as_mut();
        if let Some(reload) = reload.filter(|r| r.generation > 0 && r.generation == generation) {
            reload.deadline = reload.deadline.zip(until).map(|(old, new)| old.max(new));
        }
    }

    pub(super) fn end(&mut self, fast: bool, signal: i32, now: Ms, out: &mut Actions) {
        // Asking twice means now.
        let fast = fast || self.ending.is_some();
        if self.ending.is_some_and(|e| e.fast) {
            return self.hurry(now, out);
        }
        out.push(Action::Note(Note::Ending { fast }));
        self.cancel_reload("the service is ending", None, now, out);
        self.ending = Some(Ending { fast, signal });
        let mut askers = std::mem::take(&mut self.next_load);
        askers.extend(std::mem::take(&mut self.next_start));
        askers.extend(self.next_reload.take().unwrap_or_default());
        reply_all(askers, DTM_EFAILED, "the service is ending", out);
        self.reap_corpses(out);
        let order = if fast { Order::Stop } else { Order::Drain };
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            // The controller goes last, unless it is not there at all.
            let last = slot.job == Some(Job::Controller) && slot.child.is_some();
            if fast || !last {
                self.dismiss(at, order, Leave::End, now, out);
            }
        }
    }

    /// Asked for a third time: nobody gets any more time.
    fn hurry(&mut self, now: Ms, out: &mut Actions) {
        out.push(Action::Note(Note::Hurried));
        for slot in &mut self.slots {
            if let Some(stop) = slot.child.as_mut().and_then(|c| c.stop.as_mut()) {
                stop.deadline = Some(now);
            }
        }
    }

    /// What follows from the state, whatever the event was.
    pub(super) fn settle(&mut self, now: Ms, out: &mut Actions) {
        let alone = self.living().next().is_none();
        if alone {
            reply_all(
                std::mem::take(&mut self.stop_askers),
                0,
                "all workers and funcs have stopped",
                out,
            );
        }
        match self.ending {
            Some(ending) => {
                let alone = alone && self.adopted == 0;
                if alone && self.slots.iter().any(|s| s.running().is_some()) {
                    // The controller goes last, so that it can tell the others' end.
                    let order = if ending.fast {
                        Order::Stop
                    } else {
                        Order::Drain
                    };
                    for at in 0..self.slots.len() {
                        self.tell(at, order, Leave::End, now, out);
                    }
                }
                let over = self
                    .slots
                    .iter()
                    .all(|s| s.child.is_none() && !s.forking && s.corpse.is_none());
                let over = over && self.adopted == 0;
                if over && !self.finished {
                    self.finished = true;
                    out.push(Action::Finish {
                        fast: ending.fast,
                        signal: ending.signal,
                    });
                }
            }
            None => self.run_waiting(alone, now, out),
        }
    }
}
