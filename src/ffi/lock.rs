//! Locks between the processes of a runtime.

use super::{consts::*, types::*, worker::child};
use crate::error::{Error, Result};
use crate::guard::{CHILD, enter, enter_rt};
use std::cell::RefCell;
use std::ffi::c_char;

const LOCKS: usize = DTM_LOCKS_MAX as usize;
const NAME_MAX: usize = 32;

/// Register a lock that the children of the runtime share: for what several of them
/// change, such as shared memory or a file of the service's own. `*ret_lock` is
/// valid in every process forked by dtm_run(). The name is for the log: 1 to 32
/// letters, digits, `_`, `.`, `-`, and no other lock's (DTM_EINVAL). -ENOSPC: more than
/// DTM_LOCKS_MAX; DTM_ESTATE after dtm_run().
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: the handle is valid in every process of the runtime
/// Owns: rt owns the lock; name is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_register(
    rt: *mut dtm_t,
    name: *const c_char,
    ret_lock: *mut *mut dtm_lock_t,
) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST, |rt| {
        rt.check_fresh()?;
        if ret_lock.is_null() {
            return Err(Error::invalid("ret_lock is NULL"));
        }
        // SAFETY: NULL or terminated.
        let name = unsafe { super::register::text(name, "name") }?;
        let lock = rt.locks.add(name)?;
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_lock.write(lock) };
        Ok(())
    })
}

/// Take it: 0 tries, DTM_OFF waits for ever, other timeouts are in milliseconds.
///
/// DTM_OK; DTM_LOCK_RECOVERED: taken, but its last owner died with it, so repair what
/// it protects. If this process dies as well before it gives the lock back, the next
/// one is told the same. -ETIMEDOUT; -EDEADLK: this process has it already; DTM_EGONE:
/// another one has it, and the master is gone; DTM_EINVAL: no such lock.
///
/// Without contention it is one atomic instruction. A wait blocks the process and
/// so all of its clients, and a signal does not end it: hold a lock for a moment
/// only, never while waiting for anything. Who waits longest is not served first.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the process has the lock until it gives it back or dies
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_take(lock: *mut dtm_lock_t, timeout_ms: u32) -> i32 {
    enter(CHILD, |rt| {
        let recovered = child(rt)?.take_lock(rt.locks.find(lock)?, timeout_ms)?;
        Ok(if recovered {
            DTM_LOCK_RECOVERED
        } else {
            DTM_OK
        })
    })
}

/// Give it back. -EPERM: this process does not have it, and nothing was done.
///
/// Process: worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_lock_give(lock: *mut dtm_lock_t) -> i32 {
    enter(CHILD, |rt| child(rt)?.give_lock(rt.locks.find(lock)?))
}

/// The registered locks. A handle is the address of its place in `handles`.
pub(crate) struct Registered {
    names: RefCell<Vec<String>>,
    handles: [u8; LOCKS],
}

impl Registered {
    pub(crate) const fn new() -> Self {
        Self {
            names: RefCell::new(Vec::new()),
            handles: [0; LOCKS],
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.borrow().clone()
    }

    fn add(&self, name: &str) -> Result<*mut dtm_lock_t> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
            return Err(Error::invalid(format!(
                "lock '{name}': 1 to {NAME_MAX} letters, digits, '_', '.' and '-'"
            )));
        }
        let mut names = self.names.borrow_mut();
        if names.iter().any(|known| known == name) {
            return Err(Error::invalid(format!("lock {name} is registered already")));
        }
        let Some(handle) = self.handles.get(names.len()) else {
            let text = format!("more than {LOCKS} locks");
            return Err(Error::new(-libc::ENOSPC, text));
        };
        names.push(name.to_owned());
        Ok(std::ptr::from_ref(handle).cast_mut().cast())
    }

    /// The number behind a handle.
    fn find(&self, lock: *const dtm_lock_t) -> Result<usize> {
        let index = lock.addr().wrapping_sub(self.handles.as_ptr().addr());
        if index >= self.names.borrow().len() {
            let text = "lock is not a handle from dtm_lock_register()";
            return Err(Error::invalid(text));
        }
        Ok(index)
    }
}
