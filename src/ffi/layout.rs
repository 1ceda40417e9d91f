//! The layout of every struct of the API on 64-bit Linux, as numbers, so that a
//! change is seen where it is made. The C side holds against the same numbers:
//! dtm.h ends with the sizes (src/ffi/epilogue.h), the C tests check every
//! member (tests/c/layout.h). `DTM_BLESS=1 cargo test` renews both.
//!
//! Structs only ever grow at their end: a new line here never moves an old one.

#![cfg(target_pointer_width = "64")]

use super::{callbacks::*, config::*, types::*};

macro_rules! layout {
    ($($name:ident: $size:literal { $($member:ident: $offset:literal,)* })*) => {
        $(const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(std::mem::offset_of!($name, $member) == $offset);)*
            // No `..`: a member that is not listed above does not compile.
            let _ = |$name { $($member: _,)* }: $name| ();
        };)*

        #[cfg(test)]
        const LAYOUT: &[(&str, usize, &[(&str, usize)])] = &[
            $((stringify!($name), $size, &[$((stringify!($member), $offset),)*]),)*
        ];
    };
}

layout! {
    dtm_str_t: 16 {
        ptr: 0, len: 8,
    }
    dtm_self_t: 48 {
        size: 0, role: 8, slot: 12, generation: 16, index: 20, spawn: 24, pid: 32, master_pid:
        36, draining: 40, clients: 44,
    }
    dtm_worker_t: 120 {
        size: 0, spawn: 8, slot: 16, generation: 20, index: 24, state: 28, pid: 32, clients: 36,
        attempt: 40, load: 44, accepted: 48, slot_class: 56, reason: 60, status: 64, fork_ms: 68,
        since_ms: 72, forks: 80, deaths: 84, crashes: 88, timeouts: 92, disallowed: 96, recycled:
        100, total_accepted: 104, total_requests: 112,
    }
    dtm_accept_t: 136 {
        size: 0, wanted: 8, mode: 12, workers: 16, willing: 20, queues: 24, tokens: 28, depth: 32,
        waiting_ms: 36, load_min: 40, load_max: 44, skew: 48, reserved: 52, accepted: 56, moves: 64,
        passed: 72, repassed: 80, rescues: 88, empty: 96, errors: 104, switches: 112, late: 120,
        drops: 128,
    }
    dtm_event_t: 48 {
        size: 0, kind: 8, role: 12, slot: 16, generation: 20, spawn: 24, pid: 32, status: 36,
        reason: 40,
    }
    dtm_report_t: 3640 {
        size: 0, number: 8, time: 16, kind: 24, role: 28, slot: 32, generation: 36, spawn: 40,
        pid: 48, signal: 52, code: 56, core: 60, address: 64, stuck_ms: 72, client: 80, tag: 88,
        fd: 96, listener: 100, step: 104, label: 136, peer: 184, process: 248, wchan: 376,
        syscall: 440, stack: 568,
    }
    dtm_result_t: 64 {
        size: 0, reason: 8, signal: 12, forks: 16, deaths: 24, killed: 32, reloads: 40,
        failed_reloads: 48, late_clients: 56,
    }
    dtm_listen_t: 40 {
        size: 0, flags: 8, address: 16, tag: 24, backlog: 32, mode: 36,
    }
    dtm_func_t: 56 {
        size: 0, name: 8, count: 16, restart: 20, phase: 24, restart_ms: 28, main: 32, data: 40,
        message: 48,
    }
    dtm_command_t: 24 {
        size: 0, kind: 8, reserved: 12, arg: 16,
    }
    dtm_console_t: 48 {
        size: 0, name: 8, arity: 16, operator_only: 20, help: 24, handler: 32, data: 40,
    }
    dtm_phase_t: 96 {
        size: 0, id: 8, name: 16, phase: 24, attempt: 28, token: 32, args: 48, txn: 64, step: 72,
        timed_out: 80, resumed: 84, status: 88, cause: 92,
    }
    dtm_action_t: 56 {
        size: 0, name: 8, phases: 16, attempts: 20, preaction: 24, action: 32, failed: 40, data:
        48,
    }
    dtm_action_info_t: 72 {
        size: 0, id: 8, name: 16, phase: 24, attempt: 28, state: 32, wait: 36, step: 40, started:
        48, changed: 56, text: 64,
    }
    dtm_write_t: 48 {
        key: 0, value: 16, expected: 32, change: 40, reserved: 44,
    }
    dtm_store_t: 120 {
        size: 0, scheme: 8, data: 16, open: 24, close: 32, error: 40, ping: 48, get: 56, list: 64,
        write: 72, begin: 80, rollback: 88, lease: 96, unlease: 104, step: 112,
    }
    dtm_config_t: 368 {
        size: 0, flags: 8, name: 16, config_file: 24, workers: 32, max_processes: 36,
        accept_mode: 40, accept_tokens: 44, max_clients: 48, client_timeout_ms: 52,
        watch_timeout_ms: 56, drain_timeout_ms: 60, kill_grace_ms: 64, start_timeout_ms: 68,
        hang_timeout_ms: 72, respawn_delay_ms: 76, respawn_delay_max_ms: 80, respawn_reset_ms:
        84, nofork_max_ms: 88, worker_tick_ms: 92, controller_tick_ms: 96, channel_queue: 100,
        signals: 104, orphan: 108, log_level: 112, accept_load: 116, log_target: 120, store: 128,
        accept_pass: 136, drain_idle: 140, canary: 144, old_generations: 148, upgrade_timeout_ms: 152, respawn_budget: 156, respawn_window_ms: 160, recycle_clients: 164, recycle_requests: 168, recycle_age_ms: 172, recycle_idle_ms: 176, recycle_stagger: 180, recycle_min_age_ms: 184, recycle_parallel: 188, memory_soft_mib: 192, memory_hard_mib: 196, workers_min: 200, workers_max: 204, workers_spare: 208, scale_period_ms: 212, daemonize: 216, process_titles: 220, nice: 224, rlimit_nofile: 228, rlimit_core_mib: 232, control_remote: 236, pid_file: 240, user: 248, group: 256, chroot: 264, working_dir: 272, core_dir: 280, cpu_affinity: 288, capabilities: 296, umask: 304, control_operators: 312, control_password: 320, metrics_listen: 328, host: 336, control_clients: 344, control_timeout_ms: 348, store_timeout_ms: 352, fleet_lease_ms: 356, fleet_unavailable: 360, reserved: 364,
    }
    dtm_callbacks_t: 184 {
        size: 0, config_load: 8, config_revert: 16, event: 24, log: 32, worker_init: 40,
        worker_exit: 48, worker_message: 56, worker_tick: 64, worker_drain: 72, worker_health:
        80, worker_main: 88, client_open: 96, client_step: 104, client_close: 112,
        controller_init: 120, controller_exit: 128, controller_pass: 136, update_new_worker:
        144, worker_answer: 152, control_open: 160, control_step: 168, control_close: 176,
    }
}

#[cfg(test)]
mod tests {
    use super::LAYOUT;
    use std::path::Path;

    /// A committed file that must say what `fresh` says.
    fn committed(path: &str, fresh: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("DTM_BLESS").is_some() {
            std::fs::write(&file, fresh).unwrap();
        }
        let old = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(old == fresh, "{path} is stale: run  DTM_BLESS=1 cargo test");
    }

    #[test]
    fn the_header_has_the_sizes() {
        let sizes: String = LAYOUT
            .iter()
            .map(|(name, size, _)| format!("DTM_SIZE_({name}, {size});\n"))
            .collect();
        committed(
            "src/ffi/epilogue.h",
            &format!(
                "\n/* A compiler option that packs or pads structs differently is noticed here. */\n\
                 #ifdef __LP64__\n\
                 #if defined(__cplusplus) && __cplusplus >= 201103L\n\
                 #define DTM_SIZE_(type, size) static_assert(sizeof(type) == (size), #type)\n\
                 #elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L\n\
                 #define DTM_SIZE_(type, size) _Static_assert(sizeof(type) == (size), #type)\n\
                 #endif\n\
                 #endif\n\
                 #ifdef DTM_SIZE_\n{sizes}#undef DTM_SIZE_\n#endif\n"
            ),
        );
    }

    #[test]
    fn the_c_tests_have_every_member() {
        let mut text = String::from(
            "/* Generated by src/ffi/layout.rs; tests/c/t_abi_layout.c checks it. */\n",
        );
        for (name, size, members) in LAYOUT {
            text += &format!("SIZE({name}, {size})\n");
            for (member, offset) in *members {
                text += &format!("OFFSET({name}, {member}, {offset})\n");
            }
        }
        committed("tests/c/layout.h", &text);
    }

    #[test]
    fn every_struct_of_the_header_is_listed() {
        let header = include_str!("../../include/dtm.h");
        let structs = header
            .lines()
            .filter(|l| l.starts_with("typedef struct") && l.ends_with('{'));
        assert_eq!(structs.count(), LAYOUT.len());
    }
}
