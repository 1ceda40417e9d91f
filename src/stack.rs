//! Where on which stack does this code run?

use std::cell::Cell;

thread_local! {
    /// Upper end of this thread's own stack; 0: unknown.
    static TOP: Cell<usize> = const { Cell::new(0) };
}

/// Where the stack is, give or take a frame.
#[inline(always)]
pub(crate) fn position() -> usize {
    let sp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let here = 0u8;
        sp = (&raw const here).addr();
    }
    sp
}

/// Does this position lie in this thread's own stack, and not in one that the service
/// has made and switched to? Only positions above a callback's are asked about.
pub(crate) fn is_own(position: usize) -> bool {
    position <= TOP.get()
}

/// Note where this thread's stack ends. Called by dtm_run() and dtm_check().
pub(crate) fn note_top() {
    // SAFETY: plain queries about the calling thread; attr is initialised by
    // pthread_getattr_np when that returns 0, and destroyed.
    unsafe {
        let mut attr: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attr) == 0 {
            let (mut base, mut size) = (std::ptr::null_mut(), 0);
            if libc::pthread_attr_getstack(&raw const attr, &raw mut base, &raw mut size) == 0 {
                TOP.set(base.addr() + size);
            }
            libc::pthread_attr_destroy(&raw mut attr);
        }
    }
}
