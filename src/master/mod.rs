//! The master: listens, forks, supervises. [`policy`] decides, the rest of this
//! folder carries out. It sleeps in one place, until something happens.
//! flow: M8, M9

mod actions;
mod channels;
mod clock;
mod deaths;
mod facts;
mod forking;
mod life;
mod looking;
mod notes;
mod overrides;
mod own_loops;
mod passing;
pub(crate) mod policy;
mod prepare;
mod publish;
mod relisten;
mod reports;
mod requests;
mod saying;
mod telling;
mod upgrading;
mod usage;
mod watchdog;

pub(crate) use life::{NOT_STARTED, run};
pub(crate) use prepare::check;

use crate::channel::{AT_ONCE, Buffer, Outbox, Pair};
use crate::daemon::strangers::Strangers;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::process::lifeline::Lifeline;
use crate::runtime::{Runtime, Shared};
use crate::signal::handler::Wake;
use crate::signal::mask;
use crate::systemd::Manager;
use clock::{Clock, Heard};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use policy::{Action, Event, Policy};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
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

pub(crate) struct Master {
    rt: &'static Runtime,
    shared: Rc<Shared>,
    policy: Policy,
    /// None in a child: both are the master's alone.
    epoll: Option<Epoll>,
    /// Room for all that may be reported at once: nobody is judged before everybody was heard.
    ready: Vec<EpollEvent>,
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
    heard: Heard,
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
    overrides: overrides::Overrides,
    /// When to look at the accept queues again.
    watchdog: Option<u64>,
    passing: crate::accept::Passing,
    /// Per listener: the master itself waits for clients there.
    watched: Vec<bool>,
    /// Listeners that a reload has removed.
    closing: Vec<relisten::Closing>,
    /// What the reload in progress could not have of its listeners, and why.
    unshown: Vec<String>,
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
    /// Of workers to the controller, since that was last said, and when that was.
    lost_on_the_way_up: u64,
    loss_told: u64,
    /// When it was last said that there is no memory.
    shortage_told: u64,
}

impl Master {
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

    /// Decide and act until nothing follows, then show the others. Deadlines come last, with
    /// the tick: what was said in time counts, also when the master hears of it late.
    ///
    /// Most wake-ups are about clients that wait or are passed on: those are no
    /// matter of the policy, which looks at every slot.
    fn turn(&mut self) {
        self.look_at_ban();
        let heard = self.heard.until().policy;
        let mut due = heard >= self.decide_by.unwrap_or(u64::MAX);
        // How it stands may lead to the next step of an upgrade.
        while due || !self.events.is_empty() {
            due = false;
            self.events.push_back(Event::Tick { heard });
            self.decide();
            self.decide_by = self.policy.next_deadline();
            self.lacks_pidfd = self.needs_sweep();
            self.publish_all();
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
            if let Event::Died { slot, spawn, .. } = event {
                self.retire_again(slot, spawn);
            }
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
        let deadline = self.decide_by.is_some() || self.adopted_deadline().is_some();
        let due = self.next_deadline(crate::sys::now_ms());
        let mut ready = std::mem::take(&mut self.ready);
        mask::set(&self.mask);
        let (n, asked) = loop {
            let now = crate::sys::now_ms();
            let queues = self.shared.schedule.next_deadline();
            let wake = [due, self.watchdog, queues].into_iter().flatten().min();
            let wait = Clock::wait(now, wake, deadline);
            self.note_time(Some(0));
            let asked = self.clock.moment();
            let timeout = match wait {
                None => EpollTimeout::NONE,
                Some(ms) => EpollTimeout::try_from(ms.min(3_600_000)).unwrap_or(EpollTimeout::MAX),
            };
            let n = self.poller()?.wait(&mut ready, timeout);
            self.note_time(wait);
            match n {
                Ok(0) if self.may_sleep_on(due) => {}
                Ok(n) => break (n, Some(asked)),
                Err(nix::errno::Errno::EINTR) => break (0, None),
                Err(errno) => return Err(Error::os(errno, "epoll_wait in the master")),
            }
        };
        // What a child said comes before its death. flow: L6
        for event in &ready[..n] {
            self.dispatch(event.data(), false);
        }
        for event in &ready[..n] {
            self.dispatch(event.data(), true);
        }
        self.ready = ready;
        self.heard.note(asked);
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
            (CHANNEL, false) => self.read_channel(slot, AT_ONCE),
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

    /// But for that of the accept queues.
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
            self.systemd.as_ref().and_then(Manager::next),
            self.looking.due(),
            self.upgrade_deadline(),
            self.passing_deadline(now),
            self.closing_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
