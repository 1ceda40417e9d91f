//! Fault points for the tests, compiled in by the feature `fault` only:
//! `LIBDTM_FAULT=point=action[@n],...` with action `kill`, `stop`, `exit`,
//! `sleep:MS` or `fail:ERRNO`; n is the hit that acts (default 1, `*`: all).
//! Hits are counted per process, from its fork on.

use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static HITS: RefCell<BTreeMap<&'static str, u32>> = const { RefCell::new(BTreeMap::new()) };
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
    let found = spec
        .split(',')
        .find_map(|part| part.strip_prefix(point)?.strip_prefix('='));
    let Some(action) = found else { return Ok(()) };
    let count = HITS.with_borrow_mut(|hits| {
        let n = hits.entry(point).or_default();
        *n += 1;
        *n
    });
    let (action, at) = action.split_once('@').unwrap_or((action, "1"));
    if at != "*" && at.parse() != Ok(count) {
        return Ok(());
    }
    act(point, action)
}

fn act(point: &str, action: &str) -> Result<()> {
    match action.split_once(':').unwrap_or((action, "")) {
        ("kill", _) => signal_self(libc::SIGKILL),
        ("stop", _) => signal_self(libc::SIGSTOP),
        ("exit", _) => crate::process::exit_now(99),
        ("sleep", ms) => {
            std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)));
        }
        ("fail", errno) => {
            let number = match errno {
                "EAGAIN" => libc::EAGAIN,
                "ENOMEM" => libc::ENOMEM,
                "EMFILE" => libc::EMFILE,
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
