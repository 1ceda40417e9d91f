//! Who is this process? One page that the kernel empties in every forked child
//! (MADV_WIPEONFORK), so that a process which the service forked by itself is
//! recognised without a system call, even after a raw clone().

use crate::border::Border;
use crate::error::{Context, Error, Result};
use crate::ffi::*;
use crate::runtime::Runtime;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// The identity of the calling process. All zero after a foreign fork.
#[repr(C)]
pub(crate) struct Identity {
    /// Who may call. First: every call of the API comes by.
    pub(crate) border: Border,
    /// The runtime of those who may call: see `guard.rs`.
    runtime: AtomicPtr<Runtime>,
    /// The service has forked this process, so others may have its descriptors.
    pub(crate) forked: AtomicBool,
    /// DTM_ROLE_*; 0: none of ours.
    role: AtomicU32,
    pub(crate) slot: AtomicU32,
    pub(crate) generation: AtomicU32,
    pub(crate) index: AtomicU32,
    pub(crate) spawn: AtomicU64,
    pub(crate) pid: AtomicI32,
    pub(crate) master_pid: AtomicI32,
}

/// Before [`init`].
static NOBODY: Identity = Identity::new();

static PAGE: AtomicPtr<Identity> = AtomicPtr::new((&raw const NOBODY).cast_mut());

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

/// The border of this process.
#[inline(always)]
pub(crate) fn border() -> &'static Border {
    &me().border
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
    me.border.set_up(role);
    me.runtime.store(crate::guard::published(), Relaxed);
    me.role.store(role, Release);
}

/// Stop being anybody (dtm_free).
pub(crate) fn resign() {
    let me = me();
    me.role.store(0, Release);
    me.border.dissolve();
    me.pid.store(0, Relaxed);
}

impl Identity {
    const fn new() -> Self {
        Self {
            border: Border::new(),
            runtime: AtomicPtr::new(std::ptr::null_mut()),
            forked: AtomicBool::new(false),
            role: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            index: AtomicU32::new(0),
            spawn: AtomicU64::new(0),
            pid: AtomicI32::new(0),
            master_pid: AtomicI32::new(0),
        }
    }

    /// Null for those who may not call.
    #[inline(always)]
    pub(crate) fn runtime(&self) -> *const Runtime {
        self.runtime.load(Relaxed)
    }

    pub(crate) fn role(&self) -> u32 {
        self.role.load(Acquire)
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
