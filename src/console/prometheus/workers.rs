//! Workers and their slots. What a slot has counted goes on over all of its processes.

use super::super::names::{CLASSES, state_name};
use super::super::status::{GENERATION_STATES, Status, Worker, millis};
use super::text::{Text, label};
use crate::ffi::*;

pub(super) fn write(s: &Status, out: &mut Text) {
    out.gauge(
        "dtm_workers_wanted",
        "Workers per generation, as wanted.",
        s.facts.workers,
    );
    let states = DTM_WORKER_STARTING..=DTM_WORKER_FAILED;
    out.each(
        (
            "dtm_workers",
            "gauge",
            "Workers by their state, all generations.",
        ),
        "state",
        states.map(|state| (state_name(state), s.in_state(state))),
    );
    out.each(
        (
            "dtm_slots",
            "gauge",
            "Slots of workers by how they stand to what is wanted of them; with the old binary's.",
        ),
        "class",
        CLASSES.map(|(class, name)| {
            let of = |w: &&Worker| w.told.slot_class == class;
            let adopted = match class {
                DTM_CLASS_DISALLOWED => s.adopted_in_all,
                _ => 0,
            };
            (name, s.workers.iter().filter(of).count() + adopted)
        }),
    );
    adopted(s, out);
    let waits = |w: &&Worker| w.told.state == DTM_WORKER_DEAD && w.told.fork_ms != DTM_OFF;
    out.gauge(
        "dtm_slots_in_backoff",
        "Slots whose process died and is to be forked again later.",
        s.workers.iter().filter(waits).count(),
    );
    generations(s, out);
    out.gauge("dtm_clients", "Open clients of all workers.", s.clients());
    for (name, kind, help, of) in OF_SLOTS {
        out.metric(name, kind, help);
        for worker in &s.workers {
            if let Some(value) = of(worker) {
                let slot = label("slot", &worker.told.slot.to_string());
                out.value(name, &slot, value);
            }
        }
    }
}

fn adopted(s: &Status, out: &mut Text) {
    out.gauge(
        "dtm_adopted_workers",
        "Workers of the binary before this one that drain yet.",
        s.adopted_in_all,
    );
    let clients = s.adopted.iter().filter_map(|a| a.told.clients);
    out.gauge(
        "dtm_adopted_clients",
        "Their clients, as long as the old binary counts them.",
        clients.map(u64::from).sum::<u64>(),
    );
}

/// Old generations are those that drain.
fn generations(s: &Status, out: &mut Text) {
    let all = s.generations();
    out.each(
        (
            "dtm_generations",
            "gauge",
            "Generations that have workers, by their state.",
        ),
        "state",
        GENERATION_STATES.map(|state| (state, all.iter().filter(|g| g.state == state).count())),
    );
    let draining = all.iter().filter(|g| g.state == "draining");
    out.gauge(
        "dtm_old_generation_age_seconds",
        "Age of the oldest worker of an old generation; 0: there is none.",
        draining.map(|g| g.age).fold(0.0, f64::max),
    );
}

/// None: of a slot without a process there is nothing to say.
type Of = fn(&Worker) -> Option<f64>;

const OF_SLOTS: [(&str, &str, &str, Of); 13] = [
    (
        "dtm_worker_clients",
        "gauge",
        "Open clients of the slot's worker.",
        |w| alive(w, w.told.clients),
    ),
    (
        "dtm_worker_load",
        "gauge",
        "Its load, as the accept schedule sees it.",
        |w| alive(w, w.told.load),
    ),
    (
        "dtm_worker_accepted_total",
        "counter",
        "Clients accepted in the slot.",
        |w| Some(millis(w.told.total_accepted)),
    ),
    (
        "dtm_worker_requests_total",
        "counter",
        "Requests served in the slot.",
        |w| Some(millis(w.told.total_requests)),
    ),
    (
        "dtm_worker_age_seconds",
        "gauge",
        "Age of the slot's process.",
        |w| w.process.map(|p| p.age),
    ),
    (
        "dtm_worker_cpu_seconds_total",
        "counter",
        "CPU time of the slot's process.",
        |w| w.process.map(|p| p.cpu),
    ),
    (
        "dtm_worker_resident_memory_bytes",
        "gauge",
        "Resident memory of the slot's process.",
        |w| w.process.map(|p| millis(p.rss_bytes)),
    ),
    (
        "dtm_slot_forks_total",
        "counter",
        "Processes forked in the slot.",
        |w| Some(w.told.forks.into()),
    ),
    (
        "dtm_slot_deaths_total",
        "counter",
        "Unasked ends in the slot.",
        |w| Some(w.told.deaths.into()),
    ),
    (
        "dtm_slot_crashes_total",
        "counter",
        "Ends by a signal that the master did not send.",
        |w| Some(w.told.crashes.into()),
    ),
    (
        "dtm_slot_timeouts_total",
        "counter",
        "Kills for not starting, going on or leaving in time.",
        |w| Some(w.told.timeouts.into()),
    ),
    (
        "dtm_slot_disallowed_total",
        "counter",
        "Processes told to leave because they were not wanted any more.",
        |w| Some(w.told.disallowed.into()),
    ),
    (
        "dtm_slot_recycled_total",
        "counter",
        "Workers recycled in the slot.",
        |w| Some(w.told.recycled.into()),
    ),
];

fn alive(worker: &Worker, value: u32) -> Option<f64> {
    (worker.told.pid != 0).then(|| value.into())
}
