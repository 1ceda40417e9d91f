//! Signals to the master, and dtm_request(). flow: S1, L1

use super::Master;
use super::policy::{Asker, Command};
use crate::ffi::*;
use crate::signal::handler::{self, REQUEST_BASE};
use crate::signal::table::{Meaning, TAKEN, meaning, name};

impl Master {
    pub(super) fn signals(&mut self) {
        if let Some(wake) = &self.wake {
            wake.clear();
        }
        let bits = handler::take();
        let style = self.rt.config().signals;
        for signal in TAKEN.iter().copied().filter(|s| bits & (1 << s) != 0) {
            match meaning(style, DTM_ROLE_MASTER, signal, self.terminal) {
                Meaning::ChildDied => self.look_at_all(),
                Meaning::Shutdown => self.ask(signal, Command::Shutdown),
                Meaning::ShutdownNow => self.ask(signal, Command::ShutdownNow),
                Meaning::Reload => self.ask(signal, Command::Reload),
                Meaning::Stop => self.ask(signal, Command::Stop),
                Meaning::LoadConfig => self.ask(signal, Command::LoadConfig),
                Meaning::OneMore => self.ask(signal, Command::ScaleBy(1)),
                Meaning::OneLess => self.ask(signal, Command::ScaleBy(-1)),
                Meaning::ReopenLog => self.reopen_and_tell(),
                Meaning::Upgrade => self.ask_upgrade(Asker::Signal(signal)),
                Meaning::Leave | Meaning::Nothing => {
                    ::log::info!("{} means nothing to the master: ignored", name(signal));
                }
            }
        }
        for (command, meaning) in [
            (DTM_CMD_LOADCONF, Command::LoadConfig),
            (DTM_CMD_RELOAD, Command::Reload),
            (DTM_CMD_START, Command::Start),
            (DTM_CMD_STOP, Command::Stop),
            (DTM_CMD_SHUTDOWN, Command::Shutdown),
            (DTM_CMD_SHUTDOWN_NOW, Command::ShutdownNow),
        ] {
            if bits & (1 << (REQUEST_BASE + command)) != 0 {
                self.ask(0, meaning);
            }
        }
        if bits & (1 << (REQUEST_BASE + DTM_CMD_UPGRADE)) != 0 {
            self.ask_upgrade(Asker::Signal(0));
        }
        if bits & (1 << (REQUEST_BASE + DTM_CMD_REOPEN_LOG)) != 0 {
            self.reopen_and_tell();
        }
    }

    /// Nobody is there to be answered: what went wrong stands in the log, such as it is.
    fn reopen_and_tell(&mut self) {
        let _ = self.reopen_logs();
    }

    fn ask(&mut self, signal: i32, command: Command) {
        self.command(Asker::Signal(signal), command);
    }
}
