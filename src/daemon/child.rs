//! What a child gives up and gets, between fork and init. The order matters: what needs
//! the master's privileges comes first, the user last, and then what a change of the user
//! takes away: core dumps, and the death signal (armed by the caller).

use super::{Options, affinity, capability};
use crate::child::birth::Birth;
use crate::error::{Context, Error, Result};
use crate::ffi::DTM_ROLE_WORKER;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// On failure the child must not go on: it would have privileges that it should not.
pub(crate) fn settle(options: &Options, birth: &Birth) -> Result<()> {
    limits(options)?;
    if let Some(affinity) = options
        .affinity
        .as_ref()
        .filter(|_| birth.role == DTM_ROLE_WORKER)
    {
        let cpus = affinity.of(birth.index, &affinity::allowed());
        // A container's CPUs may be taken away at any time: better on others than not at all.
        if let Err(error) = affinity::set(&cpus) {
            ::log::warn!("cpu_affinity: {error}: this worker runs on any CPU");
        }
    }
    if let Some(root) = &options.chroot {
        let root = if root.is_empty() { "/" } else { root };
        nix::unistd::chroot(root).context(format_args!("chroot = {root}"))?;
        nix::unistd::chdir("/").context("chdir to the new root")?;
    }
    privileges(options)?;
    if let Some(path) = &options.core_dir {
        nix::unistd::chdir(path.as_str()).context(format_args!("core_dir = {path}"))?;
    }
    Ok(())
}

fn limits(options: &Options) -> Result<()> {
    if let Some(wanted) = options.core {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).context("getrlimit")?;
        setrlimit(Resource::RLIMIT_CORE, wanted, hard.max(wanted)).context("rlimit_core")?;
    }
    // SAFETY: a plain system call on this process.
    if options.nice != 0 && unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, options.nice) } != 0 {
        return Err(Error::last_os(format!("nice = {}", options.nice)));
    }
    if let Some(mask) = options.umask {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
    }
    Ok(())
}

fn privileges(options: &Options) -> Result<()> {
    let kept = options.capabilities;
    if let Some(set) = kept {
        if capability::permitted() & capability::SETPCAP != 0 {
            capability::bound_to(set)?;
        }
        flag(libc::PR_SET_KEEPCAPS, 1)?;
    }
    if let Some(account) = &options.account {
        account.assume()?;
    }
    if let Some(set) = kept {
        capability::limit_to(set)?;
        flag(libc::PR_SET_KEEPCAPS, 0)?;
    }
    if kept.is_some() || options.account.is_some() {
        // The kernel allows no core dump of a process that has changed its user.
        flag(libc::PR_SET_DUMPABLE, 1)?;
    }
    Ok(())
}

fn flag(option: i32, value: libc::c_ulong) -> Result<()> {
    // SAFETY: a plain prctl with integer arguments.
    if unsafe { libc::prctl(option, value, 0, 0, 0) } != 0 {
        return Err(Error::last_os(format!("prctl({option}, {value})")));
    }
    Ok(())
}
