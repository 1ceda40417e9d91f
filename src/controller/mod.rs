//! The controller: brings workers up to date, answers operators, commands the
//! master. It acts only while it holds the control lock, which the master
//! grants to one process at a time and passes on only after that one's death.
//! flow: C1-C9, C13, L10

mod commands;
mod control;
mod leaving;
mod messages;
mod roster;
mod updates;

use crate::channel::{Attached, Frame, Kind};
use crate::child::{self, Child, DEADLINE, Duties, TICK};
use crate::config::Config;
use crate::console::{self, Console};
use crate::error::{Error, Result};
use crate::event::{Reactor, Setup};
use crate::ffi::*;
use crate::runtime::{Change, Process, Runtime};
use crate::shm::Doing;
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Retry of the listeners after the process ran out of descriptors, or the kernel of room.
const PAUSE: u32 = 6;
/// Questions of the console to workers are to be looked at.
const QUESTIONS: u32 = 7;
/// What a call of the store waits for has come: the pass that follows goes on with it.
const STORE: u32 = 8;
const CONTROL: u32 = 0x100;
const METRICS: u32 = 0x101;
/// + slot: the master end of that slot's channel has room again.
const WRITABLE: u32 = 0x1000;

pub(crate) struct Controller {
    pub(crate) rt: &'static Runtime,
    pub(crate) child: Child,
    /// The control lock is ours.
    granted: Cell<bool>,
    /// Counts the controllers that got it.
    epoch: Cell<u64>,
    pub(crate) roster: roster::Roster,
    updates: updates::Updates,
    pub(crate) commands: commands::Commands,
    console: Option<Box<Console>>,
    pub(crate) messages: messages::Messages,
    pub(crate) actions: Box<crate::action::Manager>,
    drain_began: Cell<bool>,
    done: Cell<Option<i32>>,
}

/// A controller's whole life, after birth. `ends`: the master ends of all
/// slots but its own. flow: C1
pub(crate) fn main(rt: &'static Runtime, child: Child, ends: Vec<Option<OwnedFd>>) -> i32 {
    match Controller::begin(rt, child, ends) {
        Ok(controller) => controller.live(),
        Err(error) => {
            ::log::error!("controller cannot start: {error}");
            DTM_EXIT_INIT
        }
    }
}

impl Controller {
    fn begin(
        rt: &'static Runtime,
        child: Child,
        ends: Vec<Option<OwnedFd>>,
    ) -> Result<&'static Controller> {
        let config = rt.config();
        let ready_made = rt.has_console();
        let setup = Setup {
            rt: rt.handle(),
            user_data: rt.user_data,
            open: if ready_made {
                console::OPEN
            } else {
                rt.callbacks.control_open
            },
            step: if ready_made {
                console::STEP
            } else {
                rt.callbacks.control_step
            },
            close: if ready_made {
                console::CLOSE
            } else {
                rt.callbacks.control_close
            },
            client_timeout_ms: DTM_OFF,
            watch_timeout_ms: config.watch_timeout.map_or(DTM_OFF, crate::sys::ms32),
            max_clients: config.max_clients,
            busy_counts: false,
        };
        let reactor = Reactor::new(crate::sys::epoll()?, setup)?;
        child.watch(&reactor)?;
        let slots = ends.len();
        let controller = Controller {
            rt,
            child,
            granted: Cell::new(false),
            epoch: Cell::new(0),
            roster: roster::Roster::new(),
            updates: updates::Updates::new(slots),
            commands: commands::Commands::default(),
            console: (ready_made || config.console.metrics.is_some())
                .then(|| Box::new(Console::new(rt.commands.borrow().clone()))),
            messages: messages::Messages::new(ends, config.channel_queue),
            actions: Box::new(crate::action::Manager::new()),
            drain_began: Cell::new(false),
            done: Cell::new(None),
        };
        rt.become_process(reactor, Process::Controller(controller))?;
        match rt.process() {
            Some(Process::Controller(controller)) => {
                let progress = controller.child.progress();
                controller.reactor().set_beat(progress.beat());
                controller.reactor().set_progress(progress);
                Ok(controller)
            }
            _ => Err(crate::error::Error::new(
                DTM_ESTATE,
                "this process is no controller",
            )),
        }
    }

    fn live(&'static self) -> i32 {
        crate::signal::mask::set(&self.child.mask);
        if let Some(init) = self.rt.callbacks.controller_init {
            // SAFETY: the service's function, with the arguments it declared.
            let code = self.child.calls(Doing::Init, || unsafe {
                init(self.rt.handle(), self.rt.user_data)
            });
            let code = crate::guard::verdict("controller_init", code);
            if code < 0 {
                ::log::error!("controller_init failed with {code}");
                return DTM_EXIT_INIT;
            }
        }
        self.child.initialised(self.rt);
        self.child.ready();
        while !self.pass() {}
        self.reactor().shutdown(DTM_CLOSE_SHUTDOWN);
        self.actions
            .close(!self.granted.get() || self.child.is_replaced());
        if let Some(exit) = self.rt.callbacks.controller_exit {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Exit, || unsafe {
                exit(self.rt.handle(), self.rt.user_data)
            });
        }
        self.done.get().unwrap_or(0)
    }

    pub(crate) fn reactor(&self) -> &'static Reactor {
        self.rt.reactor_or_exit()
    }

    /// The ready-made console, if that is what operators talk to.
    pub(crate) fn console(&self) -> Result<&Console> {
        let none = || Error::new(DTM_ESTATE, "the service has a console of its own");
        self.console.as_deref().ok_or_else(none)
    }

    pub(crate) fn config(&self) -> Rc<Config> {
        self.rt.config()
    }

    pub(crate) fn handle(&self) -> *mut dtm_t {
        self.rt.handle()
    }

    /// The service's counters, in the order of their registration.
    pub(crate) fn counter_names(&self) -> Vec<String> {
        self.rt.counters.borrow().clone()
    }

    /// One more of what this process counts for its successors, too.
    pub(crate) fn count(&self, gauge: crate::shm::Gauge) {
        self.child.gauges.add(gauge, 1);
    }

    /// One pass: events, then a fresh look at the workers, updates, the service.
    fn pass(&'static self) -> bool {
        let timeout = if self.actions.has_turns() { 0 } else { -1 };
        child::pass(self, self.reactor(), timeout);
        self.carry_on_leaving();
        let mut retry = None;
        if self.acting() {
            self.refresh();
            retry = self.run_updates();
        }
        // Also when it acts no more: what is under way is brought to its end.
        self.run_jobs();
        if self.acting()
            && let Some(pass) = self.rt.callbacks.controller_pass
        {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Pass, || unsafe {
                pass(self.rt.handle(), self.rt.user_data)
            });
        }
        let tick = self.rt.config().controller_tick.filter(|_| self.acting());
        let next = [retry, tick, self.next_jobs()].into_iter().flatten().min();
        self.reactor().own_timer(TICK, next);
        self.done.get().is_some()
    }

    /// The loop wakes up when this is readable.
    pub(crate) fn watch_store(&self, epoll: std::os::fd::RawFd) -> Result<()> {
        let input = libc::EPOLLIN.unsigned_abs();
        self.reactor().own_add(epoll, input, STORE)
    }

    /// Which of the controllers of this run it is: they count from 1.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Does it hold the control lock, and is not on its way out?
    pub(crate) fn acting(&self) -> bool {
        self.granted.get() && self.child.leaving().is_none()
    }

    /// The binary after this one acts, for good: here only the rest drains.
    pub(crate) fn is_replaced(&self) -> bool {
        let ends = || {
            let facts = self.child.shared.facts.read();
            facts.is_some_and(|facts| facts.is_ending())
        };
        self.epoch.get() > 0 && !self.granted.get() && ends()
    }

    fn own(&self, token: u32) {
        match token {
            DEADLINE => self.reactor().close_clients(DTM_CLOSE_DEADLINE),
            CONTROL => self.accept_operators(),
            METRICS => self.accept_scrapers(),
            PAUSE => self.listen_again(),
            QUESTIONS => self.see_to_questions(),
            slot if slot >= WRITABLE => self.flush(slot - WRITABLE),
            _ => {}
        }
    }

    fn incoming(&self, frame: &Frame<'_>, fds: &mut Attached) {
        match frame.head.kind {
            Kind::Open => self.grant(frame.head.arg),
            Kind::Suspend => self.suspend(),
            Kind::Reply => self.reply(frame),
            Kind::Answer => self.answer(frame.head.arg, 0, frame.payload),
            Kind::Refused => self.refused(frame),
            // Answers may be among what is read after this.
            Kind::TableChanged => self.look_at_questions(0),
            Kind::Clients => {
                if let Some(console) = &self.console {
                    let (spawn, question) = (frame.head.arg, frame.head.arg2);
                    console.hear_of_clients(self, spawn, question, frame.payload);
                }
            }
            Kind::Life => {
                if let Some(console) = &self.console {
                    console.hear_of_life(self, frame.payload);
                }
            }
            Kind::ConfigLoaded => self.load_config(fds.fds.pop()),
            Kind::ConfigReverted => self.revert_config(),
            other => ::log::warn!("the controller does not know message {other:?}: dropped"),
        }
    }

    pub(crate) fn look_at_questions(&self, after_ms: u64) {
        if self.console.as_ref().is_some_and(|c| c.has_questions()) {
            self.reactor().own_timer(QUESTIONS, Some(after_ms));
        }
    }

    fn see_to_questions(&self) {
        if let Some(console) = self.console.as_ref().filter(|c| c.has_questions()) {
            console.see_to_questions(self);
        }
    }

    /// The control lock is ours now.
    fn grant(&self, epoch: u64) {
        if self.granted.replace(true) {
            return;
        }
        self.epoch.set(epoch);
        // Another controller may have acted since we did.
        self.actions.drop_session();
        ::log::debug!("control lock granted, epoch {epoch}");
        self.listen_to_operators();
    }

    /// Another controller is to act: of the binary that replaces this one. Operators stay,
    /// they wait for an answer. Scrapers do not: what they draw is the other one's from now on.
    fn suspend(&self) {
        if self.granted.replace(false) {
            self.listen_to_nobody();
        }
        ::log::debug!("control lock let go");
        self.child.link.must_send(Kind::Suspended, 0, 0, &[]);
    }

    /// The master loaded a new configuration: so does the controller, by the
    /// same callback. It stays when the workers are replaced.
    /// `file`: the very one that the master has read; we may not be able to open it.
    fn load_config(&self, file: Option<OwnedFd>) {
        let file = file.map(std::fs::File::from);
        if let Err(error) = self.rt.load_config(file.as_ref(), Change::No, &|_| Ok(())) {
            ::log::error!(
                "the configuration that the master took fails here ({error}): restarting"
            );
            self.child.leave(
                crate::master::policy::Order::Drain,
                crate::child::Cause::Asked,
            );
        }
    }

    fn revert_config(&self) {
        self.rt.revert_config();
    }
}

impl Duties for Controller {
    fn rt(&self) -> &Runtime {
        self.rt
    }

    fn child(&self) -> &Child {
        &self.child
    }

    fn hear(&self, frame: &Frame<'_>, fds: &mut Attached) {
        self.incoming(frame, fds);
    }

    fn own(&self, token: u32) {
        self.own(token);
    }
}
