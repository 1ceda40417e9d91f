//! Configuration: owned, checked values.

mod choice;
mod console;
mod cpus;
mod file;
mod ini;
mod keys;
mod layers;
mod room;
mod settings;
mod supervision;
mod value;

use crate::daemon::Options;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::log::{LogConfig, Target};
pub(crate) use choice::{AcceptMode, DrainIdle, Orphan, SignalTable};
pub(crate) use console::Console;
use keys::{KEYS, TEXT_KEYS};
pub(crate) use room::Room;
pub(crate) use settings::Settings;
use std::fs::File;
pub(crate) use supervision::{Recycle, Scale, Supervision};

pub(crate) use file::open as open_file;

/// Most clients a worker can have.
pub(crate) const MAX_CLIENTS: u32 = 1 << 24;

/// Every value in force. Durations are in milliseconds; `None` is off.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) workers: u32,
    pub(crate) max_processes: u32,
    pub(crate) accept_mode: AcceptMode,
    pub(crate) accept_tokens: u32,
    /// Load is the number of busy clients, not of all.
    pub(crate) accept_busy: bool,
    /// The master passes clients on in turn, not to the least loaded.
    pub(crate) accept_rotate: bool,
    pub(crate) max_clients: u32,
    pub(crate) client_timeout: Option<u64>,
    pub(crate) watch_timeout: Option<u64>,
    pub(crate) drain_timeout: Option<u64>,
    pub(crate) kill_grace: u64,
    pub(crate) start_timeout: Option<u64>,
    pub(crate) respawn_delay: u64,
    pub(crate) respawn_delay_max: u64,
    pub(crate) respawn_reset: u64,
    pub(crate) nofork_max: u64,
    pub(crate) worker_tick: Option<u64>,
    pub(crate) controller_tick: Option<u64>,
    pub(crate) console: Console,
    pub(crate) channel_queue: usize,
    pub(crate) store: Option<String>,
    pub(crate) store_timeout: u32,
    pub(crate) host: String,
    pub(crate) fleet_lease: u32,
    pub(crate) fleet_unavailable: u32,
    pub(crate) signals: SignalTable,
    pub(crate) orphan: Orphan,
    pub(crate) drain_idle: DrainIdle,
    pub(crate) canary: Option<u32>,
    pub(crate) old_generations: u32,
    pub(crate) upgrade_timeout: u64,
    pub(crate) log: LogConfig,
    pub(crate) supervision: Supervision,
    pub(crate) daemon: Options,
    /// The same, by key.
    values: Settings,
}

/// What defaults are computed from.
struct Machine {
    cpus: u32,
    /// Soft RLIMIT_NOFILE.
    nofile: u64,
}

impl Machine {
    fn here() -> Self {
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        Self {
            cpus: cpus::usable(),
            nofile: limit.map_or(1024, |(soft, _)| soft),
        }
    }
}

impl Config {
    /// `read_file`: false leaves the config file out.
    pub(crate) fn load(base: &Settings, read_file: bool) -> Result<Self> {
        let mut config = Self::complete(layers::merge(base, read_file, None)?, &Machine::here())?;
        config.daemon = Options::new(&config.values)?;
        Ok(config)
    }

    /// The same while the service runs. Keys that take effect at a start only keep
    /// their old values; those that were to change are named.
    /// `opened`: the config file, by the master, who may open it.
    pub(crate) fn reload(
        base: &Settings,
        old: &Self,
        opened: Option<&File>,
    ) -> Result<(Self, Vec<&'static str>)> {
        let settings = layers::merge(base, true, opened)?;
        let (mut config, ignored) = Self::succeed(settings, old, &Machine::here())?;
        // A child that has given up its privileges could not check them again.
        config.daemon = match crate::role::current() & crate::guard::CHILD {
            0 => Options::new(&config.values)?,
            _ => old.daemon.clone(),
        };
        Ok((config, ignored))
    }

    fn succeed(
        mut settings: Settings,
        old: &Self,
        machine: &Machine,
    ) -> Result<(Self, Vec<&'static str>)> {
        let ignored = Self::complete(settings.clone(), machine)?.changes(old);
        for key in KEYS.iter().filter(|key| key.fixed) {
            (key.set)(&mut settings, (key.get)(&old.values));
        }
        for key in TEXT_KEYS.iter().filter(|key| key.fixed) {
            (key.set)(&mut settings, (key.get)(&old.values).map(str::to_string));
        }
        Ok((Self::complete(settings, machine)?, ignored))
    }

    /// Fill in the defaults; check what depends on more than one key.
    fn complete(mut values: Settings, machine: &Machine) -> Result<Self> {
        for key in KEYS {
            if (key.get)(&values) == 0 {
                (key.set)(&mut values, key.default);
            }
        }
        let v = &mut values;
        // By default there is room for a reload: two generations, two controllers.
        let room = v.max_processes / 2 - 1;
        let bounds = match v.workers_min {
            DTM_OFF => (1, u32::MAX),
            min => (min, v.workers_max.max(min)),
        };
        default(&mut v.workers, || {
            machine.cpus.min(512).min(room).clamp(bounds.0, bounds.1)
        });
        default(&mut v.accept_tokens, || {
            default_tokens(v.workers, v.own_loop)
        });
        default(&mut v.respawn_delay_max_ms, || {
            v.respawn_delay_ms.max(5_000)
        });
        if v.workers >= v.max_processes {
            return Err(Error::config(format!(
                "workers = {}: no room for them and the controller in max_processes = {}",
                v.workers, v.max_processes
            )));
        }
        if v.respawn_delay_ms > v.respawn_delay_max_ms {
            return Err(Error::config(format!(
                "respawn_delay = {} ms: above respawn_delay_max = {} ms",
                v.respawn_delay_ms, v.respawn_delay_max_ms
            )));
        }
        supervision::check(v)?;
        Console::of(v).check()?;
        let nofile = match v.rlimit_nofile {
            0 => machine.nofile,
            limit => limit.into(),
        };
        // How many listeners there are is known later; hardly a service has none.
        let room = Room {
            max_processes: v.max_processes,
            workers: v.workers,
            listeners: 1,
        };
        room.check(nofile)?;
        v.max_clients = room::clients(v.max_clients, v.max_processes, nofile)?;
        Ok(Self::from(values))
    }

    /// Keys that differ from `old` but take effect at a start only.
    pub(crate) fn changes(&self, old: &Self) -> Vec<&'static str> {
        let numbers = KEYS
            .iter()
            .filter(|key| key.fixed && (key.get)(&self.values) != (key.get)(&old.values))
            .map(|key| key.name);
        let texts = TEXT_KEYS
            .iter()
            .filter(|key| key.fixed && (key.get)(&self.values) != (key.get)(&old.values))
            .map(|key| key.name);
        numbers.chain(texts).collect()
    }
}

impl From<Settings> for Config {
    /// Of complete settings.
    fn from(v: Settings) -> Self {
        let ms = u64::from;
        let or_off = |value: u32| (value != DTM_OFF).then_some(u64::from(value));
        Self {
            name: v.name.clone().unwrap_or_else(|| "dtm".into()),
            workers: v.workers,
            max_processes: v.max_processes,
            accept_mode: AcceptMode::of_number(v.accept_mode).unwrap_or(AcceptMode::Auto),
            accept_tokens: v.accept_tokens,
            accept_busy: v.accept_load == DTM_LOAD_BUSY,
            accept_rotate: v.accept_pass == DTM_PASS_ROTATE,
            max_clients: v.max_clients,
            client_timeout: or_off(v.client_timeout_ms),
            watch_timeout: or_off(v.watch_timeout_ms),
            drain_timeout: or_off(v.drain_timeout_ms),
            kill_grace: ms(v.kill_grace_ms),
            start_timeout: or_off(v.start_timeout_ms),
            respawn_delay: ms(v.respawn_delay_ms),
            respawn_delay_max: ms(v.respawn_delay_max_ms),
            respawn_reset: ms(v.respawn_reset_ms),
            nofork_max: ms(v.nofork_max_ms),
            worker_tick: or_off(v.worker_tick_ms),
            controller_tick: or_off(v.controller_tick_ms),
            console: Console::of(&v),
            channel_queue: v.channel_queue as usize,
            store: v.store.clone(),
            store_timeout: v.store_timeout_ms,
            host: v.host.clone().unwrap_or_else(crate::sys::host_name),
            fleet_lease: v.fleet_lease_ms,
            fleet_unavailable: v.fleet_unavailable,
            signals: match v.signals {
                DTM_SIGNALS_DTM => SignalTable::Dtm,
                DTM_SIGNALS_GUNICORN => SignalTable::Gunicorn,
                DTM_SIGNALS_DTM_UPGRADE => SignalTable::DtmUpgrade,
                _ => SignalTable::Default,
            },
            orphan: if v.orphan == DTM_ORPHAN_EXIT {
                Orphan::Exit
            } else {
                Orphan::Drain
            },
            drain_idle: if v.drain_idle == DTM_IDLE_KEEP {
                DrainIdle::Keep
            } else {
                DrainIdle::Close
            },
            canary: (v.canary != DTM_OFF).then_some(v.canary),
            old_generations: v.old_generations,
            upgrade_timeout: ms(v.upgrade_timeout_ms),
            log: LogConfig {
                level: crate::log::filter(v.log_level),
                target: v
                    .log_target
                    .as_deref()
                    .and_then(Target::parse)
                    .unwrap_or(Target::Stderr),
            },
            supervision: Supervision::of(&v),
            daemon: Options::default(),
            values: v,
        }
    }
}

/// As many as blocked workers can be borne with, but no more than leave half of
/// the workers to choose from. In a loop of the service's own nobody sleeps for the
/// kernel: it wakes all who have a token, and the quickest would take the clients.
pub(crate) fn default_tokens(workers: u32, own_loop: bool) -> u32 {
    if own_loop {
        return 1;
    }
    (workers / 2).clamp(1, 8)
}

fn default(value: &mut u32, computed: impl FnOnce() -> u32) {
    if *value == 0 {
        *value = computed();
    }
}

#[cfg(test)]
mod tests;
