//! How this program was started, noted before anything of it could change; and starting
//! the next binary in the same way.

use super::VARIABLE;
use crate::daemon::title;
use crate::error::{Context, Error, Result};
use crate::process::exit_now;
use crate::process::fork::{Forked, fork};
use crate::signal::mask;
use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// Of the process that could not exec; nobody sees it but the log.
const NO_EXEC: i32 = 127;

pub(crate) struct Start {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: Option<CString>,
}

impl Start {
    /// Noted by dtm_new(): process titles overwrite the arguments, a daemon changes its
    /// directory, and a binary that was replaced is "deleted".
    pub(crate) fn note() -> Result<Self> {
        let program = std::fs::read_link("/proc/self/exe").context("/proc/self/exe")?;
        let program = terminated(program.into_os_string())?;
        let arguments = title::command_line();
        let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
        let arguments = arguments.split(|byte| *byte == 0);
        let environment = std::env::vars_os().filter(|(name, _)| !is_its_own(name));
        Ok(Self {
            program,
            arguments: arguments
                .map(|a| CString::new(a).unwrap_or_default())
                .collect(),
            environment: environment.map(variable).collect::<Result<_>>()?,
            directory: std::env::current_dir()
                .ok()
                .and_then(|d| terminated(d.into_os_string()).ok()),
        })
    }

    /// Start what is now at the program's path, with its end of the link. Its pid.
    pub(crate) fn again(&self, link: &OwnedFd) -> Result<i32> {
        let number = format!("{VARIABLE}={}", link.as_raw_fd());
        let number = terminated(OsString::from(number))?;
        let arguments = pointers(self.arguments.iter());
        let environment = pointers(self.environment.iter().chain([&number]));
        match fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                // SAFETY: valid pointers; only async-signal-safe calls, no return.
                unsafe {
                    libc::fcntl(link.as_raw_fd(), libc::F_SETFD, 0);
                    if let Some(directory) = &self.directory {
                        libc::chdir(directory.as_ptr());
                    }
                    crate::signal::handler::restore(None);
                    mask::restore_host();
                    libc::execve(
                        self.program.as_ptr(),
                        arguments.as_ptr(),
                        environment.as_ptr(),
                    );
                }
                ::log::error!(
                    "upgrade: {}",
                    Error::last_os(self.program.to_string_lossy())
                );
                exit_now(NO_EXEC)
            }
        }
    }

    pub(crate) fn program(&self) -> std::borrow::Cow<'_, str> {
        self.program.to_string_lossy()
    }
}

/// What names this very process, or descriptors that the next one does not have.
fn is_its_own(name: &std::ffi::OsStr) -> bool {
    [
        VARIABLE,
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "WATCHDOG_PID",
    ]
    .iter()
    .any(|own| name == *own)
}

fn variable((name, value): (OsString, OsString)) -> Result<CString> {
    let mut text = name;
    text.push("=");
    text.push(value);
    terminated(text)
}

fn terminated(text: OsString) -> Result<CString> {
    CString::new(text.into_vec()).map_err(|error| Error::invalid(format!("upgrade: {error}")))
}

fn pointers<'a>(texts: impl Iterator<Item = &'a CString>) -> Vec<*const libc::c_char> {
    texts
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}
