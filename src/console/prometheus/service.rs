//! The service as a whole: reloads, processes, ends and their reasons.

use super::super::status::Status;
use super::text::{Text, label};
use crate::shm::Count;

pub(super) fn write(s: &Status, out: &mut Text) {
    let version = env!("CARGO_PKG_VERSION");
    let labels = [label("name", &s.name), label("version", version)].join(",");
    out.metric("dtm_info", "gauge", "The service and its libdtm.");
    out.value("dtm_info", &labels, 1);
    let f = &s.facts;
    out.gauge(
        "dtm_start_time_seconds",
        "When the service began, since 1970; after an upgrade: the new binary.",
        f.started_at,
    );
    out.gauge(
        "dtm_ready",
        "1 if as many workers are open as are wanted.",
        u8::from(s.is_ready()),
    );
    reloads(s, out);
    out.gauge(
        "dtm_nofork_seconds",
        "Seconds for which forking is forbidden yet.",
        s.nofork.unwrap_or(0.0),
    );
    ends(s, out);
    processes(s, out);
}

fn reloads(s: &Status, out: &mut Text) {
    let f = &s.facts;
    let counted = |count| f.counts.get(count);
    out.gauge("dtm_generation", "The generation that serves.", f.serving);
    out.gauge(
        "dtm_reloading",
        "1 while a reload is in progress.",
        u8::from(f.reloading > 0),
    );
    out.each(
        ("dtm_reloads_total", "counter", "Reloads by their result."),
        "result",
        [
            ("ok", counted(Count::Reloads)),
            ("failed", counted(Count::FailedReloads)),
        ],
    );
    out.each(
        (
            "dtm_upgrades_total",
            "counter",
            "Upgrades of the binary by their result.",
        ),
        "result",
        [
            ("ok", counted(Count::Upgrades)),
            ("failed", counted(Count::FailedUpgrades)),
        ],
    );
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
}

/// Why processes were told to leave, and how they ended.
fn ends(s: &Status, out: &mut Text) {
    let counted = |count| s.facts.counts.get(count);
    let total = |out: &mut Text, name, help, count| out.counter(name, help, counted(count));
    total(out, "dtm_forks_total", "Processes forked.", Count::Forks);
    total(
        out,
        "dtm_worker_forks_total",
        "Workers forked.",
        Count::WorkerForks,
    );
    total(
        out,
        "dtm_deaths_total",
        "Processes that ended although nobody had asked them to.",
        Count::Deaths,
    );
    total(
        out,
        "dtm_kills_total",
        "Processes that the master killed: hung, too large, or not done at a deadline.",
        Count::Killed,
    );
    total(
        out,
        "dtm_slots_given_up_total",
        "Slots given up because their processes died too often.",
        Count::SlotsFailed,
    );
    total(
        out,
        "dtm_late_clients_total",
        "Clients closed because a drain took too long.",
        Count::LateClients,
    );
    let each = |out: &mut Text, head, reasons: &[(&'static str, Count)]| {
        let values = reasons.iter().map(|(name, count)| (*name, counted(*count)));
        out.each(head, "reason", values);
    };
    each(
        out,
        (
            "dtm_process_ends_total",
            "counter",
            "Ends of processes by what ended them.",
        ),
        &[
            ("exit", Count::EndExit),
            ("crash", Count::EndCrash),
            ("start_timeout", Count::EndStart),
            ("hang", Count::EndHang),
            ("deadline", Count::EndDeadline),
            ("memory", Count::EndMemory),
            ("told", Count::EndTold),
            ("recycle", Count::EndRecycle),
            ("unknown", Count::EndUnknown),
        ],
    );
    each(
        out,
        (
            "dtm_drains_total",
            "counter",
            "Processes told to drain, by the reason.",
        ),
        &[
            ("reload", Count::DrainReload),
            ("scale", Count::DrainScale),
            ("recycle", Count::DrainRecycle),
            ("stop", Count::DrainStop),
            ("end", Count::DrainEnd),
        ],
    );
    each(
        out,
        (
            "dtm_recycles_total",
            "counter",
            "Successors forked for workers, by the reason.",
        ),
        &[
            ("clients", Count::RecycleClients),
            ("requests", Count::RecycleRequests),
            ("age", Count::RecycleAge),
            ("idle", Count::RecycleIdle),
            ("memory", Count::RecycleMemory),
            ("asked", Count::RecycleAsked),
        ],
    );
}

fn processes(s: &Status, out: &mut Text) {
    let both = || {
        let both = [("master", s.master.1), ("controller", s.controller.1)];
        both.into_iter()
            .filter_map(|(role, process)| Some((role, process?)))
    };
    out.each(
        (
            "dtm_process_resident_memory_bytes",
            "gauge",
            "Resident memory of master and controller.",
        ),
        "role",
        both().map(|(role, process)| (role, process.rss_bytes)),
    );
    out.each(
        (
            "dtm_process_cpu_seconds_total",
            "counter",
            "CPU time of master and controller.",
        ),
        "role",
        both().map(|(role, process)| (role, process.cpu)),
    );
}
