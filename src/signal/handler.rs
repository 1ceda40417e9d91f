//! The handler: set a bit, write an eventfd. Everything else happens in the loop.

use super::{mask, saved};
use crate::error::{Context, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// Bit n: signal n arrived. Bits 32..: requests by dtm_request().
static PENDING: AtomicU64 = AtomicU64::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// A signal that a process of the service's own forking gets must not count here.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// A child that is to be killed when this long an orphan; 0: no.
static ORPHAN_OF: AtomicI32 = AtomicI32::new(0);
static ORPHAN_SECONDS: AtomicU32 = AtomicU32::new(0);
/// The host's SIGCHLD handler, which goes on being called.
static HOST_CHLD: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());
static HOST_CHLD_FLAGS: AtomicI32 = AtomicI32::new(0);

/// Requests, in the upper half of the bits.
pub(crate) const REQUEST_BASE: u32 = 32;

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: getpid is async-signal-safe.
    let me = unsafe { libc::getpid() };
    let ours = me == OWNER.load(Relaxed);
    if ours {
        raise(1 << (signal & 31));
        leave_if_orphan();
    }
    if signal == libc::SIGCHLD {
        call_host(signal, info, context);
    } else if !ours {
        give_back(signal, me);
    }
    nix::errno::Errno::set_raw(errno);
}

/// The service has forked this process: there the signal does what it did before it was
/// taken. A child of libdtm's own never comes here: it lets no signal in before it is the
/// owner, see `process/fork.rs`.
fn give_back(signal: i32, me: i32) {
    // SAFETY: async-signal-safe, on a valid disposition. Blocked while we are in its
    // handler, the signal arrives once more afterwards. raise() may name a thread of the
    // parent's after vfork().
    unsafe {
        let before = saved::get(signal).unwrap_or_else(|| std::mem::zeroed());
        libc::sigaction(signal, &raw const before, std::ptr::null_mut());
        libc::kill(me, signal);
    }
}

fn leave_if_orphan() {
    let master = ORPHAN_OF.load(Relaxed);
    // SAFETY: getppid is async-signal-safe.
    if master != 0 && unsafe { libc::getppid() } != master {
        end_within(ORPHAN_SECONDS.load(Relaxed));
    }
}

/// The loop may hang in a callback for ever: the kernel's alarm will not, and is fatal from
/// now on. Async-signal-safe.
pub(crate) fn end_within(seconds: u32) {
    alarm_within(seconds, libc::SIG_DFL);
}

/// The kernel's alarm after so long, whatever this process does until then, and what is to
/// happen then: a handler that is async-signal-safe, or SIG_DFL. Async-signal-safe.
pub(crate) fn alarm_within(seconds: u32, then: libc::sighandler_t) {
    let_in(libc::SIGALRM, then);
    // SAFETY: async-signal-safe.
    unsafe { libc::alarm(seconds) };
}

/// This signal is not blocked any more and does that: a handler, or SIG_DFL.
/// Async-signal-safe.
pub(crate) fn let_in(signal: i32, then: libc::sighandler_t) {
    // SAFETY: sigaction is async-signal-safe; the struct is a valid disposition. A handler
    // may find the stack overflown.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = then;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
    mask::unblock(&mask::of(std::iter::once(signal)));
}

fn call_host(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let host = HOST_CHLD.load(Relaxed);
    if host.is_null() {
        return;
    }
    // SAFETY: the host registered this function for this signal with the form
    // that its flags say.
    unsafe {
        if HOST_CHLD_FLAGS.load(Relaxed) & libc::SA_SIGINFO != 0 {
            let f: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(host);
            f(signal, info, context);
        } else {
            let f: extern "C" fn(i32) = std::mem::transmute(host);
            f(signal);
        }
    }
}

/// Set bits and wake the loop, if there is one yet: [`own`] looks for those that came
/// before. Async-signal-safe, from any thread.
pub(crate) fn raise(bits: u64) {
    // Whoever set the first bit wakes it: it takes them all, after it has cleared its fd.
    if PENDING.fetch_or(bits, SeqCst) == 0 {
        wake();
    }
}

fn wake() {
    let wake = WAKE.load(SeqCst);
    if wake >= 0 {
        let errno = nix::errno::Errno::last_raw();
        let one = 1u64.to_ne_bytes();
        // SAFETY: write is async-signal-safe; a closed fd only makes it fail.
        unsafe { libc::write(wake, one.as_ptr().cast(), one.len()) };
        nix::errno::Errno::set_raw(errno);
    }
}

/// What arrived until now was meant for another: the parent, or an earlier runtime.
pub(crate) fn forget() {
    PENDING.store(0, SeqCst);
}

/// What arrived since the last call.
pub(crate) fn take() -> u64 {
    PENDING.swap(0, SeqCst)
}

/// Wakes the loop of this process; inherited ones would wake the parent's.
pub(crate) struct Wake(EventFd);

impl Wake {
    /// The fd to watch for reading.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn clear(&self) {
        // EAGAIN: nothing was there.
        let _ = self.0.read();
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        let _ = WAKE.compare_exchange(self.fd(), -1, SeqCst, SeqCst);
    }
}

/// This process takes the signals from now on. Signals must be blocked.
pub(crate) fn own() -> Result<Wake> {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    let wake = Wake(EventFd::from_value_and_flags(0, flags).context("eventfd")?);
    WAKE.store(wake.fd(), SeqCst);
    OWNER.store(nix::unistd::getpid().as_raw(), SeqCst);
    if PENDING.load(SeqCst) != 0 {
        self::wake();
    }
    Ok(wake)
}

/// A child whose orphan policy is to drain: killed so long after the master's end.
/// Master 0: not any more.
pub(crate) fn limit_orphan(master: i32, seconds: u32) {
    ORPHAN_SECONDS.store(seconds, Relaxed);
    ORPHAN_OF.store(master, Relaxed);
}

/// Install the handler for these signals, once per process image.
pub(crate) fn install(signals: impl Iterator<Item = i32>) -> Result<()> {
    for signal in signals {
        if saved::get(signal).is_some() {
            continue;
        }
        let old = set_action(signal, &ours())?;
        if signal == libc::SIGCHLD && old.sa_sigaction > libc::SIG_IGN {
            HOST_CHLD_FLAGS.store(old.sa_flags, Relaxed);
            HOST_CHLD.store(
                std::ptr::with_exposed_provenance_mut(old.sa_sigaction),
                Relaxed,
            );
        }
        saved::put(signal, old);
    }
    Ok(())
}

/// The service's code has run, and may have taken our signals.
static SUSPECT: AtomicBool = AtomicBool::new(false);

/// A callback has returned.
pub(crate) fn suspect() {
    SUSPECT.store(true, Relaxed);
}

/// Has one since the last call?
pub(crate) fn take_suspicion() -> bool {
    SUSPECT.swap(false, Relaxed)
}

/// Has somebody else taken one of our signals? Its number.
pub(crate) fn stolen() -> Option<i32> {
    let mine = ours().sa_sigaction;
    saved::all().find(|signal| {
        // SAFETY: a query with a NULL new action; `now` is valid storage.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &raw mut now) == 0
                && now.sa_sigaction != mine
        }
    })
}

/// Take a stolen signal back.
pub(crate) fn retake(signal: i32) -> Result<()> {
    set_action(signal, &ours()).map(|_| ())
}

/// Put the host's dispositions back: all (dtm_run() ends) or one.
pub(crate) fn restore(only: Option<i32>) {
    for signal in saved::all().filter(|signal| only.is_none_or(|o| o == *signal)) {
        if let Some(old) = saved::take(signal) {
            let _ = set_action(signal, &old);
        }
    }
}

fn ours() -> libc::sigaction {
    // SAFETY: zeroed storage is a valid sigaction; the mask is initialised.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO;
        libc::sigemptyset(&raw mut action.sa_mask);
        action
    }
}

fn set_action(signal: i32, action: &libc::sigaction) -> Result<libc::sigaction> {
    // SAFETY: valid pointers; the handler is async-signal-safe.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, action, &raw mut old) != 0 {
            let name = super::table::name(signal);
            return Err(crate::error::Error::last_os(format!("sigaction({name})")));
        }
        Ok(old)
    }
}
