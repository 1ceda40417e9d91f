//! Fault points for the tests, compiled in by the feature `fault` only:
//! `LIBDTM_FAULT=point=action[@n],...` with action `kill`, `stop`, `exit`, `panic`,
//! `sleep:MS` or `fail:ERRNO`; n is the hit that acts (default 1, `*`: all).
//! Hits are counted over all processes of the service together, so that the
//! successor of a process that was killed at hit n does not die there again.

use crate::error::{Error, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const POINTS: [&str; 15] = [
    "fork",
    "child.born",
    "child.ready",
    "channel.send",
    "update.begin",
    "update.sent",
    "update.done",
    "token.armed",
    "accept",
    "dispatch",
    "action.count",
    "action.call",
    "action.called",
    "action.done",
    "store.commit",
];

/// Made at the first hit: "fork", in the master, before any child exists.
static HITS: OnceLock<&'static [AtomicU32; POINTS.len()]> = OnceLock::new();

fn shared() -> &'static [AtomicU32; POINTS.len()] {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let len = std::num::NonZeroUsize::MIN.saturating_add(4095);
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a fresh mapping.
    match unsafe { mmap_anonymous(None, len, prot, MapFlags::MAP_SHARED) } {
        // SAFETY: a page of zeros, never unmapped, holds the array.
        Ok(page) => unsafe { page.cast().as_ref() },
        Err(_) => crate::process::exit_now(99),
    }
}

/// Pass a point.
pub(crate) fn hit(point: &'static str) {
    let _ = fallible(point);
}

/// Pass a point that may be told to fail.
pub(crate) fn fallible(point: &'static str) -> Result<()> {
    let Ok(spec) = std::env::var("LIBDTM_FAULT") else {
        return Ok(());
    };
    let Some(index) = POINTS.iter().position(|p| *p == point) else {
        ::log::error!("fault point {point} is not in the list");
        return Ok(());
    };
    let count = HITS.get_or_init(shared)[index].fetch_add(1, SeqCst) + 1;
    for part in spec.split(',') {
        let Some((name, action)) = part.split_once('=') else {
            continue;
        };
        let (action, at) = action.split_once('@').unwrap_or((action, "1"));
        if name == point && (at == "*" || at.parse() == Ok(count)) {
            act(point, action)?;
        }
    }
    Ok(())
}

fn act(point: &str, action: &str) -> Result<()> {
    match action.split_once(':').unwrap_or((action, "")) {
        ("kill", _) => signal_self(libc::SIGKILL),
        ("stop", _) => signal_self(libc::SIGSTOP),
        ("exit", _) => crate::process::exit_now(99),
        // The very thing that the borders are there to catch.
        ("panic", _) => std::panic::panic_any("fault point"),
        ("sleep", ms) => {
            std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)));
        }
        ("fail", errno) => {
            let number = match errno {
                "EAGAIN" => libc::EAGAIN,
                "ENOMEM" => libc::ENOMEM,
                "EMFILE" => libc::EMFILE,
                "ECONNABORTED" => libc::ECONNABORTED,
                "EPROTO" => libc::EPROTO,
                other => other.parse().unwrap_or(libc::EIO),
            };
            return Err(Error::os(
                nix::errno::Errno::from_raw(number),
                point.to_owned(),
            ));
        }
        _ => ::log::error!("LIBDTM_FAULT: unknown action '{action}' for point {point}"),
    }
    Ok(())
}

fn signal_self(signal: i32) {
    // SAFETY: a signal to this very process.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Give a sanitizer its turn, which it otherwise has at exit() only.
pub(crate) fn before_exit() {
    // SAFETY: looks a symbol up; the function takes and returns nothing.
    unsafe {
        let check = libc::dlsym(libc::RTLD_DEFAULT, c"__lsan_do_leak_check".as_ptr());
        if !check.is_null() {
            let check: extern "C" fn() = std::mem::transmute(check);
            check();
        }
    }
}
