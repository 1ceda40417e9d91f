//! The master: listens, forks, supervises. [`policy`] decides, the rest of this
//! folder carries out. It sleeps in one place, until something happens.
//! flow: M8, M9

mod actions;
mod channels;
mod clock;
mod deaths;
mod facts;
mod forking;
mod looking;
mod notes;
mod own_loops;
mod passing;
pub(crate) mod policy;
mod prepare;
mod publish;
mod relisten;
mod reports;
mod requests;
mod telling;
mod upgrading;
mod usage;

pub(crate) use prepare::check;

use crate::channel::{Buffer, Kind, Outbox, Pair};
use crate::daemon::pid_file::PidFile;
use crate::daemon::place::Place;
use crate::daemon::strangers::Strangers;
use crate::daemon::{detach, title};
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::process::lifeline::Lifeline;
use crate::runtime::{Runtime, Shared, Stage};
use crate::shm::Count;
use crate::signal::handler::Wake;
use crate::signal::{handler, mask};
use crate::systemd::Manager;
use crate::upgrade::init;
use clock::Clock;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use policy::{Action, Event, Policy};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Event tokens; the slot is added.
const WAKE: u64 = 1;
const SENTINEL: u64 = 2;
/// The link to the binary that this one replaces; to the one that replaces it, whose
/// process has an event of its own.
const LAST: u64 = 3;
const NEXT: u64 = 4;
const NEXT_DEATH: u64 = 5;
/// The listener is added.
const PASS: u64 = 0x100;
const CHANNEL: u64 = 0x1_0000;
const DEATH: u64 = 0x2_0000;
const OWN_LOOP: u64 = 0x3_0000;
/// A number is added, for workers of the old binary have no slot here.
const ADOPTED: u64 = 0x4_0000;

/// Children without a pidfd are looked at this often; stolen signal handlers are
/// noticed whenever the loop runs, but not more often.
const SWEEP_MS: u64 = 1_000;

/// What a channel did not take is tried again this often.
const UNSENT_MS: u64 = 20;

/// A shortage of memory is told this often.
const SHORTAGE_MS: u64 = 1_000;

/// The accept queues are looked at this often while epoll has no room for the sentinel.
const BLIND_MS: u64 = 100;

pub(crate) struct Master {
    rt: &'static Runtime,
    shared: Rc<Shared>,
    policy: Policy,
    /// None in a child: both are the master's alone.
    epoll: Option<Epoll>,
    wake: Option<Wake>,
    mask: libc::sigset_t,
    lifeline: Option<Lifeline>,
    pairs: Vec<Pair>,
    /// Per slot: the pidfd of its child. None: no child, or no pidfds here.
    pidfds: Vec<Option<OwnedFd>>,
    /// Per slot: messages that the channel did not take yet.
    outboxes: Vec<Outbox>,
    buffer: Option<Buffer>,
    sequence: u64,
    lock_epoch: u64,
    events: VecDeque<Event>,
    clock: Clock,
    /// When the policy wants to hear of the time, as it said last, by its clock.
    decide_by: Option<u64>,
    /// There are children without a pidfd.
    lacks_pidfd: bool,
    rows: Vec<crate::shm::Row>,
    /// As it was published last.
    facts: crate::shm::Facts,
    /// Answers that are sent when the others can see what they say.
    replies: Vec<(policy::Asker, i32, String)>,
    looking: looking::Looking,
    reports: reports::Reports,
    banned: bool,
    /// When to look at the accept queues again.
    watchdog: Option<u64>,
    passing: crate::accept::Passing,
    /// Per listener: the master itself waits for clients there.
    watched: Vec<bool>,
    /// Listeners that a reload has removed.
    closing: Vec<relisten::Closing>,
    /// Out of descriptors: it accepts nothing until then.
    exhausted_until: Option<u64>,
    swept: u64,
    terminal: bool,
    /// The service manager, if it wants to be told.
    systemd: Option<Manager>,
    upgrade: upgrading::Upgrade,
    /// After an upgrade, the service manager was told of this process.
    introduced: bool,
    finish: Option<(bool, i32)>,
    /// Why the service did not come up, while somebody waited for it.
    start_failed: Option<String>,
    /// As process 1.
    strangers: Option<Strangers>,
    /// When it was last said that there is no memory.
    shortage_told: u64,
}

const NOT_STARTED: dtm_result_t = dtm_result_t {
    size: size_of::<dtm_result_t>(),
    reason: DTM_END_START_FAILED,
    signal: 0,
    forks: 0,
    deaths: 0,
    killed: 0,
    reloads: 0,
    failed_reloads: 0,
    late_clients: 0,
};

/// dtm_run(): everything, from the first fork to the last trace.
pub(crate) fn run(rt: &'static Runtime) -> (dtm_result_t, Result<()>) {
    let (result, outcome) = match begin(rt) {
        Ok((master, place)) => {
            let ended = master.live();
            drop(place);
            ended
        }
        Err(error) => (NOT_STARTED, Err(error)),
    };
    if let Some(waiting) = rt.waiting.take() {
        waiting.failed(match &outcome {
            Ok(()) => "the service was told to end before it was up",
            Err(error) => &error.text,
        });
    }
    title::end();
    rt.pid_file.take();
    // Nothing is left behind: no socket file, no fd, no handler.
    rt.close_listeners();
    rt.set_shared(None);
    rt.stage.set(Stage::Over);
    (result, outcome)
}

/// From here on it is this process that counts: it may be another one than the one that
/// called dtm_run(). What can fail without a trace comes first.
fn begin(rt: &'static Runtime) -> Result<(Master, Place)> {
    crate::process::fork::check_threads(rt.flags & DTM_F_ALLOW_THREADS != 0)?;
    let config = rt.config();
    let options = &config.daemon;
    let succeeds = rt.coming.borrow().is_some();
    if options.daemonize && !succeeds {
        rt.waiting.replace(Some(detach::detach(&config.name)?));
        rt.adopt_listeners();
    }
    if let Some(path) = &options.pid_file {
        let handed = rt
            .coming
            .borrow_mut()
            .as_mut()
            .and_then(|c| c.pid_file.take());
        rt.pid_file.replace(Some(match handed {
            Some(fd) => PidFile::take_over(path, fd)?,
            None => PidFile::take(path)?,
        }));
    }
    let place = Place::enter(options)?;
    let mut master = prepare::prepare(rt)?;
    if succeeds {
        upgrading::stand_by(rt, &mut master)?;
        master.upgrade = upgrading::Upgrade::of(rt.coming.take());
        master.systemd = None;
        master.unwatch(master.shared.schedule.sentinel_fd());
        master.watch_last()?;
    }
    if options.titles {
        title::begin();
        title::set(&format!("{}: master", config.name));
    }
    Ok((master, place))
}

impl Master {
    fn live(mut self) -> (dtm_result_t, Result<()>) {
        // Whatever happens inside, the children end, and the host's signals come back.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_loop()));
        let outcome = outcome.unwrap_or_else(|_| {
            let text = "internal error (panic) in libdtm's master: the service was stopped";
            Err(Error::new(DTM_EPANIC, text))
        });
        if let Err(error) = &outcome {
            ::log::error!("{error}: stopping all processes");
            self.stop_the_rest();
        }
        crate::MEMORY.arm(false);
        handler::restore(None);
        self.wake = None;
        mask::restore_host();
        let (fast, signal) = outcome.as_ref().copied().unwrap_or_default();
        self.report();
        let outcome = match &self.start_failed {
            Some(text) => Err(Error::new(DTM_EFAILED, text.clone())),
            None => outcome,
        };
        let counted = |count| self.policy.counts.get(count);
        let result = dtm_result_t {
            size: size_of::<dtm_result_t>(),
            reason: match outcome {
                Err(_) if self.start_failed.is_some() => DTM_END_START_FAILED,
                Err(_) => DTM_END_INTERNAL,
                Ok(_) if self.upgrade.successor().is_some() => DTM_END_UPGRADED,
                Ok(_) if fast => DTM_END_FAST,
                Ok(_) => DTM_END_GRACEFUL,
            },
            signal,
            forks: counted(Count::Forks),
            deaths: counted(Count::Deaths),
            killed: counted(Count::Killed),
            reloads: counted(Count::Reloads),
            failed_reloads: counted(Count::FailedReloads),
            late_clients: counted(Count::LateClients),
        };
        let outcome = outcome.map(|_| ());
        self.send_totals(true);
        match self.upgrade.into_link() {
            Some((pid, link)) if init::must_stay() => {
                ::log::info!("process 1 stays; pid {pid} serves");
                // Nothing of the service is to live on in here: a client that was passed on
                // would not see its connection end, nor the next binary's last word on an
                // address free it.
                drop((self.passing, self.pairs, self.epoll, self.shared));
                self.rt.close_listeners();
                self.rt.set_shared(None);
                let status = init::stay(pid, &link);
                (result, outcome.and_then(|()| upgrading::outcome_of(status)))
            }
            _ => (result, outcome),
        }
    }

    /// The loop, until the policy says that everything is over.
    fn run_loop(&mut self) -> Result<(bool, i32)> {
        self.take_signals()?;
        crate::answer::make_room();
        crate::MEMORY.arm(true);
        self.tell_start();
        self.events.push_back(Event::Begin);
        loop {
            self.turn();
            if let Some(finish) = self.finish {
                return Ok(finish);
            }
            // Before a sleep that nothing might end.
            if handler::take_suspicion() {
                Self::retake_signals();
            }
            self.sleep()?;
        }
    }

    fn report(&self) {
        let accept = self.shared.schedule.report(None);
        ::log::info!(
            "the service has ended: {} clients accepted, {} token moves, {} passed by the master, \
             {} empty wake-ups, {} failed accepts, {} rescues of waiting queues",
            accept.accepted,
            accept.moves,
            accept.passed,
            accept.empty,
            accept.errors,
            accept.rescues
        );
    }

    fn take_signals(&mut self) -> Result<()> {
        mask::save_host();
        mask::block_all();
        let wake = handler::own()?;
        handler::install(crate::signal::table::taken(DTM_ROLE_MASTER))?;
        self.mask = mask::open_for(crate::signal::table::taken(DTM_ROLE_MASTER));
        self.watch(wake.fd(), WAKE)?;
        self.wake = Some(wake);
        mask::set(&self.mask);
        Ok(())
    }

    fn watch(&self, fd: i32, token: u64) -> Result<()> {
        use crate::error::Context;
        // SAFETY: borrowed for this call only.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        self.poller()?
            .add(fd, event)
            .context("epoll_ctl in the master")
    }

    fn unwatch(&self, fd: i32) {
        // SAFETY: borrowed for this call only.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let _ = self.poller().map(|epoll| epoll.delete(fd));
    }

    fn poller(&self) -> Result<&Epoll> {
        self.epoll
            .as_ref()
            .ok_or_else(|| Error::new(DTM_ESTATE, "this is not the master any more"))
    }

    /// Decide and act until nothing follows, then show the others.
    ///
    /// Most wake-ups are about clients that wait or are passed on: those are no
    /// matter of the policy, which looks at every slot.
    fn turn(&mut self) {
        self.look_at_ban();
        let mut due = self.now() >= self.decide_by.unwrap_or(u64::MAX);
        // How it stands may lead to the next step of an upgrade.
        while due || !self.events.is_empty() {
            due = false;
            self.events.push_back(Event::Tick);
            self.decide();
            self.decide_by = self.policy.next_deadline();
            self.lacks_pidfd = self.needs_sweep();
            self.publish();
            self.tell_standing();
            self.advance_upgrade();
            self.bequeath();
            self.tell_who_waits();
            self.publish_facts();
            for (asker, code, text) in std::mem::take(&mut self.replies) {
                self.reply(asker, code, &text);
            }
        }
        self.retry_unsent();
        self.retry_passing();
        self.tell_of_shortage();
    }

    fn tell_of_shortage(&mut self) {
        let now = crate::sys::now_ms();
        if now < self.shortage_told + SHORTAGE_MS {
            return;
        }
        let lent = crate::MEMORY.take_lent();
        if lent > 0 {
            ::log::warn!("no memory: {lent} requests were met from the master's reserve");
            self.shortage_told = now;
        }
    }

    /// The first generation serves: whoever started us may go.
    fn tell_who_waits(&mut self) {
        let waits = self.rt.waiting.borrow().is_some() && self.start_failed.is_none();
        if waits
            && self.policy.serves()
            && let Some(waiting) = self.rt.waiting.take()
        {
            waiting.ready();
        }
    }

    fn decide(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let mut actions: Vec<Action> = Vec::new();
            let now = self.now();
            self.policy.step(event, now, &mut actions);
            for action in actions {
                self.act(action);
            }
            // It may have been the death of the controller that forbade forking.
            self.look_at_ban();
        }
    }

    /// flow: M9: no polling: until an event, or the next deadline.
    fn sleep(&mut self) -> Result<()> {
        let now = crate::sys::now_ms();
        let deadline = self.decide_by.is_some() || self.adopted_deadline().is_some();
        let wait = Clock::wait(now, self.next_deadline(now), deadline);
        self.note_time(Some(0));
        let timeout = match wait {
            None => EpollTimeout::NONE,
            Some(ms) => EpollTimeout::try_from(ms.min(3_600_000)).unwrap_or(EpollTimeout::MAX),
        };
        let mut ready = [EpollEvent::empty(); 64];
        mask::set(&self.mask);
        let n = match self.poller()?.wait(&mut ready, timeout) {
            Ok(n) => n,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(Error::os(errno, "epoll_wait in the master")),
        };
        self.note_time(wait);
        // What a child said comes before its death. flow: L6
        for event in &ready[..n] {
            self.dispatch(event.data(), false);
        }
        for event in &ready[..n] {
            self.dispatch(event.data(), true);
        }
        self.sweep();
        if let Some(manager) = &mut self.systemd {
            manager.tick();
        }
        self.run_looks();
        self.upgrade_tick();
        self.run_watchdog();
        self.tend_closing();
        Ok(())
    }

    fn dispatch(&mut self, token: u64, deaths: bool) {
        let slot = usize::try_from(token & 0xffff).unwrap_or(usize::MAX);
        match (token & !0xffff, deaths) {
            (DEATH, true) => self.look_at(slot),
            (ADOPTED, true) => self.look_at_adopted(token),
            (0, false) if token == LAST => self.hear_last(),
            (0, false) if token == NEXT => self.hear_next(),
            (0, true) if token == NEXT_DEATH => self.look_at_next(),
            (CHANNEL, false) => self.read_channel(slot),
            (OWN_LOOP, false) => self.begin_to_look(),
            (0, false) if token == WAKE => self.signals(),
            (0, false) if token == SENTINEL => self.queue_waits(),
            (0, false) if token >= PASS => self.pass_clients(slot - 0x100),
            _ => {}
        }
    }

    /// By the policy's clock.
    fn now(&mut self) -> u64 {
        self.note_time(Some(0));
        self.clock.time()
    }

    fn note_time(&mut self, waited: Option<u64>) {
        let lost = self.clock.mark(crate::sys::now_ms(), waited);
        if lost > 0 {
            ::log::warn!("the master stood still for {lost} ms: that does not count for timeouts");
        }
    }

    fn next_deadline(&self, now: u64) -> Option<u64> {
        let sweep = self.lacks_pidfd.then_some(self.swept + SWEEP_MS);
        // Not only a full channel: the kernel may have lacked memory, and does not tell when
        // it has some again.
        let retry = self.has_unsent().then_some(now + UNSENT_MS);
        let ban = self.ban_ends();
        [
            self.decide_by.map(|at| self.clock.when(at)),
            sweep,
            retry,
            ban,
            self.watchdog,
            self.systemd.as_ref().and_then(Manager::next),
            self.looking.due(),
            self.upgrade_deadline(),
            self.passing_deadline(now),
            self.closing_deadline(),
            self.shared.schedule.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// An accept queue waits although workers stand armed: they are all busy.
    fn queue_waits(&mut self) {
        self.unwatch(self.shared.schedule.sentinel_fd());
        self.watchdog = Some(crate::sys::now_ms());
    }

    /// Something changed for those who wait: if the queues are to be looked at
    /// again, then now.
    fn look_sooner(&mut self) {
        self.watchdog = self.watchdog.map(|_| 0);
    }

    fn run_watchdog(&mut self) {
        if self.shared.schedule.stands_by() {
            self.watchdog = None;
            return;
        }
        let now = crate::sys::now_ms();
        if self.watchdog.is_none_or(|at| at > now) {
            return self.shared.schedule.check(now);
        }
        let look = self.shared.schedule.on_sentinel(now);
        for door in look.take {
            if !self.exhausted() {
                self.take_from(door);
            }
        }
        for slot in look.nudge {
            self.tell(slot, Kind::Nudge, 0);
        }
        self.watchdog = look.again.map(|ms| now + ms);
        if self.watchdog.is_none()
            && let Err(error) = self.watch(self.shared.schedule.sentinel_fd(), SENTINEL)
        {
            ::log::warn!("{error}: looking at the accept queues every {BLIND_MS} ms instead");
            self.watchdog = Some(now + BLIND_MS);
        }
    }
}
