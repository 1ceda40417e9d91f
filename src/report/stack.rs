//! Where a process is: return addresses, taken by the unwinder that Rust and C++ use for
//! exceptions, so that code without frame pointers is walked, too; and their names.

use std::ffi::{CStr, c_int, c_void};
use std::fmt::Write;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

struct Walk<'a> {
    frames: &'a mut [u64],
    depth: usize,
}

/// _URC_NO_REASON, _URC_NORMAL_STOP
const GO_ON: c_int = 0;
const STOP: c_int = 4;

extern "C" fn visit(context: *mut c_void, data: *mut c_void) -> c_int {
    // SAFETY: what walk() passed, which lives until _Unwind_Backtrace returns.
    let walk = unsafe { &mut *data.cast::<Walk<'_>>() };
    // SAFETY: the context of this very visit.
    let ip = unsafe { _Unwind_GetIP(context) };
    let Some(frame) = walk.frames.get_mut(walk.depth).filter(|_| ip != 0) else {
        return STOP;
    };
    *frame = ip as u64;
    walk.depth += 1;
    GO_ON
}

/// The return addresses from here on; how many. In a signal handler it goes on through
/// the code that was interrupted. A broken stack may make it fault, or wait for a lock
/// that this thread has: whoever calls it there is prepared for both.
pub(super) fn walk(frames: &mut [u64]) -> usize {
    let mut walk = Walk { frames, depth: 0 };
    // SAFETY: visit() gets this walk, and nothing of it is used behind the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut walk).cast()) };
    walk.depth
}

/// One line per frame: object, function and offset, as far as the dynamic symbols of this
/// process say. Children have the same code at the same addresses, but for what they have
/// loaded by themselves.
pub(super) fn names(frames: &[u64]) -> String {
    let mut text = String::new();
    for (n, ip) in frames.iter().enumerate() {
        let _ = writeln!(text, "#{n} {ip:#x} {}", name(*ip));
    }
    text
}

fn name(ip: u64) -> String {
    // SAFETY: zeroed storage is valid; dladdr only compares the address.
    let (found, info) = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let address = std::ptr::with_exposed_provenance(usize::try_from(ip).unwrap_or(0));
        (libc::dladdr(address, &raw mut info), info)
    };
    if found == 0 || info.dli_fname.is_null() {
        return "?".into();
    }
    // SAFETY: a terminated text of the dynamic linker.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_string_lossy();
    let file = file.rsplit('/').next().unwrap_or("?");
    let base = info.dli_fbase.addr() as u64;
    if info.dli_sname.is_null() {
        return format!("{file}+{:#x}", ip.wrapping_sub(base));
    }
    // SAFETY: the same.
    let symbol = unsafe { CStr::from_ptr(info.dli_sname) }.to_string_lossy();
    let offset = ip.wrapping_sub(info.dli_saddr.addr() as u64);
    format!("{symbol}+{offset:#x} ({file}+{:#x})", ip.wrapping_sub(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_code_is_on_the_stack() {
        let mut frames = [0; 64];
        let depth = walk(&mut frames);
        assert!(depth > 3, "{depth}");
        let text = names(&frames[..depth]);
        assert_eq!(text.lines().count(), depth);
        assert!(text.contains("dtm-"), "{text}"); // the test's own program
        assert_eq!(walk(&mut frames[..2]), 2);
        assert_eq!(name(8), "?");
    }
}
