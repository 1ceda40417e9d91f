//! Reports of crashes and hangs: made from what the kernel says, what the process noted
//! while it worked, and what it said when the signal came.

use super::Master;
use super::policy::{Exit, Reason};
use crate::ffi::*;
use crate::report::{self, Raw, put};
use crate::shm::Doing;

/// The reports of the processes that live, or are about to be noted as dead.
pub(super) struct Reports {
    last: u64,
    open: Vec<Option<Box<dtm_report_t>>>,
    /// Per slot: the spawn whose end is noted already. A death may be seen twice.
    ended: Vec<u64>,
}

impl Reports {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            last: 0,
            open: (0..slots).map(|_| None).collect(),
            ended: vec![0; slots],
        }
    }
}

impl Master {
    /// It is about to be killed, for it does not get on.
    pub(super) fn store_report(&mut self, slot: usize, why: Reason, stuck: u64) {
        let kind = match why {
            Reason::Hang => DTM_REPORT_HANG,
            Reason::Start => DTM_REPORT_START,
            Reason::Memory => DTM_REPORT_MEMORY,
            _ => DTM_REPORT_DEADLINE,
        };
        let Some(mut report) = self.new_report(slot, kind) else {
            return;
        };
        report.stuck_ms = stuck;
        let (process, wchan, syscall) = report::status(report.pid);
        put(&mut report.process, &process);
        put(&mut report.wchan, &wchan);
        put(&mut report.syscall, &syscall);
        self.keep(slot, report);
        self.show(slot, &format!("no progress for {stuck} ms"));
    }

    /// What the process says of itself: it crashes, or has got our SIGABRT. It says so
    /// twice: with its stack the second time.
    pub(super) fn hear_report(&mut self, slot: usize, payload: &[u8]) {
        let Some(raw) = Raw::of_bytes(payload) else {
            return ::log::warn!("slot {slot}: dropped a report that is none");
        };
        let known = self.reports.open[slot].take();
        let first = known.is_none();
        let report = known.or_else(|| self.new_report(slot, DTM_REPORT_CRASH));
        let Some(mut report) = report else { return };
        raw.fill(&mut report);
        self.keep(slot, report);
        if raw.depth > 0 {
            self.show_stack(slot);
        } else if first {
            let name = crate::signal::table::name(raw.signal);
            self.show(
                slot,
                &format!("{name}, code {}, address {:#x}", raw.code, raw.address),
            );
        }
    }

    /// It is dead. Whoever was ended by a signal that it could not or did not tell of has a
    /// report all the same.
    pub(super) fn finish_report(&mut self, slot: usize, exit: Exit) {
        let spawn = self.policy.slots()[slot]
            .child
            .as_ref()
            .map_or(0, |c| c.spawn);
        if std::mem::replace(&mut self.reports.ended[slot], spawn) == spawn {
            return;
        }
        let known = self.reports.open[slot].take();
        let Exit::Signal { number, core } = exit else {
            return;
        };
        let asked = self.policy.slots()[slot]
            .child
            .as_ref()
            .is_none_or(|c| c.stop.is_some());
        let report = known.or_else(|| {
            let crash = !asked || !matches!(number, libc::SIGTERM | libc::SIGKILL);
            crash
                .then(|| self.new_report(slot, DTM_REPORT_CRASH))
                .flatten()
        });
        if let Some(mut report) = report {
            (report.signal, report.core) = (number, core.into());
            self.shared.reports.put(&report);
        }
    }

    fn new_report(&mut self, slot: usize, kind: u32) -> Option<Box<dtm_report_t>> {
        let who = self.policy.slots()[slot].who()?;
        self.reports.last += 1;
        let note = self.shared.progress.row(slot).note();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        let mut report = Box::new(dtm_report_t {
            number: self.reports.last,
            time: i64::try_from(seconds).unwrap_or(0),
            kind,
            role: who.job.role(),
            slot: u32::try_from(slot).unwrap_or(DTM_OFF),
            generation: who.generation,
            spawn: who.spawn,
            pid: who.pid,
            client: note.number(),
            fd: note.fd(),
            ..dtm_report_t::default()
        });
        put(&mut report.step, Doing::name(note.doing()));
        Some(report)
    }

    fn keep(&mut self, slot: usize, report: Box<dtm_report_t>) {
        self.shared.reports.put(&report);
        self.reports.open[slot] = Some(report);
    }

    fn show(&self, slot: usize, what: &str) {
        if let Some(report) = &self.reports.open[slot] {
            let line = report::describe(report);
            ::log::warn!(
                "report {}: slot {slot} pid {}: {what} {line}",
                report.number,
                report.pid
            );
        }
    }

    fn show_stack(&self, slot: usize) {
        if let Some(report) = &self.reports.open[slot] {
            for line in report::text(&report.stack).lines() {
                ::log::warn!("report {}: {line}", report.number);
            }
        }
    }
}
