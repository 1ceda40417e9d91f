//! The runtime object behind `dtm_t`: what dtm_new() checked, what dtm_listen()
//! opened, and, in a child, the process that this is.

mod inheritance;
mod listening;
mod management;

use crate::config::{Config, Settings};
use crate::controller::Controller;
use crate::daemon::detach::Waiting;
use crate::daemon::pid_file::PidFile;
use crate::error::{Error, Result};
use crate::event::Reactor;
use crate::ffi::*;
use crate::func::{Func, Helper};
use crate::guard::{timed, verdict};
use crate::net::{Inherited, Listener, Listeners};
use crate::upgrade::coming::Coming;
use crate::upgrade::start::Start;
use crate::worker::Worker;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{CString, c_void};
use std::fs::File;
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
    /// What was in force before a reload that is not decided yet.
    /// The configuration before this one, and the log level that an operator
    /// has set, until it is
    /// certain which one stays.
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

    // ---- configuration ------------------------------------------------------

    /// Read the file again, `check` it, ask the service, and only then take it over. The
    /// last one is kept until keep_config() or revert_config().
    pub(crate) fn load_config(
        &self,
        opened: Option<&File>,
        change: Change,
        check: &dyn Fn(&Config) -> Result<()>,
    ) -> Result<()> {
        let (fresh, ignored) = Config::reload(&self.settings, &self.config(), opened)?;
        check(&fresh)?;
        self.ask_service(change)?;
        if change != Change::No
            && let Err(error) = self.check_threads()
        {
            self.ask_to_revert();
            return Err(error);
        }
        let old = self.config.replace(Rc::new(fresh));
        let level = self.log_level.replace(0);
        for key in ignored {
            ::log::warn!("configuration: {key} cannot change while the service runs: ignored");
        }
        self.previous.replace(Some((old, level)));
        self.renew_log();
        Ok(())
    }

    pub(crate) fn open_config_file(&self) -> Result<Option<File>> {
        let path = self.settings.config_file.as_deref();
        path.map(crate::config::open_file).transpose()
    }

    /// The service's own configuration callback.
    pub(crate) fn ask_service(&self, change: Change) -> Result<()> {
        let Some(load) = self.callbacks.config_load else {
            return Ok(());
        };
        let path = self
            .settings
            .config_file
            .as_deref()
            .map(CString::new)
            .and_then(|p| p.ok());
        let path_ptr = path.as_ref().map_or(std::ptr::null(), |p| p.as_ptr());
        self.listen_error.take();
        self.change.set(change);
        // SAFETY: the service's function; the path lives during the call.
        let code = timed("config_load", || unsafe {
            load(self.handle(), path_ptr, self.user_data)
        });
        let code = verdict("config_load", code);
        self.change.set(Change::No);
        if code < 0 {
            let name = crate::error::name(code).to_string_lossy();
            let why = match self.listen_error.take() {
                Some(why) => format!(": {why}"),
                None => String::new(),
            };
            let text = format!("the service's config_load failed with {code} ({name}){why}");
            return Err(Error::new(DTM_ECONFIG, text));
        }
        Ok(())
    }

    /// The log level that every process is to have again, if an operator has set another one.
    pub(crate) fn keep_config(&self) -> Option<u32> {
        let (_, set) = self.previous.take()?;
        let again = set != 0 && self.log_level.get() == 0;
        again.then(|| crate::log::number(self.config().log.level))
    }

    pub(crate) fn revert_config(&self) {
        let Some((previous, level)) = self.previous.take() else {
            return;
        };
        self.config.replace(previous);
        if self.log_level.get() == 0 {
            self.log_level.set(level);
        }
        self.ask_to_revert();
        self.renew_log();
    }

    fn ask_to_revert(&self) {
        if let Some(revert) = self.callbacks.config_revert {
            // SAFETY: the service's function, with the arguments it declared.
            timed("config_revert", || unsafe {
                revert(self.handle(), self.user_data);
            });
        }
    }

    /// The configuration has changed; the log's target only if another one is open, as a
    /// child may not open it any more.
    fn renew_log(&self) {
        let config = self.config();
        ::log::set_max_level(match self.log_level.get() {
            0 => config.log.level,
            set => crate::log::filter(set),
        });
        if !crate::log::leads_to(&config.log.target)
            && let Err(error) = self.setup_log()
        {
            ::log::error!("configuration: log_target: {error}: the old one stays");
        }
    }

    /// Somebody moved the log away; or the wanted one could not be opened before.
    pub(crate) fn reopen_log(&self) -> Result<()> {
        match crate::log::leads_to(&self.config().log.target) {
            true => crate::log::reopen(),
            false => self.setup_log(),
        }
    }

    /// Open the log anew: other target, other process. flow: L9
    pub(crate) fn setup_log(&self) -> Result<()> {
        let config = self.config();
        crate::log::setup(
            &config.log,
            self.callbacks.log,
            self.user_data,
            &config.name,
        )?;
        if self.log_level.get() != 0 {
            ::log::set_max_level(crate::log::filter(self.log_level.get()));
        }
        Ok(())
    }

    /// Until a configuration is loaded.
    pub(crate) fn set_log_level(&self, level: u32) {
        self.log_level.set(level);
        ::log::set_max_level(crate::log::filter(level));
    }

    // ---- processes ----------------------------------------------------------

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
