//! The pid file. Its lock says whether an instance runs: the kernel releases it with the
//! master, however that one ends, so no file is ever stale. What it holds only says which
//! process that is, and is checked before anybody is signalled. C13, C14, P2

use super::identity::Identity;
use crate::error::{Context, Error, Result};
use crate::process::death;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

/// Anything longer was written by somebody else.
const SIZE_MAX: u64 = 256;

/// Locked by this process. Dropped by the process that it names, the file is removed.
pub(crate) struct PidFile {
    file: File,
    path: String,
}

impl PidFile {
    /// Lock it and write this process in. -EBUSY: an instance runs.
    pub(crate) fn take(path: &str) -> Result<Self> {
        // An instance that ends removes its file: then this one's name is gone, and
        // another may have it.
        for _ in 0..100 {
            let mut file = open(path)?;
            read(&mut file, path)?;
            lock(&file, path)?;
            if is_at(&file, path) {
                let taken = Self {
                    file,
                    path: path.to_owned(),
                };
                taken.claim()?;
                return Ok(taken);
            }
        }
        Err(Error::os(
            Errno::EBUSY,
            format!("pid_file = {path}: others make and remove it"),
        ))
    }

    /// The lock of an upgrade's predecessor, inherited as `fd`: it stays locked
    /// throughout. The file names the predecessor until [`PidFile::claim`].
    pub(crate) fn take_over(path: &str, fd: OwnedFd) -> Result<Self> {
        let file = File::from(fd);
        if !is_at(&file, path) {
            return Err(Error::config(format!(
                "pid_file = {path}: not the file that was handed over: it cannot change in an upgrade"
            )));
        }
        lock(&file, path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// To hand over: whoever has a duplicate of it shares the lock.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// From now on it names this process, which will remove it.
    pub(crate) fn claim(&self) -> Result<()> {
        let me = nix::unistd::getpid().as_raw();
        let text = Identity::of(me).map(|me| me.to_text()).unwrap_or_default();
        let done = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        done.context(format_args!("pid_file = {}", self.path))
    }

    /// Leave it, as it is, to whoever shares the lock.
    pub(crate) fn let_go(mut self) {
        self.path.clear();
    }

    fn names_me(&self) -> bool {
        let mut bytes = [0; 256];
        let read = self.file.read_at(&mut bytes, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..read]);
        Identity::of_text(&text).is_some_and(|owner| owner.pid == nix::unistd::getpid().as_raw())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.names_me() && is_at(&self.file, &self.path) {
            // Gone already, or no right to: nothing to be done.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Could it be taken, but for an instance that runs?
pub(crate) fn check(path: &str) -> Result<()> {
    let existed = std::fs::symlink_metadata(path).is_ok();
    let mut file = open(path)?;
    let result = read(&mut file, path).map(drop);
    if !existed && lock(&file, path).is_ok() && is_at(&file, path) {
        let _ = std::fs::remove_file(path);
    }
    result
}

/// Send a signal to the instance of this file; 0 only looks. Its pid.
pub(crate) fn signal(path: &str, signal: i32) -> Result<i32> {
    let what = format!("pid file {path}");
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .context(&what)?;
    let held = is_locked(&file).context(&what)?;
    let text = read(&mut file, path)?;
    let named = Identity::of_text(&text);
    if !held {
        let whom = named.map_or(String::new(), |n| format!(" (it names pid {})", n.pid));
        let text = format!("{what}: no instance runs: nobody holds its lock{whom}");
        return Err(Error::new(-libc::ESRCH, text));
    }
    let Some(named) = named else {
        let text = format!("{what}: the instance is just starting: try again");
        return Err(Error::new(-libc::EAGAIN, text));
    };
    // First a hold on the process, then the look at who it is: the pid cannot become
    // another's in between.
    let hold = death::pidfd(named.pid);
    if Identity::of(named.pid).as_ref() != Some(&named) {
        let text = format!(
            "{what}: pid {} is not the process that wrote it: nobody was signalled",
            named.pid
        );
        return Err(Error::new(-libc::ESRCH, text));
    }
    death::signal(hold.as_ref(), named.pid, signal)
        .context(format_args!("{what}: signal to pid {}", named.pid))?;
    Ok(named.pid)
}

/// Only its owner may read it: whoever can read a file can lock it, too, and a lock of a
/// stranger's would keep the service from starting.
fn open(path: &str) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .context(format_args!("pid_file = {path}"))
}

/// Its text; an error when it is no pid file at all, which must not be overwritten.
fn read(file: &mut File, path: &str) -> Result<String> {
    let what = format!("pid_file = {path}");
    let meta = file.metadata().context(&what)?;
    let mut bytes = [0; 256];
    let mut text = None;
    if meta.is_file() && meta.len() <= SIZE_MAX {
        let len = file.read_at(&mut bytes, 0).context(&what)?;
        text = std::str::from_utf8(&bytes[..len]).ok();
    }
    // Other programs' pid files hold a number and a newline.
    let number = |text: &&str| {
        let first = text.lines().next().unwrap_or_default().trim();
        text.trim().is_empty() || first.parse::<u32>().is_ok()
    };
    text.filter(number).map(str::to_owned).ok_or_else(|| {
        Error::config(format!(
            "{what}: this file is something else than a pid file: left alone"
        ))
    })
}

fn whole(kind: libc::c_int) -> libc::flock {
    // SAFETY: a struct of integers; start and length 0 are the whole file.
    let mut flock: libc::flock = unsafe { std::mem::zeroed() };
    flock.l_type = libc::c_short::try_from(kind).unwrap_or(0);
    flock
}

/// Of the open file, so a child's copy does not release it, and a second opening in this
/// process does not either.
fn lock(file: &File, path: &str) -> Result<()> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            let mut bytes = [0; 256];
            let len = file.read_at(&mut bytes, 0).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..len]);
            let pid =
                Identity::of_text(&text).map_or(String::new(), |i| format!(" with pid {}", i.pid));
            let text = format!("pid_file = {path}: an instance{pid} runs already");
            Err(Error::new(-libc::EBUSY, text))
        }
        Err(errno) => Err(Error::os(errno, format!("pid_file = {path}: lock"))),
    }
}

fn is_locked(file: &File) -> nix::Result<bool> {
    let mut found = whole(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

/// Is the open file the one that has this name?
fn is_at(file: &File, path: &str) -> bool {
    let named = std::fs::symlink_metadata(path);
    match (file.metadata(), named) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
