//! Everything that can fail is done before the first fork, and can be undone.
//! flow: M1-M5

use super::policy::{FuncSpec, Policy, Settings};
use super::{CHANNEL, Master, SENTINEL};
use crate::accept::Schedule;
use crate::channel::{Outbox, Pair};
use crate::config::{Config, Room};
use crate::daemon::pid_file;
use crate::daemon::place::Place;
use crate::daemon::strangers::Strangers;
use crate::error::{Context, Error, Result};
use crate::ffi::*;
use crate::process::lifeline::Lifeline;
use crate::runtime::{Change, Runtime, Shared};
use crate::shm::{AdoptedBlock, Ban, Board, FactsBlock, LastWords, Locks, Table};
use crate::signal::mask;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent};
use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// What epoll may report of a slot: its channel, its process's death, its own loop, and a
/// worker of the old binary.
const EACH: usize = 4;
/// And what else: each listener, signals, the sentinel, three of an upgrade.
const OTHERS: usize = DTM_LISTENERS_MAX as usize + 5;

/// dtm_check(): would it start?
pub(crate) fn check(rt: &'static Runtime) -> Result<()> {
    let config = rt.config();
    let options = &config.daemon;
    let place = Place::enter(options)?;
    let pid_file = options.pid_file.as_deref().map_or(Ok(()), pid_file::check);
    let prepared = pid_file.and_then(|()| prepare(rt, Change::Check).map(drop));
    drop(place);
    rt.close_metrics();
    rt.set_shared(None);
    rt.revert_listeners(0);
    prepared
}

/// `change`: is it meant, or only a check?
pub(super) fn prepare(rt: &'static Runtime, change: Change) -> Result<Master> {
    rt.check_threads()?;
    let _ = rt.run_name();
    rt.ask_service(change)?;
    rt.check_threads()?;
    let config = rt.config();
    if let Some(uri) = &config.store {
        crate::store::check(uri, &rt.registered.plugins.borrow())?;
    }
    let settings = settings(&config, rt);
    let slots = usize::try_from(config.max_processes).unwrap_or(0);
    check_room(&settings, slots)?;
    check_descriptors(&config, rt)?;
    rt.open_metrics()?;

    let sockets = rt.sockets();
    let own_loops = rt.callbacks.worker_main.is_some();
    let schedule = Schedule::new(slots, &sockets, own_loops)?;
    if rt.coming.borrow().is_some() {
        schedule.stand_by();
    }
    let mode = schedule.check_mode(config.accept_mode)?;
    schedule.set_tokens(config.accept_tokens);
    schedule.set_mode(config.accept_mode)?;
    let board = Board::new(slots)?;
    let shared = Rc::new(Shared {
        table: Table::new(slots)?,
        facts: FactsBlock::new()?,
        adopted: AdoptedBlock::new(slots)?,
        ban: Ban::new(config.nofork_max)?,
        progress: board.progress(),
        board,
        reports: crate::report::Ring::new()?,
        schedule,
        locks: Locks::new(rt.locks.names())?,
        words: LastWords::new(slots)?,
    });
    let pairs = (0..slots)
        .map(|_| Pair::new())
        .collect::<Result<Vec<_>>>()?;
    let master = Master {
        rt,
        policy: Policy::new(settings, slots),
        epoll: Some(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?),
        ready: vec![EpollEvent::empty(); EACH * slots + OTHERS],
        wake: None,
        mask: mask::empty(),
        lifeline: Some(Lifeline::new()?),
        pairs,
        pidfds: (0..slots).map(|_| None).collect(),
        outboxes: (0..slots)
            .map(|_| Outbox::new(config.channel_queue))
            .collect(),
        buffer: Some(crate::channel::Buffer::new()),
        sequence: 0,
        lock_epoch: 0,
        events: VecDeque::new(),
        clock: super::clock::Clock::new(crate::sys::now_ms()),
        heard: super::clock::Heard::default(),
        decide_by: None,
        lacks_pidfd: false,
        rows: Vec::new(),
        facts: super::facts::at_start(),
        replies: Vec::new(),
        looking: super::looking::Looking::new(slots),
        reports: super::reports::Reports::new(slots),
        banned: false,
        overrides: super::overrides::Overrides::none(&config),
        watchdog: None,
        passing: crate::accept::Passing::new(slots),
        watched: vec![false; usize::try_from(DTM_LISTENERS_MAX).unwrap_or(0)],
        closing: Vec::new(),
        unshown: Vec::new(),
        exhausted_until: None,
        swept: crate::sys::now_ms(),
        // SAFETY: a plain query about standard input.
        terminal: unsafe { libc::isatty(0) } == 1,
        upgrade: super::upgrading::Upgrade::default(),
        introduced: false,
        finish: None,
        systemd: crate::systemd::Manager::from_environment(),
        start_failed: None,
        strangers: Strangers::expected(),
        lost_on_the_way_up: 0,
        loss_told: 0,
        shortage_told: 0,
        shared: Rc::clone(&shared),
    };
    for (slot, pair) in (0u64..).zip(&master.pairs) {
        master.watch(pair.master.as_raw_fd(), CHANNEL + slot)?;
    }
    master.watch(shared.schedule.sentinel_fd(), SENTINEL)?;
    rt.set_shared(Some(shared));
    ::log::info!(
        "{} {} starts: {} workers, accept schedule {mode}, listening on {}, {slots} slots",
        config.name,
        env!("CARGO_PKG_VERSION"),
        config.workers,
        rt.addresses()
    );
    Ok(master)
}

/// What the policy needs of a configuration.
pub(super) fn settings(config: &Config, rt: &Runtime) -> Settings {
    let spec = |f: &crate::func::Func| FuncSpec {
        count: f.count,
        restart: f.restart,
        after_open: f.after_open,
        interval: f.interval,
    };
    Settings {
        workers: config.workers,
        funcs: rt.funcs.borrow().iter().map(spec).collect(),
        drain_ms: config.drain_timeout,
        grace_ms: config.kill_grace,
        start_ms: config.start_timeout,
        respawn_ms: config.respawn_delay,
        respawn_max_ms: config.respawn_delay_max,
        respawn_reset_ms: config.respawn_reset,
        budget: config.supervision.respawn_budget,
        window_ms: config.supervision.respawn_window,
        recycle: config.supervision.recycle,
        scale: config.supervision.scale,
        canary: config.canary,
        old_generations: config.old_generations,
    }
}

fn check_room(settings: &Settings, slots: usize) -> Result<()> {
    let helpers: u32 = settings.funcs.iter().map(|f| f.count).sum();
    let needed = u64::from(settings.workers) + u64::from(helpers) + 1;
    if needed > u64::try_from(slots).unwrap_or(0) {
        return Err(Error::config(format!(
            "max_processes = {slots} is too small: {} workers, {helpers} funcs and the controller \
             need {needed} slots (a reload needs room for both generations)",
            settings.workers
        )));
    }
    Ok(())
}

/// Said now, not in the middle. B10
fn check_descriptors(config: &Config, rt: &Runtime) -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit};
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    let room = Room {
        max_processes: config.max_processes,
        workers: config.workers,
        listeners: rt.listener_count(),
    };
    room.check(soft)
}
