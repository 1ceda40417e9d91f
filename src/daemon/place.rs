//! What holds for all processes: the limit of descriptors, the working directory. Set by
//! the master, inherited by its children, put back for the host at the end.

use super::Options;
use crate::error::{Context, Error, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

/// What was before.
#[derive(Default)]
pub(crate) struct Place {
    nofile: Option<(u64, u64)>,
    directory: Option<File>,
}

impl Place {
    pub(crate) fn enter(options: &Options) -> Result<Self> {
        let mut before = Self::default();
        if let Some(wanted) = options.nofile {
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
                .context(format_args!("rlimit_nofile = {wanted}"))?;
            before.nofile = Some((soft, hard));
        }
        if let Some(path) = options.directory() {
            before.directory = File::options()
                .read(true)
                .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
                .open(".")
                .ok();
            nix::unistd::chdir(path).map_err(|e| Error::os(e, format!("working_dir = {path}")))?;
        }
        Ok(before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((soft, hard)) = self.nofile {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        }
        if let Some(directory) = &self.directory {
            let _ = nix::unistd::fchdir(directory);
        }
    }
}
