//! Loading a configuration, and taking it back; and the log, which follows it.

use super::{Change, Runtime};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard::{timed, verdict};
use std::ffi::CString;
use std::fs::File;
use std::rc::Rc;

impl Runtime {
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
}
