//! Clients of workers and of the controller.

use super::types::*;
use crate::error::Error;
use crate::event;
use crate::guard::{SERVING, enter};
use std::ffi::{c_char, c_void};

/// The client's socket, non-blocking. Read and write it; never close it, and leave
/// its place in epoll to libdtm. A duplicate (dup(), SCM_RIGHTS) must be closed before
/// the client is: epoll would go on reporting it. Children that the service forks with
/// fork() may have it. A program that is to have it from posix_spawn(), or exec after
/// vfork(), is not noticed: dtm_client_release() first.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: borrowed: libdtm closes it after the close callback; dtm_client_release() gives it away
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot")]
pub unsafe extern "C" fn dtm_client_fd(client: *const dtm_client_t) -> i32 {
    event::ask_client(client, event::Entry::fd)
}

/// A number for logs, unique in this process; 0 for a stale handle.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_id(client: *const dtm_client_t) -> u64 {
    event::ask_client(client, event::Entry::id)
}

/// The tag of the listener that it came from.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_tag(client: *const dtm_client_t) -> u64 {
    event::ask_client(client, |client| client.origin().1)
}

/// The index of the listener that it came from; -1 for the control listener.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_listener(client: *const dtm_client_t) -> i32 {
    event::ask_client(client, |client| client.origin().0)
}

/// Write the peer's address as text, such as "127.0.0.1:4711", "[::1]:4711" or
/// "unix", terminated and cut to `size`. Returns the full length without the
/// terminator. 64 bytes are enough.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: buffer is the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_peer(
    client: *const dtm_client_t,
    buffer: *mut c_char,
    size: usize,
) -> i32 {
    enter(SERVING, |_| {
        let (_, _, peer) = event::client_origin(client)?;
        if buffer.is_null() && size > 0 {
            return Err(Error::invalid("buffer is NULL"));
        }
        let text = peer.to_string();
        // SAFETY: the caller's buffer of `size` bytes.
        unsafe { write_text(&text, buffer, size) };
        i32::try_from(text.len()).map_err(|_| Error::invalid("too long"))
    })
}

/// Say in which state this client is: a short text that reports of hangs and crashes, and
/// lists of clients, show. NULL or "": none. For a few constant texts: longer than 47 bytes
/// they are cut; -ENOSPC: the process has used 255 different ones, the old one stays.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: state is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_state(
    client: *mut dtm_client_t,
    state: *const c_char,
) -> i32 {
    let text = match state.is_null() {
        true => &[],
        // SAFETY: terminated, by contract.
        false => unsafe { std::ffi::CStr::from_ptr(state) }.to_bytes(),
    };
    enter(SERVING, |_| event::client_set_state(client, text))
}

/// Attach a pointer of the service's own.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's; libdtm never touches it
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot")]
pub unsafe extern "C" fn dtm_client_set_data(client: *mut dtm_client_t, data: *mut c_void) -> i32 {
    event::ask_client(client, |client| client.set_data(data))
}

/// The attached pointer, NULL at first.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the service's
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot")]
pub unsafe extern "C" fn dtm_client_data(client: *const dtm_client_t) -> *mut c_void {
    event::ask_client(client, event::Entry::data)
}

/// Say whether a request of this client is in flight. New clients are busy. A
/// drain closes idle clients at once (after what they already sent was served) and
/// lets busy ones finish until the drain deadline.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.hot")]
pub unsafe extern "C" fn dtm_client_set_busy(client: *mut dtm_client_t, busy: i32) -> i32 {
    event::set_busy(client, busy != 0)
}

/// Change what the client waits for from outside of its own step: DTM_READ,
/// DTM_WRITE, DTM_HUP or 0. Its own step says so by its result.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_interest(client: *mut dtm_client_t, interest: u32) -> i32 {
    enter(SERVING, |rt| {
        event::of(rt)?.client_set_interest(client, interest)
    })
}

/// Run this client's step with DTM_WAKE in the same pass. Waking twice is once.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_wake(client: *mut dtm_client_t) -> i32 {
    enter(SERVING, |rt| event::of(rt)?.client_wake(client))
}

/// Set this client's idle timeout (0: the configured one; DTM_OFF: none). Each step
/// starts it anew; re-arming costs one store.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_set_timeout(client: *mut dtm_client_t, idle_ms: u32) -> i32 {
    enter(SERVING, |rt| {
        event::of(rt)?.client_set_timeout(client, idle_ms)
    })
}

/// Close the client: its close callback runs with DTM_CLOSE_ASKED before this pass
/// ends, in its own step after the step returned.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the handle is stale when the close callback has returned
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_close(client: *mut dtm_client_t) -> i32 {
    enter(SERVING, |rt| event::of(rt)?.client_close(client))
}

/// Give the fd away: return it, open and no longer libdtm's; the client is over. The
/// close callback does not run. In that callback itself: leave the fd open afterwards.
/// Also before a program gets it from posix_spawn(), or exec after vfork(): while that has
/// it open, a client that is closed here would be reported without end.
///
/// Process: worker, controller
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the fd is the caller's; the handle is stale, in the client's own callback when that returns
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_client_release(client: *mut dtm_client_t) -> i32 {
    enter(SERVING, |rt| {
        let fd = event::of(rt)?.client_release(client)?;
        rt.tell_others();
        Ok(fd)
    })
}

/// Terminated, and cut to `size`.
///
/// # Safety
/// `buffer` has `size` bytes, or `size` is 0.
unsafe fn write_text(text: &str, buffer: *mut c_char, size: usize) {
    let Some(room) = size.checked_sub(1) else {
        return;
    };
    let len = text.len().min(room);
    // SAFETY: len < size.
    unsafe { buffer.copy_from_nonoverlapping(text.as_ptr().cast(), len) };
    // SAFETY: len < size.
    unsafe { buffer.add(len).write(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_terminated() {
        for (size, expected) in [(0, "zzzz"), (1, "\0zzz"), (3, "ab\0z"), (4, "abc\0")] {
            let mut buffer = *b"zzzz";
            // SAFETY: size is at most the buffer's.
            unsafe { write_text("abc", buffer.as_mut_ptr().cast(), size) };
            assert_eq!(&buffer, expected.as_bytes());
        }
    }
}
