//! The two borders. [`enter`]: C calls us: who calls, from where, and no panic
//! gets out. [`callback`]: we call C: remember how deep, to notice a longjmp.

use crate::error::{Error, Result};
use crate::ffi::*;
use crate::role;
use crate::runtime::Runtime;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::*};

/// Every role.
pub(crate) const ANY: u32 = DTM_ROLE_HOST | DTM_ROLE_MASTER | CHILD;
/// Every child.
pub(crate) const CHILD: u32 = DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER | DTM_ROLE_FUNC;
/// Those that have clients.
pub(crate) const SERVING: u32 = DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER;

static RUNTIME: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());
static POISONED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
    /// Stack position of the innermost callback that is running; 0: none.
    static CALLBACK_SP: Cell<usize> = const { Cell::new(0) };
    /// Library code is running that a signal handler must not enter again.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Upper end of this thread's own stack; 0: unknown. A service that switches
    /// stacks calls us from outside of it, and is not checked for longjmp.
    static STACK_TOP: Cell<usize> = const { Cell::new(0) };
}

/// What a C function answers, and what it answers on failure.
pub(crate) trait Answer {
    type C;
    fn done(self) -> Self::C;
    fn failed(code: i32) -> Self::C;
}

impl Answer for i32 {
    type C = i32;
    fn done(self) -> i32 {
        self
    }
    fn failed(code: i32) -> i32 {
        code
    }
}

impl Answer for () {
    type C = i32;
    fn done(self) -> i32 {
        DTM_OK
    }
    fn failed(code: i32) -> i32 {
        code
    }
}

impl Answer for u64 {
    type C = u64;
    fn done(self) -> u64 {
        self
    }
    fn failed(_: i32) -> u64 {
        0
    }
}

impl Answer for *mut std::ffi::c_void {
    type C = Self;
    fn done(self) -> Self {
        self
    }
    fn failed(_: i32) -> Self {
        std::ptr::null_mut()
    }
}

/// C calls us on a runtime handle.
pub(crate) fn enter_rt<T: Answer>(
    rt: *const dtm_t,
    allowed: u32,
    f: impl FnOnce(&'static Runtime) -> Result<T>,
) -> T::C {
    run(|| {
        if rt.is_null() {
            return Err(Error::invalid("rt is NULL"));
        }
        let runtime = admit(allowed)?;
        if !std::ptr::addr_eq(rt, runtime) {
            return Err(Error::invalid(
                "rt is not the handle that dtm_new() returned",
            ));
        }
        f(runtime)
    })
}

/// C calls us on a client, watch, timer or lock.
pub(crate) fn enter<T: Answer>(
    allowed: u32,
    f: impl FnOnce(&'static Runtime) -> Result<T>,
) -> T::C {
    run(|| f(admit(allowed)?))
}

/// C calls us before there is a runtime.
pub(crate) fn enter_fresh<T: Answer>(f: impl FnOnce() -> Result<T>) -> T::C {
    run(f)
}

fn run<T: Answer>(f: impl FnOnce() -> Result<T>) -> T::C {
    if INSIDE.replace(true) {
        // Only a signal handler can get here: callbacks run with INSIDE unset.
        return T::failed(DTM_EROLE);
    }
    let result = catch_unwind(AssertUnwindSafe(f));
    INSIDE.set(false);
    match result {
        Ok(Ok(value)) => value.done(),
        Ok(Err(error)) => {
            let code = error.code;
            remember(&error);
            T::failed(code)
        }
        Err(_) => {
            // A child must not go on with half-changed state; the master
            // answers, and dtm_run() stops the service in order.
            ::log::error!("internal error (panic) in libdtm: this process's runtime is unusable");
            if role::current() & CHILD != 0 {
                crate::process::exit_now(DTM_EXIT_BROKEN);
            }
            POISONED.store(true, Relaxed);
            T::failed(DTM_EPANIC)
        }
    }
}

fn admit(allowed: u32) -> Result<&'static Runtime> {
    // SAFETY: NULL, or set by publish() to a runtime that lives until retract().
    let runtime = unsafe { RUNTIME.load(Acquire).as_ref() }.ok_or_else(|| {
        Error::new(
            DTM_ESTATE,
            "this process has no runtime: call dtm_new() first",
        )
    })?;
    let role = role::current();
    if role == 0 {
        return Err(Error::new(
            DTM_EFORKED,
            "this process was forked by the service, not by libdtm: nothing was done",
        ));
    }
    if !role::page().is_some_and(role::Identity::on_owner_thread) {
        return Err(Error::new(
            DTM_EROLE,
            "called from another thread than the runtime's own",
        ));
    }
    if POISONED.load(Relaxed) {
        return Err(Error::new(
            DTM_EPANIC,
            "the runtime was left by an internal error or a longjmp",
        ));
    }
    check_depth()?;
    if role & allowed == 0 {
        let name = role::name(role);
        return Err(Error::new(
            DTM_EROLE,
            format!("this call is not allowed in the {name} process"),
        ));
    }
    Ok(runtime)
}

/// A callback that was left by longjmp leaves its mark behind: now we are called
/// from above it. Its frames, and our own state between them, are gone.
fn check_depth() -> Result<()> {
    let here = 0u8;
    let sp = (&raw const here).addr();
    let mark = CALLBACK_SP.get();
    if mark == 0 || sp <= mark || sp > STACK_TOP.get() {
        return Ok(());
    }
    ::log::error!("a callback was left by longjmp: this process cannot go on");
    if role::current() & CHILD != 0 {
        crate::process::exit_now(DTM_EXIT_BROKEN);
    }
    POISONED.store(true, Relaxed);
    Err(Error::new(
        DTM_EPANIC,
        "a callback was left by longjmp: the runtime is unusable",
    ))
}

/// We call C. Every call of a service's function goes through here.
pub(crate) fn callback<R>(f: impl FnOnce() -> R) -> R {
    let here = 0u8;
    let before = role::current();
    let outer_sp = CALLBACK_SP.replace((&raw const here).addr());
    let outer_inside = INSIDE.replace(false);
    let result = f();
    INSIDE.set(outer_inside);
    CALLBACK_SP.set(outer_sp);
    if before != 0 && role::current() == 0 {
        // The service forked in its callback, and this is its child: it must not
        // go on as a second one of us, on the same epoll and sockets.
        crate::process::exit_now(DTM_EXIT_BROKEN);
    }
    result
}

/// The same for callbacks that hold the master up.
pub(crate) fn timed<R>(name: &str, f: impl FnOnce() -> R) -> R {
    let began = crate::sys::now_ms();
    let result = callback(f);
    let took = crate::sys::now_ms().saturating_sub(began);
    if took > 1_000 {
        ::log::warn!("the callback {name} took {took} ms: nothing else was done meanwhile");
    }
    result
}

/// Note where this thread's stack ends. Called by dtm_run().
pub(crate) fn note_stack() {
    // SAFETY: plain queries about the calling thread; attr is initialised by
    // pthread_getattr_np when that returns 0, and destroyed.
    unsafe {
        let mut attr: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attr) == 0 {
            let (mut base, mut size) = (std::ptr::null_mut(), 0);
            if libc::pthread_attr_getstack(&raw const attr, &raw mut base, &raw mut size) == 0 {
                STACK_TOP.set(base.addr() + size);
            }
            libc::pthread_attr_destroy(&raw mut attr);
        }
    }
}

/// Make the runtime known to the process. False if there is one already.
pub(crate) fn publish(runtime: *mut Runtime) -> bool {
    let null = std::ptr::null_mut();
    RUNTIME
        .compare_exchange(null, runtime, AcqRel, Acquire)
        .is_ok()
}

/// The runtime is about to be freed.
pub(crate) fn retract() {
    RUNTIME.store(std::ptr::null_mut(), Release);
    POISONED.store(false, Relaxed);
}

pub(crate) fn published() -> *mut Runtime {
    RUNTIME.load(Acquire)
}

/// Keep an error's text for dtm_last_error().
pub(crate) fn remember(error: &Error) {
    let text = CString::new(error.text.replace('\0', "?")).unwrap_or_default();
    LAST.with_borrow_mut(|last| *last = Some(text));
}

pub(crate) fn last_error() -> *const std::ffi::c_char {
    LAST.with_borrow(|last| last.as_deref().unwrap_or_default().as_ptr())
}
