//! Block A: what the others may know of the process table. flow: M3, M6, L6

use super::Master;
use super::clock::Clock;
use super::policy::{Job, Phase, Slot};
use crate::channel::Kind;
use crate::ffi::*;
use crate::shm::Row;

impl Master {
    /// Publish the table if it has changed, and nudge the controller.
    pub(super) fn publish(&mut self) {
        let rows: Vec<Row> = self
            .policy
            .slots()
            .iter()
            .map(|slot| row(slot, &self.clock))
            .collect();
        if rows == self.rows {
            return;
        }
        self.shared.table.publish(&rows);
        self.rows = rows;
        if let Some(slot) = self
            .policy
            .slots()
            .iter()
            .position(|s| s.job == Some(Job::Controller))
        {
            self.tell(slot, Kind::TableChanged, 0);
        }
    }
}

fn row(slot: &Slot, clock: &Clock) -> Row {
    let tally = slot.tally;
    let (reason, status) = slot.last.map_or((0, 0), |(reason, exit)| {
        (reason as u32, crate::process::death::encode(exit))
    });
    // What stays true of a slot, whoever lives there.
    let past = Row {
        reason,
        status,
        forks: tally.forks,
        deaths: tally.deaths,
        crashes: tally.crashes,
        timeouts: tally.timeouts,
        disallowed: tally.disallowed,
        recycled: tally.recycled,
        ..Row::default()
    };
    let (role, index) = match slot.job {
        None => return past,
        Some(Job::Controller) => (DTM_ROLE_CONTROLLER, 0),
        Some(Job::Worker { index }) => (DTM_ROLE_WORKER, index),
        Some(Job::Func { index, .. }) => (DTM_ROLE_FUNC, index),
    };
    let wanted = Row {
        role,
        index,
        generation: slot.generation,
        class: slot.class() as u32,
        since: clock.when(slot.since),
        ..past
    };
    let Some(child) = &slot.child else {
        return Row {
            state: match slot.failed {
                true => DTM_WORKER_FAILED,
                // Nobody has died: one that waits for the canary, or for the first fork.
                false if slot.deaths == 0 => DTM_WORKER_STARTING,
                false => DTM_WORKER_DEAD,
            },
            next_fork: slot.due.map_or(0, |at| clock.when(at)),
            ..wanted
        };
    };
    let state = match child.phase {
        _ if child.stop.is_some() => DTM_WORKER_DRAINING,
        Phase::Starting => DTM_WORKER_STARTING,
        Phase::Ready => DTM_WORKER_READY,
        Phase::Updated => DTM_WORKER_UPDATED,
        Phase::Open => DTM_WORKER_OPEN,
    };
    Row {
        state,
        pid: child.pid,
        spawn: child.spawn,
        ..wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_process_a_slot_is_dead_only_where_one_died() {
        let slot = |deaths, failed| {
            let mut slot = Slot::default();
            slot.job = Some(Job::Worker { index: 3 });
            (slot.due, slot.deaths, slot.failed) = (Some(0), deaths, failed);
            slot
        };
        let clock = Clock::new(1_000);
        let state = |deaths, failed| row(&slot(deaths, failed), &clock).state;
        assert_eq!(state(0, false), DTM_WORKER_STARTING);
        assert_eq!(state(1, false), DTM_WORKER_DEAD);
        assert_eq!(state(3, true), DTM_WORKER_FAILED);
    }
}
