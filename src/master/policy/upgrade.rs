//! An upgrade, as far as it concerns children: what the other binary has, ours must not.
//! flow: L2, L10

use super::*;
use crate::ffi::DTM_ENOFORK;
use crate::upgrade::new::Standing;

impl Policy {
    /// Go on with the numbers of the binary before this one, and wait for what it has.
    pub(crate) fn succeed(&mut self, generation: u32, spawn: u64) {
        self.newest = generation;
        self.last_spawn = spawn;
        self.hold = Hold {
            lock: true,
            gates: true,
        };
    }

    pub(crate) fn newest(&self) -> u32 {
        self.newest
    }

    pub(crate) fn last_spawn(&self) -> u64 {
        self.last_spawn
    }

    /// Why no new binary can be started now.
    pub(crate) fn obstacle(&self) -> Option<(i32, &'static str)> {
        if self.ending.is_some() {
            Some((crate::ffi::DTM_EREFUSED, "the service is ending"))
        } else if self.reload.is_some() || self.loading.is_some() {
            Some((-libc::EBUSY, "a reload is in progress"))
        } else if self.banned {
            Some((DTM_ENOFORK, "forking is forbidden"))
        } else if self.stopped {
            let text = "all workers are stopped: `start` them first";
            Some((crate::ffi::DTM_EREFUSED, text))
        } else {
            None
        }
    }

    /// How far the generation in charge is.
    pub(crate) fn standing(&self) -> Standing {
        let workers = |least: Phase| {
            let mut workers = self.slots.iter().filter(|s| s.is_worker() && !s.failed);
            workers.all(|s| s.running().is_some_and(|c| c.phase >= least))
        };
        let controller = |s: &Slot| s.job == Some(Job::Controller) && s.running().is_some();
        let mut controllers = self.slots.iter().filter(|s| controller(s));
        let ready = controllers.any(|s| s.running().is_some_and(|c| c.phase >= Phase::Ready));
        Standing {
            ready: ready && workers(Phase::Ready),
            updated: ready && workers(Phase::Updated),
            serves: self.serves(),
        }
    }

    pub(super) fn set_hold(&mut self, hold: Hold, now: Ms, out: &mut Actions) {
        let before = std::mem::replace(&mut self.hold, hold);
        for slot in 0..self.slots.len() {
            let phase = self.slots[slot].running().map(|c| c.phase);
            let opens = match self.slots[slot].job {
                // Also one that had it before, and let go.
                Some(Job::Controller) => {
                    before.lock && !hold.lock && phase.is_some_and(|p| p >= Phase::Ready)
                }
                Some(Job::Worker { .. }) => {
                    before.gates && !hold.gates && phase == Some(Phase::Updated)
                }
                _ => false,
            };
            if opens {
                self.open(slot, now, out);
            }
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) fn retire(&mut self, now: Ms, out: &mut Actions) {
        self.end(false, 0, now, out);
    }
}
