//! Commands from the controller and from signals. flow: M15-M19, L1, L7, L8

use super::reload::reply_all;
use super::*;
use crate::ffi::{DTM_EFAILED, DTM_ENOFORK, DTM_EREFUSED, DTM_OK};

impl Policy {
    pub(super) fn command(&mut self, asker: Asker, command: Command, now: Ms, out: &mut Actions) {
        let signal = if let Asker::Signal(number) = asker {
            number
        } else {
            0
        };
        if matches!(command, Command::Shutdown | Command::ShutdownNow) {
            out.push(Action::ReplyNow {
                asker,
                code: DTM_OK,
                text: "the service is ending".into(),
            });
            return self.end(command == Command::ShutdownNow, signal, now, out);
        }
        if self.ending.is_some() {
            let text = "the service is ending".into();
            return out.push(Action::Reply {
                asker,
                code: DTM_EREFUSED,
                text,
            });
        }
        match command {
            Command::LoadConfig => {
                self.defer_note("loadconf", out);
                self.next_load.push(asker);
            }
            Command::Reload => self.ask_reload(asker, out),
            Command::Start => self.ask_start(asker, out),
            Command::Stop => self.stop_children(asker, now, out),
            Command::Scale(workers) => self.scale(asker, workers, now, out),
            Command::ScaleBy(more) => {
                let workers = self.settings.workers.saturating_add_signed(more);
                self.scale(asker, workers, now, out);
            }
            Command::Reset => self.ask_reset(asker, now, out),
            Command::Recycle(spawn) => self.ask_recycle(asker, spawn, now, out),
            Command::Shutdown | Command::ShutdownNow => {}
        }
    }

    fn ask_reset(&mut self, asker: Asker, now: Ms, out: &mut Actions) {
        self.defer_note("reset", out);
        let text = match self.reset(now) {
            0 => "no slot was given up".into(),
            1 => "1 slot has another chance".into(),
            n => format!("{n} slots have another chance"),
        };
        out.push(Action::Reply {
            asker,
            code: DTM_OK,
            text,
        });
    }

    fn defer_note(&self, what: &'static str, out: &mut Actions) {
        if self.banned {
            out.push(Action::Note(Note::Deferred { what }));
        }
    }

    fn ask_reload(&mut self, asker: Asker, out: &mut Actions) {
        self.defer_note("reload", out);
        if self.reload.is_none() {
            self.next_reload.get_or_insert_default().push(asker);
            return;
        }
        // One more run with the newest configuration covers any number of requests.
        self.next_reload.get_or_insert_default();
        let text = "a reload is in progress; one more will follow it".into();
        out.push(Action::Reply {
            asker,
            code: -libc::EBUSY,
            text,
        });
    }

    /// flow: M19, L8: only when no child but the controller is left.
    fn ask_start(&mut self, asker: Asker, out: &mut Actions) {
        let (code, text) = if self.banned {
            (DTM_ENOFORK, "forking is forbidden")
        } else if !self.stopped {
            (DTM_OK, "running already: nothing done")
        } else {
            self.next_start.push(asker);
            return;
        };
        out.push(Action::Reply {
            asker,
            code,
            text: text.into(),
        });
    }

    /// flow: M18: allowed while forking is forbidden; the controller stays.
    fn stop_children(&mut self, asker: Asker, now: Ms, out: &mut Actions) {
        self.cancel_reload("all children were told to stop", None, now, out);
        self.stopped = true;
        let waiting = std::mem::take(&mut self.next_start);
        reply_all(waiting, DTM_EFAILED, "all children were told to stop", out);
        self.stop_askers.push(asker);
        for at in 0..self.slots.len() {
            if !matches!(self.slots[at].job, None | Some(Job::Controller)) {
                self.dismiss(at, Order::Drain, Leave::Stop, now, out);
            }
        }
    }

    fn scale(&mut self, asker: Asker, workers: u32, now: Ms, out: &mut Actions) {
        let (code, text) = match self.try_scale(workers, now, out) {
            Ok(()) => (DTM_OK, format!("{workers} workers wanted")),
            Err((code, text)) => (code, text),
        };
        out.push(Action::Reply { asker, code, text });
    }

    /// Add or drain workers of the serving generation, if there is room.
    pub(super) fn try_scale(
        &mut self,
        workers: u32,
        now: Ms,
        out: &mut Actions,
    ) -> Result<(), (i32, String)> {
        if !(1..=512).contains(&workers) {
            return Err((-libc::EINVAL, format!("{workers} workers: must be 1..512")));
        }
        if self.reload.is_some() {
            return Err((-libc::EBUSY, "a reload is in progress".into()));
        }
        let (free, missing) = self.room_for(workers)?;
        self.settings.workers = workers;
        if self.stopped {
            return Ok(());
        }
        for (slot, index) in free.into_iter().zip(missing) {
            self.assign(slot, Job::Worker { index }, self.serving, now);
        }
        let surplus: Vec<usize> = self
            .serving_indexes()
            .filter(|(_, index)| *index >= workers)
            .map(|(at, _)| at)
            .collect();
        for at in surplus {
            self.dismiss(at, Order::Drain, Leave::Scale, now, out);
        }
        Ok(())
    }

    /// The free slots, and the indexes of the workers that are to be added.
    pub(super) fn room_for(&self, workers: u32) -> Result<(Vec<usize>, Vec<u32>), (i32, String)> {
        let free: Vec<usize> = (0..self.slots.len())
            .filter(|&i| self.slots[i].is_free())
            .collect();
        let present: Vec<u32> = self.serving_indexes().map(|(_, index)| index).collect();
        let missing: Vec<u32> = (0..workers).filter(|i| !present.contains(i)).collect();
        if !self.stopped && free.len() < missing.len() {
            let text = format!(
                "{} more slots needed, {} free; raise max_processes",
                missing.len(),
                free.len()
            );
            return Err((-libc::ENOSPC, text));
        }
        Ok((free, missing))
    }

    /// Slots of the serving generation's workers that are to stay.
    fn serving_indexes(&self) -> impl Iterator<Item = (usize, u32)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(at, s)| match s.job {
                Some(Job::Worker { index })
                    if s.generation == self.serving
                        && s.child.as_ref().is_none_or(|c| c.stop.is_none()) =>
                {
                    Some((at, index))
                }
                _ => None,
            })
    }

    /// Start what waited: for the ban to end, for a load or reload to end, for
    /// the last child to leave. flow: M16, M19
    pub(super) fn run_waiting(&mut self, alone: bool, now: Ms, out: &mut Actions) {
        if self.banned || self.loading.is_some() || self.reload.is_some() {
            return;
        }
        if !self.next_load.is_empty() {
            self.loading = Some(std::mem::take(&mut self.next_load));
            out.push(Action::LoadConfig);
        } else if let Some(askers) = self.next_reload.take() {
            self.start_reload(askers, out);
        } else if !self.next_start.is_empty() && alone {
            let askers = std::mem::take(&mut self.next_start);
            self.stopped = false;
            self.newest += 1;
            let (code, text) = match self.populate(self.newest, now) {
                Ok(()) => {
                    self.serving = self.newest;
                    (DTM_OK, format!("generation {} starts", self.newest))
                }
                Err(text) => {
                    self.stopped = true;
                    (-libc::ENOSPC, text)
                }
            };
            reply_all(askers, code, &text, out);
        }
    }
}
