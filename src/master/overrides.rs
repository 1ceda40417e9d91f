//! What operators have set on the running service, whatever the configuration says: it holds
//! until one is loaded, and again if that one is taken back.

use super::Master;
use crate::accept::Switched;
use crate::channel::Kind;
use crate::config::{AcceptMode, Config};
use crate::error::{Error, Result};
use crate::ffi::*;

/// How clients are accepted, as far as operators can say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accept {
    mode: AcceptMode,
    tokens: u32,
}

impl Accept {
    fn of(config: &Config) -> Self {
        Self {
            mode: config.accept_mode,
            tokens: config.accept_tokens,
        }
    }
}

pub(super) struct Overrides {
    accept: Accept,
    /// While a configuration may be taken back: what was in force before it was loaded.
    before: Option<Accept>,
}

impl Overrides {
    pub(super) fn none(config: &Config) -> Self {
        Self {
            accept: Accept::of(config),
            before: None,
        }
    }

    pub(super) fn accept_mode(&self) -> AcceptMode {
        self.accept.mode
    }

    /// Set by an operator: a configuration that is taken back afterwards does not undo it.
    fn each(&mut self, f: impl Fn(&mut Accept)) {
        std::iter::once(&mut self.accept)
            .chain(&mut self.before)
            .for_each(f);
    }
}

impl Master {
    /// A configuration was loaded, and checked before.
    pub(super) fn drop_overrides(&mut self) {
        let accept = Accept::of(&self.rt.config());
        self.overrides.before = Some(self.overrides.accept);
        self.accept_by(accept);
    }

    /// It was taken back.
    pub(super) fn restore_overrides(&mut self) {
        let accept = self.overrides.before.take();
        self.accept_by(accept.unwrap_or(self.overrides.accept));
    }

    fn accept_by(&mut self, accept: Accept) {
        self.overrides.accept = accept;
        self.passing.set_rotate(self.rt.config().accept_rotate);
        self.shared.schedule.set_tokens(accept.tokens);
        if let Err(error) = self.set_accept_mode(accept.mode) {
            ::log::error!("{error}");
        }
    }

    /// Another accept mode, on the running service.
    pub(super) fn set_accept_mode(&mut self, wanted: AcceptMode) -> Result<String> {
        let text = self.shared.schedule.check_mode(wanted)?;
        let before = self.shared.schedule.mode();
        let Switched { changed, chosen } = self.shared.schedule.set_mode(wanted)?;
        if changed {
            ::log::info!("accept schedule {text}; it was {}", before.name());
            self.shared.schedule.count_switch();
            self.look_sooner();
            // Workers under the accept lock look for themselves; others sleep.
            for slot in 0..self.pairs.len() {
                self.tell(slot, Kind::Nudge, 0);
            }
        }
        match chosen {
            Ok(()) => Ok(format!("accept schedule {text}")),
            Err(error) => {
                let text = format!("accept schedule {text}, but {error}; set it again");
                Err(Error::new(error.code, text))
            }
        }
    }

    pub(super) fn accept_command(&mut self, kind: u32, arg: u64) -> (i32, String) {
        let arg = u32::try_from(arg).unwrap_or(u32::MAX);
        if kind == DTM_CMD_ACCEPT_MODE {
            let Some(mode) = AcceptMode::of_number(arg) else {
                return (
                    DTM_EINVAL,
                    format!("accept mode {arg}: must be DTM_ACCEPT_*"),
                );
            };
            return match self.set_accept_mode(mode) {
                Ok(text) => {
                    self.overrides.each(|accept| accept.mode = mode);
                    (DTM_OK, text)
                }
                Err(error) => (error.code, error.text.into_owned()),
            };
        }
        let tokens = match arg {
            0 => {
                let own_loop = self.rt.callbacks.worker_main.is_some();
                crate::config::default_tokens(self.policy.workers(), own_loop)
            }
            1..=64 => arg,
            _ => return (DTM_EINVAL, format!("{arg} accept tokens: must be 1..64")),
        };
        self.overrides.each(|accept| accept.tokens = tokens);
        self.shared.schedule.set_tokens(tokens);
        (DTM_OK, format!("{tokens} accept tokens"))
    }

    pub(super) fn log_command(&mut self, arg: u64) -> (i32, String) {
        let level = u32::try_from(arg)
            .ok()
            .filter(|l| crate::log::level_of(*l).is_some());
        let Some(level) = level else {
            return (DTM_EINVAL, format!("log level {arg}: must be DTM_LOG_*"));
        };
        self.rt.set_log_level(level);
        self.tell_level(Some(level));
        let name = crate::config::Config::show_value("log_level", level);
        (DTM_OK, format!("log level {name} in every process"))
    }

    /// In every process; None: it stays.
    pub(super) fn tell_level(&mut self, level: Option<u32>) {
        let Some(level) = level else { return };
        for slot in 0..self.pairs.len() {
            if self.policy.slots()[slot].child.is_some() {
                self.tell(slot, Kind::LogLevel, level.into());
            }
        }
    }
}
