//! The only fork() of the library.

use crate::error::{Error, Result};
use crate::ffi::DTM_ETHREADS;
use crate::role;
use crate::signal::mask;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::Relaxed;

/// In whom the caller goes on.
pub(crate) enum Forked {
    /// In the parent; all as before.
    Parent(i32),
    /// In the child: every signal is blocked until its own handlers stand.
    Child,
}

/// Threads of this process: /proc/self/task has two links more.
pub(crate) fn threads() -> u64 {
    std::fs::metadata("/proc/self/task").map_or(1, |m| m.nlink().saturating_sub(2))
}

/// A thread that was joined a moment ago may still be counted for about that long.
const JOINED_MS: u64 = 20;

/// Refuse when other threads live: their locks would be held for ever in the child.
pub(crate) fn check_threads(allowed: bool) -> Result<()> {
    let alone = || threads() <= 1;
    let alone_soon = || {
        std::thread::sleep(std::time::Duration::from_millis(1));
        alone()
    };
    if allowed || alone() || (0..JOINED_MS).any(|_| alone_soon()) {
        return Ok(());
    }
    let threads = threads();
    Err(Error::new(
        DTM_ETHREADS,
        format!(
            "the process has {threads} threads, so forking is unsafe: start threads in worker_init \
             instead, or set DTM_F_ALLOW_THREADS"
        ),
    ))
}

extern "C" fn note_fork() {
    role::me().forked.store(true, Relaxed);
}

/// Notice when the service forks. What it starts by posix_spawn(), system() or popen()
/// cannot be noticed: nothing of ours runs there. It execs at once, and has none of our
/// descriptors then, unless the service gives it one: see dtm_client_release().
pub(crate) fn notice_forks() {
    // SAFETY: the handler only stores a word, and lives as long as the library.
    let failed = unsafe { libc::pthread_atfork(None, Some(note_fork), None) } != 0;
    role::me().forked.store(failed, Relaxed);
}

/// May another process have descriptors of this one?
pub(crate) fn has_forked() -> bool {
    role::me().forked.load(Relaxed)
}

/// Fork with all signals blocked: none is lost, and none runs the parent's
/// handler in the child. A plain fork(), never a raw clone: robust mutexes and
/// the C library's own state depend on it.
pub(crate) fn fork() -> Result<Forked> {
    #[cfg(feature = "fault")]
    crate::fault::fallible("fork")?;
    // SAFETY: NULL means all streams; what is buffered must not be written twice.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    let before = mask::block_all();
    // SAFETY: the one place; the child goes on with async-signal-safe calls and
    // its own memory only, as it is the only thread (see check_threads).
    #[allow(clippy::disallowed_methods)]
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Forked::Child),
        -1 => {
            let error = Error::last_os("fork");
            mask::set(&before);
            Err(error)
        }
        pid => {
            mask::set(&before);
            Ok(Forked::Parent(pid))
        }
    }
}
