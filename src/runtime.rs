//! The runtime object behind `dtm_t`: what dtm_new() checked, what dtm_listen()
//! opened, and, in a child, the process that this is.

mod inheritance;
mod listening;
mod loading;
mod management;

use crate::config::{Config, Settings};
use crate::controller::Controller;
use crate::daemon::detach::Waiting;
use crate::daemon::pid_file::PidFile;
use crate::error::{Error, Result};
use crate::event::Reactor;
use crate::ffi::*;
use crate::func::{Func, Helper};
use crate::net::{Inherited, Listener, Listeners};
use crate::upgrade::coming::Coming;
use crate::upgrade::start::Start;
use crate::worker::Worker;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::rc::Rc;

pub(crate) use listening::Change;

/// How far dtm_run() is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Fresh,
    Running,
    Over,
}

/// Which child this process is.
pub(crate) enum Process {
    Worker(Worker),
    Controller(Controller),
    Func(Helper),
}

/// The shared memory and the accept schedule: made by dtm_run() before any fork.
pub(crate) struct Shared {
    pub(crate) table: crate::shm::Table,
    pub(crate) facts: crate::shm::FactsBlock,
    pub(crate) adopted: crate::shm::AdoptedBlock,
    pub(crate) ban: crate::shm::Ban,
    pub(crate) board: crate::shm::Board,
    pub(crate) progress: crate::shm::ProgressTable,
    pub(crate) reports: crate::report::Ring,
    pub(crate) schedule: crate::accept::Schedule,
    pub(crate) locks: crate::shm::Locks,
    pub(crate) words: crate::shm::LastWords,
}

pub(crate) struct Runtime {
    settings: Settings,
    config: RefCell<Rc<Config>>,
    /// The configuration before this one, and the log level that an operator had set, until
    /// it is certain which one stays.
    previous: RefCell<Option<(Rc<Config>, u32)>>,
    pub(crate) flags: u64,
    pub(crate) callbacks: dtm_callbacks_t,
    pub(crate) user_data: *mut c_void,
    listeners: RefCell<Listeners>,
    /// What a call of dtm_listen() means now.
    change: Cell<Change>,
    /// Why it failed last, in the `config_load` that runs.
    listen_error: RefCell<Option<String>>,
    control: RefCell<Option<Listener>>,
    metrics: RefCell<Option<Listener>>,
    /// Sockets that were open before this program began.
    pub(crate) inherited: Inherited,
    start: OnceCell<Start>,
    /// The binary that this one is to replace.
    pub(crate) coming: RefCell<Option<Coming>>,
    pub(crate) funcs: RefCell<Vec<Func>>,
    pub(crate) registered: crate::action::Registered,
    /// A name that no other run has, for the store's fence. An upgrade goes on with it.
    run_name: OnceCell<String>,
    pub(crate) counters: RefCell<Vec<String>>,
    /// Console commands of the service's own.
    pub(crate) commands: RefCell<Vec<crate::console::Registered>>,
    /// DTM_CMD_LOG_LEVEL; children forked later have it, too. 0: as configured.
    log_level: Cell<u32>,
    pub(crate) locks: crate::ffi::lock::Registered,
    pub(crate) stage: Cell<Stage>,
    shared: RefCell<Option<Rc<Shared>>>,
    /// The master's while it runs.
    pub(crate) pid_file: RefCell<Option<PidFile>>,
    /// Somebody waits to hear that the service is up.
    pub(crate) waiting: RefCell<Option<Waiting>>,
    reactor: OnceCell<Reactor>,
    process: OnceCell<Process>,
}

impl Runtime {
    pub(crate) fn new(
        settings: Settings,
        config: Config,
        callbacks: dtm_callbacks_t,
        user_data: *mut c_void,
    ) -> Self {
        Self {
            flags: settings.flags,
            settings,
            config: RefCell::new(Rc::new(config)),
            previous: RefCell::new(None),
            callbacks,
            user_data,
            listeners: RefCell::default(),
            change: Cell::new(Change::No),
            listen_error: RefCell::default(),
            control: RefCell::default(),
            metrics: RefCell::default(),
            inherited: Inherited::from_systemd(),
            start: OnceCell::new(),
            coming: RefCell::default(),
            funcs: RefCell::default(),
            registered: crate::action::Registered::default(),
            run_name: OnceCell::new(),
            counters: RefCell::default(),
            commands: RefCell::default(),
            log_level: Cell::new(0),
            locks: crate::ffi::lock::Registered::new(),
            stage: Cell::new(Stage::Fresh),
            shared: RefCell::default(),
            pid_file: RefCell::default(),
            waiting: RefCell::default(),
            reactor: OnceCell::new(),
            process: OnceCell::new(),
        }
    }

    /// Note how this program was started; take what its predecessor hands over.
    pub(crate) fn note_start(&self) -> Result<()> {
        let _ = self.start.set(Start::note()?);
        let coming = Coming::from_environment(&self.inherited)?;
        if let Some((name, _)) = coming.as_ref().and_then(|c| c.run.as_ref()) {
            let _ = self.run_name.set(name.clone());
        }
        self.coming.replace(coming);
        Ok(())
    }

    /// Asked for before the first fork, so that all processes have the same.
    pub(crate) fn run_name(&self) -> &str {
        self.run_name.get_or_init(crate::action::unique)
    }

    pub(crate) fn start(&self) -> &Start {
        match self.start.get() {
            Some(start) => start,
            // dtm_new() has noted it.
            None => crate::process::exit_now(DTM_EXIT_BROKEN),
        }
    }

    /// The address that C knows us by.
    pub(crate) fn handle(&self) -> *mut dtm_t {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// The file that the settings come from.
    pub(crate) fn config_file(&self) -> Option<&str> {
        self.settings.config_file.as_deref()
    }

    pub(crate) fn config(&self) -> Rc<Config> {
        Rc::clone(&self.config.borrow())
    }

    /// Only before dtm_run().
    pub(crate) fn check_fresh(&self) -> Result<()> {
        if self.stage.get() == Stage::Fresh {
            return Ok(());
        }
        Err(Error::new(DTM_ESTATE, "too late: dtm_run() was called"))
    }

    /// Only one that forks has to be alone.
    pub(crate) fn check_threads(&self) -> Result<()> {
        crate::process::fork::check_threads(self.flags & DTM_F_ALLOW_THREADS != 0)
    }

    pub(crate) fn set_shared(&self, shared: Option<Rc<Shared>>) {
        self.shared.replace(shared);
    }

    pub(crate) fn shared(&self) -> Result<Rc<Shared>> {
        let shared = self.shared.borrow().clone();
        shared.ok_or_else(|| Error::new(DTM_ESTATE, "too early: dtm_run() has not begun to fork"))
    }

    /// In a child: this is who we are from now on.
    pub(crate) fn become_process(&self, reactor: Reactor, process: Process) -> Result<()> {
        let again = || Error::new(DTM_ESTATE, "this process is a child already");
        self.reactor.set(reactor).map_err(|_| again())?;
        self.process.set(process).map_err(|_| again())
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.get()
    }

    pub(crate) fn reactor(&self) -> Option<&Reactor> {
        self.reactor.get()
    }

    /// Clients or load of this worker may have changed. After a pass the others are told
    /// anyway; a loop of the service's own may sleep for long before the next.
    pub(crate) fn tell_others(&self) {
        if let (Some(Process::Worker(worker)), Some(reactor)) = (self.process.get(), self.reactor())
            && reactor.is_between_passes()
        {
            worker.tell_others();
        }
    }

    /// Its loop; only called by a child about itself.
    pub(crate) fn reactor_or_exit(&self) -> &Reactor {
        match self.reactor.get() {
            Some(reactor) => reactor,
            None => crate::process::exit_now(DTM_EXIT_BROKEN),
        }
    }

    pub(crate) fn child(&self) -> Option<&crate::child::Child> {
        Some(match self.process.get()? {
            Process::Worker(worker) => &worker.child,
            Process::Controller(controller) => &controller.child,
            Process::Func(helper) => &helper.child,
        })
    }

    pub(crate) fn controller(&self) -> Result<&Controller> {
        match self.process.get() {
            Some(Process::Controller(controller)) => Ok(controller),
            _ => Err(Error::new(DTM_EROLE, "only the controller may do this")),
        }
    }

    pub(crate) fn worker(&self) -> Result<&Worker> {
        match self.process.get() {
            Some(Process::Worker(worker)) => Ok(worker),
            _ => Err(Error::new(DTM_EROLE, "only a worker may do this")),
        }
    }
}

impl Shared {
    /// In a child: what only others write becomes read-only here.
    pub(crate) fn narrow(&self, role: u32) {
        let table = self
            .table
            .make_read_only()
            .and(self.facts.make_read_only())
            .and(self.adopted.make_read_only())
            .and(self.schedule.make_read_only())
            .and(self.reports.make_read_only());
        let ban = if role == DTM_ROLE_CONTROLLER {
            Ok(())
        } else {
            self.ban.make_read_only()
        };
        if let Err(error) = table.and(ban) {
            ::log::error!("shared memory: {error}");
            crate::process::exit_now(DTM_EXIT_BROKEN);
        }
    }
}
