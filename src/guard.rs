//! The two borders. [`enter`]: C calls us: who calls, from where, and no panic
//! gets out. [`callback`]: we call C: remember how deep, to notice a longjmp.

use crate::answer::{Answer, answer, remembered};
use crate::border::Border;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::role;
use crate::runtime::Runtime;
use crate::stack;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, Ordering::*};

/// Every role.
pub(crate) const ANY: u32 = DTM_ROLE_HOST | DTM_ROLE_MASTER | CHILD;
/// Every child.
pub(crate) const CHILD: u32 = DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER | DTM_ROLE_FUNC;
/// Those that have clients.
pub(crate) const SERVING: u32 = DTM_ROLE_WORKER | DTM_ROLE_CONTROLLER;

static RUNTIME: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// dtm_new() or a refusal is under way, which a signal handler must not disturb.
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
}

/// C calls us on a runtime handle.
#[inline(always)]
pub(crate) fn enter_rt<T: Answer>(
    rt: *const dtm_t,
    allowed: u32,
    f: impl FnOnce(&'static Runtime) -> Result<T>,
) -> T::C {
    if !role::border().admits(allowed)
        && let Err(code) = reconsider(allowed, rt.is_null(), stack::position())
    {
        return T::failed(code);
    }
    guarded(|runtime| match std::ptr::addr_eq(rt, runtime) {
        true => f(runtime),
        false => Err(not_the_handle(rt)),
    })
}

/// C calls us on a client, watch, timer or lock.
#[inline(always)]
pub(crate) fn enter<T: Answer>(
    allowed: u32,
    f: impl FnOnce(&'static Runtime) -> Result<T>,
) -> T::C {
    if !role::border().admits(allowed) {
        return hesitate::<T>(allowed, stack::position(), || guarded(f));
    }
    guarded(f)
}

/// The same for calls that only read, or store one word: there is nothing half done that
/// a signal handler could come upon, and nothing that could panic.
#[inline(always)]
pub(crate) fn look<T: Answer>(allowed: u32, f: impl FnOnce() -> Result<T>) -> T::C {
    if !role::border().admits(allowed) {
        return hesitate::<T>(allowed, stack::position(), || answer(f()));
    }
    answer(f())
}

/// A callback asks about the very object that it was called for, see [`callback_on`]:
/// there is no more to check.
#[inline(always)]
pub(crate) fn object_of(name: usize) -> Option<usize> {
    role::border().object_of(name)
}

/// A change of a word or two by such a callback. None: a signal handler has interrupted
/// the library there.
#[inline(always)]
pub(crate) fn adjust<R>(f: impl FnOnce(&'static Runtime) -> R) -> Option<R> {
    let border = role::border();
    if !border.admits(ANY) {
        return None;
    }
    border.close();
    let result = f(runtime());
    border.reopen();
    Some(result)
}

/// Out of line, with a copy of the work: the quick way keeps no register for it.
#[cold]
#[inline(never)]
fn hesitate<T: Answer>(allowed: u32, sp: usize, go_on: impl FnOnce() -> T::C) -> T::C {
    match reconsider(allowed, false, sp) {
        Ok(()) => go_on(),
        Err(code) => T::failed(code),
    }
}

#[inline(always)]
fn guarded<T: Answer>(f: impl FnOnce(&'static Runtime) -> Result<T>) -> T::C {
    role::border().close();
    match catch_unwind(AssertUnwindSafe(|| f(runtime()))) {
        Ok(result) => {
            role::border().reopen();
            answer(result)
        }
        Err(_) => T::failed(panicked()),
    }
}

/// The runtime of a call that was let in.
#[inline(always)]
fn runtime() -> &'static Runtime {
    // SAFETY: nobody is let in without a role, and with that the runtime is known until
    // retract().
    unsafe { &*role::me().runtime() }
}

/// C calls us before there is a runtime.
pub(crate) fn enter_fresh<T: Answer>(f: impl FnOnce() -> Result<T>) -> T::C {
    if OCCUPIED.replace(true) {
        return T::failed(DTM_EROLE);
    }
    let result = catch_unwind(AssertUnwindSafe(f));
    OCCUPIED.set(false);
    match result {
        Ok(result) => {
            if result.is_ok() {
                role::border().reopen();
            }
            answer(result)
        }
        Err(_) => T::failed(panicked()),
    }
}

/// The quick look said no. Say why, or that there is nothing wrong after all.
#[cold]
#[inline(never)]
fn reconsider(allowed: u32, null: bool, sp: usize) -> std::result::Result<(), i32> {
    if role::border().is_inside() || OCCUPIED.replace(true) {
        // Only a signal handler can get here: callbacks run with the border open.
        return Err(DTM_EROLE);
    }
    let verdict = match null {
        true => Err(Error::invalid("rt is NULL")),
        false => admit(allowed, sp),
    };
    let verdict = verdict.map_err(remembered);
    OCCUPIED.set(false);
    verdict
}

fn admit(allowed: u32, sp: usize) -> Result<()> {
    if published().is_null() {
        return Err(Error::new(
            DTM_ESTATE,
            "this process has no runtime: call dtm_new() first",
        ));
    }
    let (role, border) = (role::current(), role::border());
    if role == 0 {
        return Err(Error::new(
            DTM_EFORKED,
            "this process was forked by the service, not by libdtm: nothing was done",
        ));
    }
    if !border.on_owner_thread() {
        return Err(Error::new(
            DTM_EROLE,
            "called from another thread than the runtime's own",
        ));
    }
    if border.is_poisoned() {
        return Err(Error::new(
            DTM_EPANIC,
            "the runtime was left by an internal error or a longjmp",
        ));
    }
    check_depth(sp)?;
    if role & allowed == 0 {
        let name = role::name(role);
        return Err(Error::new(
            DTM_EROLE,
            format!("this call is not allowed in the {name} process"),
        ));
    }
    Ok(())
}

/// A callback that was left by longjmp leaves its mark behind: now we are called
/// from above it. Its frames, and our own state between them, are gone.
fn check_depth(sp: usize) -> Result<()> {
    match role::border().callback_began() {
        // A service that switches stacks may call from anywhere else.
        Some(mark) if sp > mark && stack::is_own(sp) => {}
        _ => return Ok(()),
    }
    ::log::error!("a callback was left by longjmp: this process cannot go on");
    give_up();
    Err(Error::new(
        DTM_EPANIC,
        "a callback was left by longjmp: the runtime is unusable",
    ))
}

#[cold]
fn not_the_handle(rt: *const dtm_t) -> Error {
    Error::invalid(match rt.is_null() {
        true => "rt is NULL",
        false => "rt is not the handle that dtm_new() returned",
    })
}

#[cold]
fn panicked() -> i32 {
    ::log::error!("internal error (panic) in libdtm: this process's runtime is unusable");
    give_up();
    DTM_EPANIC
}

/// A child must not go on with half-changed state; the master answers, and dtm_run()
/// stops the service in order.
fn give_up() {
    if role::current() & CHILD != 0 {
        crate::process::exit_now(DTM_EXIT_BROKEN);
    }
    role::border().poison();
}

/// We call C. Every call of a service's function goes through here.
#[inline(always)]
pub(crate) fn callback<R>(f: impl FnOnce() -> R) -> R {
    callback_of(role::border(), f)
}

#[inline(always)]
fn callback_of<R>(border: &Border, f: impl FnOnce() -> R) -> R {
    let outer = border.begin_callback();
    let result = f();
    if !border.end_callback(outer) {
        // The service forked in its callback, and this is its child: it must not
        // go on as a second one of us, on the same epoll and sockets.
        crate::process::exit_now(DTM_EXIT_BROKEN);
    }
    result
}

/// The same for a callback about one object of the API.
#[inline(always)]
pub(crate) fn callback_on<R>(object: usize, name: usize, f: impl FnOnce() -> R) -> R {
    let border = role::border();
    border.set_object(object, name);
    let result = callback_of(border, f);
    border.unset_object();
    result
}

/// The object of the callback that is running is gone.
pub(crate) fn forget_object() {
    role::border().unset_object();
}

/// The same for callbacks that hold the master up.
pub(crate) fn timed<R>(name: &str, f: impl FnOnce() -> R) -> R {
    let began = crate::sys::now_ms();
    let result = callback(f);
    crate::signal::handler::suspect();
    let took = crate::sys::now_ms().saturating_sub(began);
    if took > 1_000 {
        ::log::warn!("the callback {name} took {took} ms: nothing else was done meanwhile");
    }
    result
}

/// What a callback says whose result is 0 or negative: what else it returns, such as EAGAIN
/// without its sign or a bool, is a mistake, and no success.
pub(crate) fn verdict(name: &str, code: i32) -> i32 {
    if code <= 0 {
        return code;
    }
    ::log::error!(
        "{name} returned {code}, which means nothing: it must be 0, or negative for a failure"
    );
    DTM_EINVAL
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
    role::resign();
    RUNTIME.store(std::ptr::null_mut(), Release);
}

pub(crate) fn published() -> *mut Runtime {
    RUNTIME.load(Acquire)
}
