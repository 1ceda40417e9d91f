//! The one model of the service's state. STATUS, WORKERS, INFO and the metrics are
//! renderings of it.

use super::Console;
use super::adopted::Adopted;
use super::names::{class_name, mode_name, reason_name, state_name};
use super::proc::Process;
use super::value::Value;
use crate::controller::Controller;
use crate::ffi::*;
use crate::shm::{Count, Facts, Gauge};
use std::collections::BTreeMap;

pub(crate) struct Status {
    pub(super) name: String,
    pub(super) facts: Facts,
    pub(super) master: (i32, Option<Process>),
    pub(super) controller: (i32, Option<Process>),
    pub(super) workers: Vec<Worker>,
    /// Of the binary before this one: those for whom there was room, and how many in all.
    pub(super) adopted: Vec<Adopted>,
    pub(super) adopted_in_all: usize,
    /// Funcs that run.
    pub(super) funcs: usize,
    pub(super) accept: dtm_accept_t,
    /// The service's own counters, over all slots.
    pub(super) counters: Vec<(String, u64)>,
    /// Seconds until the ban on forking ends; None: forking is allowed.
    pub(super) nofork: Option<f64>,
    pub(super) console: Connections,
    /// Does the store of the actions work, and how many have not ended; None: there is none.
    pub(super) store: Option<(bool, usize)>,
}

/// One generation that has workers.
pub(super) struct Generation<'a> {
    pub(super) number: u32,
    pub(super) state: &'static str,
    pub(super) workers: Vec<&'a Worker>,
    /// Of its oldest worker, in seconds.
    pub(super) age: f64,
}

pub(super) const GENERATION_STATES: [&str; 3] = ["starting", "serving", "draining"];

pub(super) struct Worker {
    pub(super) told: dtm_worker_t,
    pub(super) process: Option<Process>,
}

pub(super) struct Connections {
    pub(super) open: usize,
    pub(super) limit: u32,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) commands: u64,
}

impl Console {
    pub(super) fn status(&self, controller: &Controller) -> Status {
        let shared = &controller.child.shared;
        let config = controller.config();
        let me = crate::role::me();
        let pid =
            |pid: &std::sync::atomic::AtomicI32| pid.load(std::sync::atomic::Ordering::Relaxed);
        let process = |pid: i32| (pid, self.processes.get(pid));
        let workers = controller.workers().into_iter().map(|told| Worker {
            process: self.processes.get(told.pid),
            told,
        });
        let (adopted_in_all, adopted) = shared.adopted.read();
        let adopted = adopted.into_iter().map(|told| Adopted {
            process: self.processes.get(told.pid),
            told,
        });
        let names = controller.counter_names();
        let counters = names.into_iter().enumerate();
        Status {
            name: config.name.clone(),
            facts: shared.facts.read().unwrap_or_default(),
            master: process(pid(&me.master_pid)),
            controller: process(pid(&me.pid)),
            workers: workers.collect(),
            adopted: adopted.collect(),
            adopted_in_all,
            funcs: controller.funcs(),
            accept: shared.schedule.report(None),
            counters: counters
                .map(|(at, name)| (name, shared.board.counter(None, at)))
                .collect(),
            nofork: controller.ban_left_ms().map(|ms| millis(ms) / 1e3),
            console: Connections {
                open: self.conns.borrow().len(),
                limit: config.console.clients,
                accepted: shared.board.total(Gauge::ConsoleConnections),
                refused: shared.board.total(Gauge::ConsoleRefused),
                commands: shared.board.total(Gauge::ConsoleCommands),
            },
            store: config.store.is_some().then(|| {
                let store = controller.store_status();
                (store.state == "OPEN", store.unfinished)
            }),
        }
    }
}

impl Status {
    pub(super) fn uptime(&self) -> u64 {
        crate::sys::now_ms().saturating_sub(self.facts.started_ms) / 1000
    }

    pub(super) fn in_state(&self, state: u32) -> usize {
        self.workers
            .iter()
            .filter(|w| w.told.state == state)
            .count()
    }

    pub(super) fn clients(&self) -> u64 {
        self.workers.iter().map(|w| u64::from(w.told.clients)).sum()
    }

    /// Resident memory of all processes; pages that they share count in each.
    pub(super) fn rss_bytes(&self) -> u64 {
        let workers = self.workers.iter().filter_map(|w| w.process);
        let others = [self.master.1, self.controller.1].into_iter().flatten();
        workers.chain(others).map(|p| p.rss_bytes).sum()
    }

    /// CPU seconds of the workers that live.
    pub(super) fn worker_cpu(&self) -> f64 {
        self.workers
            .iter()
            .filter_map(|w| w.process)
            .map(|p| p.cpu)
            .sum()
    }

    /// What the service is doing, in a word.
    pub(super) fn state(&self) -> &'static str {
        match self.facts.stopped {
            2 => "ending",
            1 if self.workers.iter().all(|w| w.told.pid == 0) => "stopped",
            1 => "stopping",
            _ if self.facts.reloading > 0 => "reloading",
            _ if self.is_ready() => "serving",
            _ => "degraded",
        }
    }

    /// As many workers are open as are wanted; or it is another binary that serves yet.
    pub(super) fn is_ready(&self) -> bool {
        if self.facts.elsewhere > 0 {
            return true;
        }
        let wanted = usize::try_from(self.facts.workers).unwrap_or(usize::MAX);
        self.facts.stopped == 0 && self.in_state(DTM_WORKER_OPEN) >= wanted.max(1)
    }

    pub(super) fn last_reload(&self) -> Value {
        if self.facts.reload_at == 0 {
            return Value::Null;
        }
        let code = i32::try_from(self.facts.reload_code).unwrap_or(i32::MAX);
        let name = if code == 0 {
            "ok".into()
        } else {
            crate::error::name(-code).to_string_lossy()
        };
        Value::Map(vec![
            ("time", Value::count(self.facts.reload_at)),
            ("result", name.as_ref().into()),
        ])
    }

    pub(super) fn counted(&self, count: Count) -> u64 {
        self.facts.counts.get(count)
    }

    pub(super) fn to_value(&self) -> Value {
        let facts = &self.facts;
        let reloading = (facts.reloading > 0).then_some(facts.reloading);
        Value::Map(vec![
            ("name", self.name.as_str().into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("state", self.state().into()),
            ("ready", Value::Bool(self.is_ready())),
            ("master_pid", Value::Int(self.master.0.into())),
            ("controller_pid", Value::Int(self.controller.0.into())),
            ("started_at", Value::count(facts.started_at)),
            ("uptime_seconds", Value::count(self.uptime())),
            ("generation", Value::count(facts.serving)),
            ("reloading", reloading.map_or(Value::Null, Value::count)),
            ("workers_wanted", Value::count(facts.workers)),
            ("workers_open", Value::count(self.in_state(DTM_WORKER_OPEN))),
            (
                "workers_draining",
                Value::count(self.in_state(DTM_WORKER_DRAINING)),
            ),
            ("workers_dead", Value::count(self.in_state(DTM_WORKER_DEAD))),
            (
                "workers_failed",
                Value::count(self.in_state(DTM_WORKER_FAILED)),
            ),
            ("workers_adopted", Value::count(self.adopted_in_all)),
            ("funcs", Value::count(self.funcs)),
            ("clients", Value::count(self.clients())),
            ("accepted", Value::count(self.accept.accepted)),
            ("accept_mode", mode_name(self.accept.mode).into()),
            ("forks", Value::count(self.counted(Count::Forks))),
            ("deaths", Value::count(self.counted(Count::Deaths))),
            ("killed", Value::count(self.counted(Count::Killed))),
            ("reloads", Value::count(self.counted(Count::Reloads))),
            (
                "reload_failures",
                Value::count(self.counted(Count::FailedReloads)),
            ),
            (
                "late_clients",
                Value::count(self.counted(Count::LateClients)),
            ),
            ("last_reload", self.last_reload()),
            ("config_loaded_at", Value::count(facts.config_at)),
            (
                "nofork_seconds",
                self.nofork.map_or(Value::Null, Value::Double),
            ),
            ("rss_bytes", Value::count(self.rss_bytes())),
            ("worker_cpu_seconds", Value::Double(self.worker_cpu())),
            ("counters", counters(&self.counters)),
        ])
    }

    pub(super) fn workers_value(&self) -> Value {
        let total: u64 = self.workers.iter().map(|w| w.told.accepted).sum();
        let workers = self.workers.iter().map(|w| w.to_value(total));
        let adopted = self.adopted.iter().map(Adopted::to_value);
        Value::Array(workers.chain(adopted).collect())
    }

    pub(super) fn generations(&self) -> Vec<Generation<'_>> {
        let mut all: BTreeMap<u32, Vec<&Worker>> = BTreeMap::new();
        for worker in &self.workers {
            all.entry(worker.told.generation).or_default().push(worker);
        }
        let generation = |(number, workers): (u32, Vec<_>)| Generation {
            number,
            state: match u64::from(number) {
                n if n == self.facts.serving => "serving",
                n if n > self.facts.serving => "starting",
                _ => "draining",
            },
            age: oldest(&workers),
            workers,
        };
        all.into_iter().map(generation).collect()
    }

    pub(super) fn generations_value(&self) -> Value {
        Value::Array(
            self.generations()
                .iter()
                .map(Generation::to_value)
                .collect(),
        )
    }
}

fn oldest(workers: &[&Worker]) -> f64 {
    let ages = workers.iter().filter_map(|w| w.process).map(|p| p.age);
    ages.fold(0.0, f64::max)
}

impl Generation<'_> {
    fn to_value(&self) -> Value {
        let workers = &self.workers;
        let count = |state| workers.iter().filter(|w| w.told.state == state).count();
        let clients: u64 = workers.iter().map(|w| u64::from(w.told.clients)).sum();
        Value::Map(vec![
            ("generation", Value::count(self.number)),
            ("state", self.state.into()),
            ("workers", Value::count(workers.len())),
            ("open", Value::count(count(DTM_WORKER_OPEN))),
            ("draining", Value::count(count(DTM_WORKER_DRAINING))),
            ("clients", Value::count(clients)),
            ("age_seconds", Value::Double(self.age)),
        ])
    }
}

impl Worker {
    fn to_value(&self, accepted_by_all: u64) -> Value {
        let told = &self.told;
        let of = |get: fn(&Process) -> Value| self.process.as_ref().map_or(Value::Null, get);
        let share = ratio(told.accepted, accepted_by_all);
        let due = (told.fork_ms != DTM_OFF).then_some(told.fork_ms);
        Value::Map(vec![
            ("slot", Value::count(told.slot)),
            ("index", Value::count(told.index)),
            ("generation", Value::count(told.generation)),
            ("spawn", Value::count(told.spawn)),
            ("pid", Value::Int(told.pid.into())),
            ("state", state_name(told.state).into()),
            ("age_seconds", of(|p| Value::Double(p.age))),
            ("clients", Value::count(told.clients)),
            ("load", Value::count(told.load)),
            ("accepted", Value::count(told.accepted)),
            ("share", Value::Double(share)),
            ("cpu_seconds", of(|p| Value::Double(p.cpu))),
            ("rss_bytes", of(|p| Value::count(p.rss_bytes))),
            ("updates_tried", Value::count(told.attempt)),
            ("class", class_name(told.slot_class).into()),
            ("since_ms", Value::count(told.since_ms)),
            ("fork_ms", due.map_or(Value::Null, Value::count)),
            ("last_end", Value::or_null(reason_name(told.reason))),
            ("last_status", Value::Int(told.status.into())),
            ("forks", Value::count(told.forks)),
            ("deaths", Value::count(told.deaths)),
            ("crashes", Value::count(told.crashes)),
            ("timeouts", Value::count(told.timeouts)),
            ("disallowed", Value::count(told.disallowed)),
            ("recycled", Value::count(told.recycled)),
            ("total_accepted", Value::count(told.total_accepted)),
            ("total_requests", Value::count(told.total_requests)),
            ("binary", "this".into()),
        ])
    }
}

pub(super) fn counters(counters: &[(String, u64)]) -> Value {
    let pairs = counters
        .iter()
        .flat_map(|(name, n)| [name.as_str().into(), Value::count(*n)]);
    Value::Pairs(pairs.collect())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn millis(n: u64) -> f64 {
    n as f64
}
