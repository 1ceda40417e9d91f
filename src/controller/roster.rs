//! Who is there: a copy of the master's table, never older than the pass.
//! flow: C4

use super::Controller;
use crate::ffi::*;
use crate::shm::Row;
use std::cell::{Cell, RefCell};

pub(crate) struct Roster {
    rows: RefCell<Vec<Row>>,
    epoch: Cell<Option<u64>>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            rows: RefCell::new(Vec::new()),
            epoch: Cell::new(None),
        }
    }

    pub(crate) fn row(&self, slot: usize) -> Option<Row> {
        self.rows
            .borrow()
            .get(slot)
            .copied()
            .filter(|r| r.spawn != 0)
    }

    pub(crate) fn slots(&self) -> usize {
        self.rows.borrow().len()
    }

    /// The slot of a spawn that lives.
    pub(crate) fn find(&self, spawn: u64) -> Option<(usize, Row)> {
        let rows = self.rows.borrow();
        let found = rows
            .iter()
            .position(|r| r.spawn == spawn && spawn != 0 && r.pid != 0)?;
        Some((found, rows[found]))
    }
}

impl Controller {
    /// Read the table again, if it has changed. A master that is just writing
    /// leaves the last good copy in place; its nudge brings the next pass.
    pub(crate) fn refresh(&self) {
        let table = &self.child.shared.table;
        if self.roster.epoch.get() == Some(table.epoch()) {
            return;
        }
        let mut rows = self.roster.rows.take();
        let read = table.read(&mut rows);
        self.roster.rows.replace(rows);
        if let Some(epoch) = read {
            self.roster.epoch.set(Some(epoch));
            for slot in 0..self.roster.slots() {
                self.messages
                    .occupied_by(slot, self.roster.row(slot).map_or(0, |r| r.spawn));
            }
        }
    }

    /// One worker, as C sees it.
    pub(crate) fn describe(&self, slot: usize, row: &Row) -> dtm_worker_t {
        let board = &self.child.shared.board;
        // What the last one said stands there until the next one is forked.
        let said = |gauge| match row.pid {
            0 => 0,
            _ => board.get(slot, gauge),
        };
        let clients = said(crate::shm::Gauge::Clients);
        let now = crate::sys::now_ms();
        let fork = (row.next_fork != 0).then(|| row.next_fork.saturating_sub(now));
        dtm_worker_t {
            size: size_of::<dtm_worker_t>(),
            spawn: row.spawn,
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: row.generation,
            index: row.index,
            state: row.state,
            pid: row.pid,
            clients: u32::try_from(clients).unwrap_or(u32::MAX),
            attempt: self.updates.attempts(slot, row.spawn),
            load: match row.pid {
                0 => 0,
                _ => self.child.shared.schedule.load(slot),
            },
            accepted: said(crate::shm::Gauge::Accepted),
            slot_class: row.class,
            reason: row.reason,
            status: row.status,
            fork_ms: fork.map_or(DTM_OFF, crate::sys::ms32),
            since_ms: now.saturating_sub(row.since),
            forks: row.forks,
            deaths: row.deaths,
            crashes: row.crashes,
            timeouts: row.timeouts,
            disallowed: row.disallowed,
            recycled: row.recycled,
            total_accepted: board.get(slot, crate::shm::Gauge::TotalAccepted),
            total_requests: self.child.shared.progress.row(slot).requests(),
        }
    }

    pub(crate) fn is_alive(&self, spawn: u64) -> bool {
        self.roster.find(spawn).is_some()
    }

    /// How many funcs run.
    pub(crate) fn funcs(&self) -> usize {
        let rows = (0..self.roster.slots()).filter_map(|slot| self.roster.row(slot));
        rows.filter(|row| row.role == DTM_ROLE_FUNC && row.pid != 0)
            .count()
    }

    /// All workers, oldest spawn first; slots that have none now before them.
    pub(crate) fn workers(&self) -> Vec<dtm_worker_t> {
        // A phase of an action sees one list from its beginning to its end.
        if !self.actions.is_in_phase() {
            self.refresh();
        }
        let rows: Vec<(usize, Row)> = (0..self.roster.slots())
            .zip(self.roster.rows.borrow().iter().copied())
            .filter(|(_, row)| row.role == DTM_ROLE_WORKER)
            .collect();
        let mut workers: Vec<_> = rows.iter().map(|(s, r)| self.describe(*s, r)).collect();
        workers.sort_by_key(|w| w.spawn);
        workers
    }
}
