//! From dtm_run() to its return. flow: M8

use super::policy::Event;
use super::{Master, WAKE, prepare, upgrading};
use crate::daemon::pid_file::PidFile;
use crate::daemon::place::Place;
use crate::daemon::{detach, title};
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::runtime::{Change, Runtime, Stage};
use crate::shm::Count;
use crate::signal::{handler, mask};
use crate::upgrade::init;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What dtm_run() tells of a service that it could not start.
pub(crate) const NOT_STARTED: dtm_result_t = dtm_result_t {
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
    rt.check_threads()?;
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
    let mut master = prepare::prepare(rt, Change::Start)?;
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
        self.say_the_last();
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
}
