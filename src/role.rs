//! Who is this process, and may it call now? One page that the kernel empties in every
//! forked child (MADV_WIPEONFORK), so that a process which the service forked by itself
//! is recognised without a system call, even after a raw clone().

use crate::error::{Context, Error, Result};
use crate::ffi::*;
use crate::stack;
use std::sync::atomic::{
    AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*, compiler_fence,
};

/// The identity of the calling process. All zero after a foreign fork. What every call
/// of the API looks at comes first, on one cache line.
#[repr(C)]
pub(crate) struct Identity {
    /// The role whose calls are let in: this process's own while the service's code
    /// runs; 0 while the library's does, and in a process that may not call at all.
    admits: AtomicU32,
    /// What `admits` is while the service's code runs: the role; 0 once poisoned.
    open: AtomicU32,
    /// Thread register of the owning thread.
    thread: AtomicUsize,
    /// Stack position of the innermost callback that is running, see [`NO_CALLBACK`].
    mark: AtomicUsize,
    /// The object that the running callback is about, mixed with `thread`: a foreign
    /// thread, or one in a forked process, finds nothing that it knows. 0: none.
    object: AtomicUsize,
    /// DTM_ROLE_*; 0: none of ours.
    role: AtomicU32,
    pub(crate) slot: AtomicU32,
    pub(crate) generation: AtomicU32,
    pub(crate) index: AtomicU32,
    pub(crate) spawn: AtomicU64,
    pub(crate) pid: AtomicI32,
    pub(crate) master_pid: AtomicI32,
}

/// No callback is running: every stack position is below this one.
const NO_CALLBACK: usize = usize::MAX;

/// Before [`init`].
static NOBODY: Identity = Identity {
    admits: AtomicU32::new(0),
    open: AtomicU32::new(0),
    thread: AtomicUsize::new(0),
    mark: AtomicUsize::new(NO_CALLBACK),
    object: AtomicUsize::new(0),
    role: AtomicU32::new(0),
    slot: AtomicU32::new(0),
    generation: AtomicU32::new(0),
    index: AtomicU32::new(0),
    spawn: AtomicU64::new(0),
    pid: AtomicI32::new(0),
    master_pid: AtomicI32::new(0),
};

static PAGE: AtomicPtr<Identity> = AtomicPtr::new((&raw const NOBODY).cast_mut());

/// What tells a thread from the others that run: its register for thread-local data.
/// Not an address of such data, which a shared library has to ask ld.so for.
#[inline(always)]
fn this_thread() -> usize {
    let id: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads memory that every thread has; the ABI puts its own address there.
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) id, options(readonly, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) id, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        // SAFETY: no arguments; always succeeds.
        id = unsafe { libc::pthread_self() } as usize;
    }
    id
}

/// Make the page. Once per process image.
pub(crate) fn init() -> Result<()> {
    if std::ptr::eq(me(), &raw const NOBODY) {
        let len = std::num::NonZeroUsize::MIN.saturating_add(4095);
        let prot = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
        let flags = nix::sys::mman::MapFlags::MAP_PRIVATE;
        // SAFETY: a fresh anonymous mapping, never unmapped.
        let page = unsafe { nix::sys::mman::mmap_anonymous(None, len, prot, flags) }
            .context("mmap of the identity page")?;
        // SAFETY: the mapping above; MADV_WIPEONFORK needs a private anonymous one.
        if unsafe { libc::madvise(page.as_ptr(), 4096, libc::MADV_WIPEONFORK) } != 0 {
            return Err(Error::last_os(
                "madvise(MADV_WIPEONFORK), Linux 4.14 or newer is needed",
            ));
        }
        PAGE.store(page.as_ptr().cast(), Release);
    }
    Ok(())
}

/// This process's page.
#[inline(always)]
pub(crate) fn me() -> &'static Identity {
    // SAFETY: NOBODY or the mapping made by init(), which lives for ever; all
    // bit patterns, zero included, are valid atomics.
    unsafe { &*PAGE.load(Acquire) }
}

/// Become somebody: in dtm_new(), in dtm_run(), and in each child right after fork.
pub(crate) fn assume(
    role: u32,
    slot: u32,
    generation: u32,
    index: u32,
    spawn: u64,
    master_pid: i32,
) {
    let me = me();
    me.slot.store(slot, Relaxed);
    me.generation.store(generation, Relaxed);
    me.index.store(index, Relaxed);
    me.spawn.store(spawn, Relaxed);
    me.pid.store(nix::unistd::getpid().as_raw(), Relaxed);
    me.master_pid.store(master_pid, Relaxed);
    me.thread.store(this_thread(), Relaxed);
    if me.mark.load(Relaxed) == 0 {
        me.mark.store(NO_CALLBACK, Relaxed);
    }
    if !me.is_poisoned() {
        me.open.store(role, Relaxed);
    }
    me.role.store(role, Release);
}

/// Stop being anybody (dtm_free).
pub(crate) fn resign() {
    let me = me();
    me.role.store(0, Release);
    me.open.store(0, Relaxed);
    me.admits.store(0, Relaxed);
    me.pid.store(0, Relaxed);
}

impl Identity {
    pub(crate) fn role(&self) -> u32 {
        self.role.load(Acquire)
    }

    #[inline(always)]
    pub(crate) fn on_owner_thread(&self) -> bool {
        self.thread.load(Relaxed) == this_thread()
    }

    /// May one of these roles call now, from this thread and from where its stack is?
    #[inline(always)]
    pub(crate) fn admits(&self, allowed: u32) -> bool {
        self.admits.load(Relaxed) & allowed != 0
            && self.on_owner_thread()
            && stack::position() <= self.mark.load(Relaxed)
    }

    /// Is the running callback about this object, and the one who asks?
    #[inline(always)]
    pub(crate) fn is_about(&self, object: usize) -> bool {
        self.object.load(Relaxed) == object ^ this_thread()
            && stack::position() <= self.mark.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set_object(&self, object: usize) {
        let thread = self.thread.load(Relaxed);
        self.object.store(object ^ thread, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn unset_object(&self) {
        self.object.store(0, Relaxed);
    }

    /// Library code begins to run: a signal handler must not call in between.
    #[inline(always)]
    pub(crate) fn close(&self) {
        self.admits.store(0, Relaxed);
        compiler_fence(SeqCst);
    }

    /// The service's code goes on.
    #[inline(always)]
    pub(crate) fn reopen(&self) {
        compiler_fence(SeqCst);
        self.admits.store(self.open.load(Relaxed), Relaxed);
    }

    /// What the runtime was working on is lost: nobody may call any more.
    pub(crate) fn poison(&self) {
        self.open.store(0, Relaxed);
        self.close();
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.role() != 0 && self.open.load(Relaxed) == 0
    }

    /// The library's own code is running on this thread, so whoever asks is a signal
    /// handler that has interrupted it.
    pub(crate) fn is_inside(&self) -> bool {
        self.open.load(Relaxed) != 0 && self.admits.load(Relaxed) == 0 && self.on_owner_thread()
    }

    /// A callback begins here. Returns what end_callback() wants.
    #[inline(always)]
    pub(crate) fn begin_callback(&self) -> usize {
        let outer = self.mark.load(Relaxed);
        self.mark.store(stack::position(), Relaxed);
        self.reopen();
        outer
    }

    /// It has returned. False: in a process that the service forked in it.
    #[inline(always)]
    pub(crate) fn end_callback(&self, outer: usize) -> bool {
        self.close();
        let ours = self.mark.load(Relaxed) != 0;
        self.mark.store(outer, Relaxed);
        ours
    }

    /// The innermost callback that is running began here.
    pub(crate) fn callback_began(&self) -> Option<usize> {
        match self.mark.load(Relaxed) {
            0 | NO_CALLBACK => None,
            mark => Some(mark),
        }
    }
}

/// This process's role; 0 when it is none of the runtime's.
pub(crate) fn current() -> u32 {
    me().role()
}

/// "worker 3" and the like.
pub(crate) fn name(role: u32) -> &'static str {
    match role {
        DTM_ROLE_HOST => "host",
        DTM_ROLE_MASTER => "master",
        DTM_ROLE_WORKER => "worker",
        DTM_ROLE_CONTROLLER => "controller",
        DTM_ROLE_FUNC => "func",
        _ => "stranger",
    }
}
