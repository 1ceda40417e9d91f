//! What the open workers have done and use, for recycling and scaling. All of it but the
//! memory is what they say themselves.

use super::Master;
use super::policy::{Demand, Event, Job, Phase, Usage};
use crate::report;
use crate::shm::Gauge;
use crate::sys::now_ms;

/// The kernel counts 1 GiB of small pages in some 30 ms (measured). So long may one look at the workers' memory
/// take, in ms; the next one goes on with the others.
const MEMORY_MS: u64 = 50;

impl Master {
    pub(super) fn look_at_usage(&mut self, now: u64) {
        let wanted = self.rt.config().supervision;
        if wanted.recycle.is_on() {
            let open: Vec<_> = self.open_workers().collect();
            let mut usages: Vec<_> = open
                .iter()
                .map(|&(slot, spawn, _)| self.usage(slot, spawn, now))
                .collect();
            self.look_at_memory(&open, &mut usages);
            self.events.push_back(Event::Looked(usages));
        }
        let period = wanted.scale_period;
        if wanted.scale.is_some() && now.saturating_sub(self.looking.scaled_at()) >= period {
            self.looking.scaled(now);
            let demand = self.demand();
            self.events.push_back(Event::Demand(demand));
        }
    }

    fn open_workers(&self) -> impl Iterator<Item = (usize, u64, i32)> {
        let slots = self.policy.slots().iter().enumerate();
        slots.filter_map(|(slot, s)| {
            let child = s.running().filter(|c| c.phase == Phase::Open)?;
            matches!(s.job, Some(Job::Worker { .. })).then_some((slot, child.spawn, child.pid))
        })
    }

    fn usage(&mut self, slot: usize, spawn: u64, now: u64) -> Usage {
        let board = &self.shared.board;
        let clients = board.get(slot, Gauge::Accepted);
        let open = board.get(slot, Gauge::Clients);
        let served = self.shared.progress.row(slot).requests();
        Usage {
            slot,
            spawn,
            clients,
            requests: self.looking.requests(slot, served),
            idle: self.looking.idle(slot, open, clients, now),
            memory: None,
        }
    }

    /// Only if there is a limit, and exactly only near it.
    fn look_at_memory(&mut self, open: &[(usize, u64, i32)], usages: &mut [Usage]) {
        let recycle = self.rt.config().supervision.recycle;
        let Some(least) = recycle.memory_soft.or(recycle.memory_hard) else {
            return;
        };
        let until = now_ms() + MEMORY_MS;
        for at in self.looking.turns(open.len()) {
            let kib = report::memory(open[at].2, least.saturating_mul(1024));
            usages[at].memory = kib.map(|kib| kib / 1024);
            self.looking.had_its_turn();
            if now_ms() >= until {
                return;
            }
        }
    }

    fn demand(&self) -> Demand {
        let schedule = &self.shared.schedule;
        let idle = self
            .open_workers()
            .filter(|(slot, ..)| schedule.load(*slot) == 0);
        let accept = schedule.report(None);
        Demand {
            idle: u32::try_from(idle.count()).unwrap_or(u32::MAX),
            waiting: accept.depth > 0 && accept.waiting_ms > 0,
        }
    }
}
