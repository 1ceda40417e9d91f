//! The state as Prometheus reads it: text format 0.0.4, base units, counters that end in
//! `_total`. Gate: tests/console/metrics.sh with promtool.

use super::status::{Status, millis, mode_name, ratio, state_name};
use crate::ffi::*;
use std::fmt::{Display, Write};

pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric after the other, each with its help and type.
#[derive(Default)]
struct Text(String);

impl Text {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// `labels`: `state="open"`, or nothing.
    fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric(name, "gauge", help);
        self.value(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "counter", help);
        self.value(name, "", value);
    }
}

pub(super) fn render(s: &Status) -> String {
    let mut out = Text::default();
    service(s, &mut out);
    workers(s, &mut out);
    accept(s, &mut out);
    console(s, &mut out);
    own_counters(s, &mut out);
    out.0
}

fn service(s: &Status, out: &mut Text) {
    let f = &s.facts;
    out.metric("dtm_info", "gauge", "The service and its libdtm.");
    let labels = format!(
        "name=\"{}\",version=\"{}\"",
        escaped(&s.name),
        env!("CARGO_PKG_VERSION")
    );
    out.value("dtm_info", &labels, 1);
    out.gauge(
        "dtm_start_time_seconds",
        "When the service began, since 1970.",
        f.started_at,
    );
    out.gauge(
        "dtm_ready",
        "1 if as many workers are open as are wanted.",
        u8::from(s.is_ready()),
    );
    out.gauge("dtm_generation", "The generation that serves.", f.serving);
    out.gauge(
        "dtm_reloading",
        "1 while a reload is in progress.",
        u8::from(f.reloading > 0),
    );
    out.metric("dtm_reloads_total", "counter", "Reloads by their result.");
    out.value("dtm_reloads_total", "result=\"ok\"", f.reloads);
    out.value("dtm_reloads_total", "result=\"failed\"", f.reload_failures);
    out.gauge(
        "dtm_last_reload_timestamp_seconds",
        "When the last reload ended; 0: there was none.",
        f.reload_at,
    );
    out.gauge(
        "dtm_last_reload_successful",
        "1 if the last reload succeeded, or there was none.",
        u8::from(f.reload_code == 0),
    );
    out.gauge(
        "dtm_config_timestamp_seconds",
        "When the configuration was loaded last.",
        f.config_at,
    );
    out.gauge(
        "dtm_nofork_seconds",
        "Seconds for which forking is forbidden yet.",
        s.nofork.unwrap_or(0.0),
    );
    out.counter("dtm_forks_total", "Processes forked.", f.forks);
    out.counter(
        "dtm_deaths_total",
        "Processes that ended although nobody had asked them to.",
        f.deaths,
    );
    out.counter(
        "dtm_kills_total",
        "Processes killed at a deadline.",
        f.killed,
    );
    out.metric(
        "dtm_process_resident_memory_bytes",
        "gauge",
        "Resident memory of master and controller.",
    );
    for (role, process) in [("master", s.master.1), ("controller", s.controller.1)] {
        if let Some(process) = process {
            out.value(
                "dtm_process_resident_memory_bytes",
                &format!("role=\"{role}\""),
                process.rss_bytes,
            );
        }
    }
    out.metric(
        "dtm_process_cpu_seconds_total",
        "counter",
        "CPU time of master and controller.",
    );
    for (role, process) in [("master", s.master.1), ("controller", s.controller.1)] {
        if let Some(process) = process {
            out.value(
                "dtm_process_cpu_seconds_total",
                &format!("role=\"{role}\""),
                process.cpu,
            );
        }
    }
}

fn workers(s: &Status, out: &mut Text) {
    out.gauge(
        "dtm_workers_wanted",
        "Workers per generation, as wanted.",
        s.facts.workers,
    );
    out.metric(
        "dtm_workers",
        "gauge",
        "Workers by their state, all generations.",
    );
    for state in DTM_WORKER_STARTING..=DTM_WORKER_FAILED {
        out.value(
            "dtm_workers",
            &format!("state=\"{}\"", state_name(state)),
            s.in_state(state),
        );
    }
    out.gauge("dtm_clients", "Open clients of all workers.", s.clients());
    type Of = fn(&super::status::Worker) -> Option<f64>;
    let of_slots: [(&str, &str, &str, Of); 12] = [
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
            "dtm_slot_recycled_total",
            "counter",
            "Workers recycled in the slot.",
            |w| Some(w.told.recycled.into()),
        ),
    ];
    for (name, kind, help, of) in of_slots {
        out.metric(name, kind, help);
        for worker in &s.workers {
            if let Some(value) = of(worker) {
                out.value(name, &format!("slot=\"{}\"", worker.told.slot), value);
            }
        }
    }
}

/// Of a slot without a process there is nothing to say.
fn alive(worker: &super::status::Worker, value: u32) -> Option<f64> {
    (worker.told.pid != 0).then(|| value.into())
}

fn accept(s: &Status, out: &mut Text) {
    let a = &s.accept;
    out.metric(
        "dtm_accept_mode",
        "gauge",
        "1 for the accept mode in force.",
    );
    out.value(
        "dtm_accept_mode",
        &format!("mode=\"{}\"", mode_name(a.mode)),
        1,
    );
    out.counter("dtm_accepted_total", "Clients accepted.", a.accepted);
    out.gauge(
        "dtm_accept_willing_workers",
        "Open workers that take clients now.",
        a.willing,
    );
    out.gauge(
        "dtm_accept_queue_connections",
        "Connections that waited at the master's last look.",
        a.depth,
    );
    out.gauge(
        "dtm_accept_waiting_seconds",
        "For how long connections have waited for a worker that takes them.",
        ratio(a.waiting_ms.into(), 1000),
    );
    out.gauge(
        "dtm_accept_skew_ratio",
        "Largest load of a worker by the mean.",
        ratio(a.skew.into(), 1000),
    );
    out.counter(
        "dtm_accept_moves_total",
        "Tokens handed from one worker to another.",
        a.moves,
    );
    out.counter(
        "dtm_accept_passed_total",
        "Connections passed by the master.",
        a.passed,
    );
    out.counter(
        "dtm_accept_repassed_total",
        "Passed connections that were passed again.",
        a.repassed,
    );
    out.counter(
        "dtm_accept_rescues_total",
        "Queues rescued because nobody served them.",
        a.rescues,
    );
    out.counter(
        "dtm_accept_empty_total",
        "Wake-ups that found no connection.",
        a.empty,
    );
    out.counter("dtm_accept_errors_total", "Failed accepts.", a.errors);
    out.counter(
        "dtm_accept_switches_total",
        "Changes of the accept mode.",
        a.switches,
    );
}

fn console(s: &Status, out: &mut Text) {
    let c = &s.console;
    out.gauge(
        "dtm_console_connections",
        "Open connections to the console.",
        c.open,
    );
    out.counter(
        "dtm_console_connections_total",
        "Connections to the console.",
        c.accepted,
    );
    out.counter(
        "dtm_console_rejected_total",
        "Connections to the console that found no room.",
        c.refused,
    );
    out.counter(
        "dtm_console_commands_total",
        "Commands on the console.",
        c.commands,
    );
}

/// Counters that the service has registered: `dtm_service_NAME_total`.
fn own_counters(s: &Status, out: &mut Text) {
    for (name, value) in &s.counters {
        let name = name.strip_suffix("_total").unwrap_or(name);
        out.counter(
            &format!("dtm_service_{name}_total"),
            "A counter of the service's own.",
            *value,
        );
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_help_and_type() {
        let mut out = Text::default();
        out.counter("x_total", "Help.", 3);
        out.value("x_total", "a=\"b\"", 0.5);
        assert_eq!(
            out.0,
            "# HELP x_total Help.\n# TYPE x_total counter\nx_total 3\nx_total{a=\"b\"} 0.5\n"
        );
        assert_eq!(escaped("a\"\\\n"), "a\\\"\\\\\\n");
    }
}
