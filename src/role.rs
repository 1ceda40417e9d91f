//! Who is this process? One page that the kernel empties in every forked child
//! (MADV_WIPEONFORK), so that a process which the service forked by itself is
//! recognised without a system call, even after a raw clone().

use crate::error::{Context, Error, Result};
use crate::ffi::*;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

/// The identity of the calling process. All zero after a foreign fork.
#[derive(Default)]
pub(crate) struct Identity {
    /// DTM_ROLE_*; 0: none of ours.
    role: AtomicU32,
    pub(crate) slot: AtomicU32,
    pub(crate) generation: AtomicU32,
    pub(crate) index: AtomicU32,
    pub(crate) spawn: AtomicU64,
    pub(crate) pid: AtomicI32,
    pub(crate) master_pid: AtomicI32,
    /// Address of a thread-local of the owning thread.
    thread: AtomicUsize,
}

static PAGE: AtomicPtr<Identity> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    static MARK: u8 = const { 0 };
}

fn this_thread() -> usize {
    MARK.with(|m| std::ptr::from_ref(m) as usize)
}

/// Make the page. Once per process image.
pub(crate) fn init() -> Result<()> {
    if PAGE.load(Acquire).is_null() {
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

/// The page; `None` before [`init`].
pub(crate) fn page() -> Option<&'static Identity> {
    // SAFETY: NULL or the mapping made by init(), which lives for ever; all
    // bit patterns, zero included, are valid atomics.
    unsafe { PAGE.load(Acquire).as_ref() }
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
    if let Some(me) = page() {
        me.slot.store(slot, Relaxed);
        me.generation.store(generation, Relaxed);
        me.index.store(index, Relaxed);
        me.spawn.store(spawn, Relaxed);
        me.pid.store(nix::unistd::getpid().as_raw(), Relaxed);
        me.master_pid.store(master_pid, Relaxed);
        me.thread.store(this_thread(), Relaxed);
        me.role.store(role, Release);
    }
}

/// Stop being anybody (dtm_free).
pub(crate) fn resign() {
    if let Some(me) = page() {
        me.role.store(0, Release);
        me.pid.store(0, Relaxed);
    }
}

impl Identity {
    pub(crate) fn role(&self) -> u32 {
        self.role.load(Acquire)
    }

    pub(crate) fn on_owner_thread(&self) -> bool {
        self.thread.load(Relaxed) == this_thread()
    }
}

/// This process's role; 0 when it is none of the runtime's.
pub(crate) fn current() -> u32 {
    page().map_or(0, Identity::role)
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
