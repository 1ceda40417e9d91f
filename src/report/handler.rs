//! The last words of a child: a handler for the signals that mean a crash, and for the
//! SIGABRT with which the master ends one that hangs. It says what it can in one message
//! on the channel to the master, then once more with the stack, and then lets the
//! signal have its usual effect, core and all.
//!
//! Async-signal-safe as far as the first message goes. Walking the stack is not, in
//! theory: so it comes last, and the process ends all the same, by the same signal, when
//! it gets stuck (an alarm) or faults.

use super::raw::{PEER, Raw};
use super::{label, stack};
use crate::channel::Kind;
use crate::child::voice;
use crate::event::Entry;
use crate::shm::Progress;
use crate::signal::handler::{alarm_within, let_in};
use std::io::Write;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::*};

/// The signals that mean a crash.
const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
];

/// Enough for the handler and the unwinder, with room for a large register state.
const STACK: usize = 64 * 1024;

/// How long the stack may take to walk.
const WALK_SECONDS: u32 = 2;

/// What the process dies of.
static CRASH: AtomicI32 = AtomicI32::new(libc::SIGABRT);
static PROGRESS: AtomicPtr<Progress> = AtomicPtr::new(std::ptr::null_mut());

/// In a child, before the service's code runs. Signals that the service handles by itself
/// stay its own; what it installs later may call on to this.
pub(crate) fn install(progress: &Progress) {
    PROGRESS.store(std::ptr::from_ref(progress).cast_mut(), Release);
    own_stack();
    for signal in SIGNALS {
        take(signal);
    }
}

/// An overflown stack has no room for a handler.
fn own_stack() {
    // SAFETY: plain calls with valid storage; the memory given is never freed.
    unsafe {
        let mut old: libc::stack_t = std::mem::zeroed();
        if libc::sigaltstack(std::ptr::null(), &raw mut old) != 0
            || old.ss_flags & libc::SS_DISABLE == 0
        {
            return;
        }
        let memory = libc::mmap(
            std::ptr::null_mut(),
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
            -1,
            0,
        );
        if memory == libc::MAP_FAILED {
            return;
        }
        let new = libc::stack_t {
            ss_sp: memory,
            ss_flags: 0,
            ss_size: STACK,
        };
        libc::sigaltstack(&raw const new, std::ptr::null_mut());
    }
}

fn take(signal: i32) {
    // SAFETY: valid storage for both; the handler is made for it.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(signal, std::ptr::null(), &raw mut old) == 0;
        if !known || old.sa_sigaction != libc::SIG_DFL {
            return;
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_crash;
        new.sa_sigaction = handler as usize;
        // Once: a second fault, in here, ends the process.
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        libc::sigemptyset(&raw mut new.sa_mask);
        libc::sigaction(signal, &raw const new, std::ptr::null_mut());
    }
}

extern "C" fn on_crash(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if voice::is_ours() {
        let mut raw = Raw::new();
        raw.signal = signal;
        // SAFETY: the kernel's information about this signal, and for these fields
        // storage that every signal has.
        unsafe {
            raw.code = (*info).si_code;
            if raw.code > 0 && signal != libc::SIGABRT {
                raw.address = (*info).si_addr().addr() as u64;
            }
        }
        raw.pc = position(context);
        what(&mut raw);
        voice::insist(Kind::Report, raw.bytes());
        CRASH.store(signal, Relaxed);
        alarm_within(WALK_SECONDS, on_endless_walk as *const () as usize);
        raw.depth = u32::try_from(stack::walk(&mut raw.frames)).unwrap_or(0);
        voice::insist(Kind::Report, raw.bytes());
    }
    // SAFETY: async-signal-safe. The disposition is the default again (SA_RESETHAND). A
    // fault comes again when its instruction does, as the same fault; what was sent by
    // somebody is sent again, and comes when this handler returns.
    unsafe {
        libc::alarm(0);
        if (*info).si_code <= 0 || signal == libc::SIGABRT {
            send_again(signal);
        }
    }
}

/// The walk has not ended: the signal has its usual effect now, core and all.
extern "C" fn on_endless_walk(_alarm: i32) {
    let signal = CRASH.load(Relaxed);
    // The default disposition again, also where a handler of the service's has called ours.
    let_in(signal, libc::SIG_DFL);
    send_again(signal);
}

/// To this thread.
fn send_again(signal: i32) {
    // SAFETY: async-signal-safe.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
}

/// What the process was doing, and for whom.
fn what(raw: &mut Raw) {
    // SAFETY: NULL, or a row that lives as long as the process.
    let Some(progress) = (unsafe { PROGRESS.load(Relaxed).as_ref() }) else {
        return;
    };
    let note = progress.note();
    (raw.doing, raw.client, raw.fd) = (note.doing().into(), note.number(), note.fd());
    let Some(entry) = Entry::in_callback().filter(|entry| entry.id() == note.number()) else {
        return;
    };
    raw.fd = entry.fd();
    let (listener, tag, peer) = entry.origin();
    (raw.listener, raw.tag) = (listener, tag);
    raw.label = label::text(entry.label());
    // Formatting an address allocates nothing.
    let _ = write!(&mut raw.peer[..PEER - 1], "{peer}");
}

fn position(context: *mut libc::c_void) -> u64 {
    let context = context.cast::<libc::ucontext_t>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: with SA_SIGINFO the kernel passes this struct.
    return unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] }.cast_unsigned();
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the same.
    return unsafe { (*context).uc_mcontext.pc };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = context;
        0
    }
}
