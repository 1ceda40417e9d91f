//! `update_new_worker`: every worker that this controller has not brought up to
//! date yet, with back-off after a failure. flow: C5, L11

use super::Controller;
use crate::channel::Kind;
use crate::ffi::*;
use crate::shm::{Doing, Row};
use std::cell::Cell;

/// -EAGAIN asks for a short wait; failures double theirs from 100 ms to 5 s.
const AGAIN_MS: u64 = 50;
const FAILED_MS: u64 = 100;
const FAILED_MAX_MS: u64 = 5_000;

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    spawn: u64,
    attempts: u32,
    failures: u32,
    /// Everything was sent; refused: false again.
    sent: bool,
    not_before: u64,
}

pub(super) struct Updates {
    records: Vec<Cell<Record>>,
}

impl Updates {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            records: (0..slots).map(|_| Cell::new(Record::default())).collect(),
        }
    }

    fn record(&self, slot: usize, spawn: u64) -> Record {
        let found = self
            .records
            .get(slot)
            .map(Cell::get)
            .filter(|r| r.spawn == spawn);
        found.unwrap_or(Record {
            spawn,
            ..Record::default()
        })
    }

    fn keep(&self, slot: usize, record: Record) {
        if let Some(cell) = self.records.get(slot) {
            cell.set(record);
        }
    }

    pub(super) fn attempts(&self, slot: usize, spawn: u64) -> u32 {
        self.record(slot, spawn).attempts
    }
}

/// Pure: how long to wait after the nth failure in a row.
fn delay(failures: u32) -> u64 {
    (FAILED_MS << failures.saturating_sub(1).min(16)).min(FAILED_MAX_MS)
}

impl Controller {
    /// Update whoever is due. The answer: when to look again, in ms.
    pub(super) fn run_updates(&self) -> Option<u64> {
        let now = crate::sys::now_ms();
        let mut next: Option<u64> = None;
        for slot in 0..self.roster.slots() {
            let Some(row) = self.roster.row(slot).filter(wants_update) else {
                continue;
            };
            let record = self.updates.record(slot, row.spawn);
            if record.sent || !self.acting() {
                continue;
            }
            let record = if record.not_before <= now {
                self.update(slot, &row, record, now)
            } else {
                record
            };
            if !record.sent {
                let wait = record.not_before.saturating_sub(now).max(1);
                next = Some(next.map_or(wait, |n| n.min(wait)));
            }
        }
        next
    }

    fn update(&self, slot: usize, row: &Row, mut record: Record, now: u64) -> Record {
        #[cfg(feature = "fault")]
        crate::fault::hit("update.begin");
        let code = self.call_update(slot, row);
        #[cfg(feature = "fault")]
        crate::fault::hit("update.sent");
        record.attempts += 1;
        let code = if code == 0 {
            self.sync(slot, row, record.attempts)
        } else {
            code
        };
        if code == 0 {
            record.sent = true;
        } else if code == -libc::EAGAIN {
            record.not_before = now + AGAIN_MS;
        } else {
            record.failures += 1;
            record.not_before = now + delay(record.failures);
            ::log::warn!("update of the worker in slot {slot} failed with {code}");
        }
        self.updates.keep(slot, record);
        #[cfg(feature = "fault")]
        crate::fault::hit("update.done");
        record
    }

    fn call_update(&self, slot: usize, row: &Row) -> i32 {
        let Some(update) = self.rt.callbacks.update_new_worker else {
            return 0;
        };
        let worker = self.describe(slot, row);
        // SAFETY: the service's function; worker lives during the call.
        let code = self.child.calls(Doing::Update, || unsafe {
            update(self.rt.handle(), &raw const worker, self.rt.user_data)
        });
        crate::guard::verdict("update_new_worker", code)
    }

    /// Tell the worker that this was all: it answers to the master.
    fn sync(&self, slot: usize, row: &Row, attempt: u32) -> i32 {
        self.post(slot, row, Kind::Sync, u64::from(attempt), &[])
            .map_or_else(|e| e.code, |()| 0)
    }

    /// A worker said no: once more, later.
    pub(super) fn refused(&self, frame: &crate::channel::Frame<'_>) {
        let code = -i32::try_from(frame.head.arg2).unwrap_or(i32::MAX).max(1);
        self.refresh();
        if let Some((slot, _)) = self.roster.find(frame.head.arg) {
            let mut record = self.updates.record(slot, frame.head.arg);
            record.failures += 1;
            record.sent = false;
            record.not_before = crate::sys::now_ms() + delay(record.failures);
            self.updates.keep(slot, record);
        }
        self.answer(frame.head.arg, code, &[]);
    }

    /// Hand a worker's answer or refusal to the service.
    pub(super) fn answer(&self, spawn: u64, status: i32, payload: &[u8]) {
        let Some(answer) = self.rt.callbacks.worker_answer else {
            return;
        };
        self.refresh();
        let worker = match self.roster.find(spawn) {
            Some((slot, row)) => self.describe(slot, &row),
            // It died meanwhile; what it said still counts.
            None => dtm_worker_t {
                size: size_of::<dtm_worker_t>(),
                spawn,
                slot: DTM_OFF,
                state: DTM_WORKER_DEAD,
                ..dtm_worker_t::default()
            },
        };
        let (data, len) = (payload.as_ptr().cast(), payload.len());
        // SAFETY: the service's function; worker and data live during the call.
        self.child.calls(Doing::Answer, || unsafe {
            answer(
                self.rt.handle(),
                &raw const worker,
                status,
                data,
                len,
                self.rt.user_data,
            );
        });
    }
}

/// A worker at its gate; or one that an earlier controller opened, which this
/// one has never brought up to date.
fn wants_update(row: &Row) -> bool {
    row.role == DTM_ROLE_WORKER
        && matches!(
            row.state,
            DTM_WORKER_READY | DTM_WORKER_UPDATED | DTM_WORKER_OPEN
        )
}

#[cfg(test)]
mod tests {
    use super::delay;

    #[test]
    fn failures_wait_longer_up_to_a_limit() {
        let delays: Vec<u64> = (1..9).map(delay).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(delay(u32::MAX), 5_000);
    }
}
