//! What the open workers have done and use, for recycling and scaling. All of it but the
//! memory is what they say themselves.

use super::Master;
use super::policy::{Demand, Event, Job, Phase, Usage};
use crate::report;
use crate::shm::Gauge;

impl Master {
    pub(super) fn look_at_usage(&mut self, now: u64) {
        let wanted = self.rt.config().supervision;
        if wanted.recycle.is_on() {
            let usages = self.open_workers().map(|(slot, spawn, pid)| {
                let memory = self.memory_of(pid);
                (slot, spawn, memory)
            });
            let usages: Vec<_> = usages.collect();
            let usages = usages.into_iter().map(|(slot, spawn, memory)| Usage {
                memory,
                ..self.usage(slot, spawn, now)
            });
            let usages = usages.collect();
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

    /// MiB; asked for only if there is a limit, and exactly only near it.
    fn memory_of(&self, pid: i32) -> Option<u64> {
        let recycle = self.rt.config().supervision.recycle;
        let least = recycle.memory_soft.or(recycle.memory_hard)?;
        report::memory(pid, least.saturating_mul(1024)).map(|kib| kib / 1024)
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
