//! The words that say who may call the library now. They lie in the page that the
//! kernel empties in every forked child (see `role.rs`), on one cache line: each call of
//! the API and each callback comes by here.

use crate::stack;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*, compiler_fence};

#[repr(C)]
pub(crate) struct Border {
    /// The role whose calls are let in: this process's own while the service's code
    /// runs; 0 while the library's does, and in a process that may not call at all.
    admits: AtomicU32,
    /// What `admits` is while the service's code runs: the role; 0 once poisoned.
    open: AtomicU32,
    /// Thread register of the owning thread; 0: there is none.
    thread: AtomicUsize,
    /// Stack position of the innermost callback that is running, see [`NO_CALLBACK`].
    mark: AtomicUsize,
    /// Where the object is that the running callback is about.
    object: AtomicUsize,
    /// Its name, mixed with `thread`: a foreign thread, one in a forked process, or who has
    /// another name finds nothing that it knows. 0: there is none.
    name: AtomicUsize,
}

/// No callback is running: every stack position is below this one.
const NO_CALLBACK: usize = usize::MAX;

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

impl Border {
    pub(crate) const fn new() -> Self {
        Self {
            admits: AtomicU32::new(0),
            open: AtomicU32::new(0),
            thread: AtomicUsize::new(0),
            mark: AtomicUsize::new(NO_CALLBACK),
            object: AtomicUsize::new(0),
            name: AtomicUsize::new(0),
        }
    }

    /// From now on this thread calls, in this role. Not before it is reopened.
    pub(crate) fn set_up(&self, role: u32) {
        if self.mark.load(Relaxed) == 0 {
            self.mark.store(NO_CALLBACK, Relaxed);
        }
        if !self.is_poisoned() {
            self.open.store(role, Relaxed);
        }
        self.thread.store(this_thread(), Relaxed);
    }

    /// Nobody calls any more.
    pub(crate) fn dissolve(&self) {
        self.admits.store(0, Relaxed);
        self.open.store(0, Relaxed);
        self.thread.store(0, Relaxed);
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

    /// Where the object of this name is, if the running callback is about that one, and it is
    /// the one who asks.
    #[inline(always)]
    pub(crate) fn object_of(&self, name: usize) -> Option<usize> {
        let known = self.name_here() == name && stack::position() <= self.mark.load(Relaxed);
        known.then(|| self.object.load(Relaxed))
    }

    /// The name, as the calling thread sees it.
    #[inline(always)]
    fn name_here(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            let name: usize;
            // SAFETY: reads what this_thread() does, and an aligned word of our own, which no
            // compiler reads and mixes in one instruction when it is an atomic one.
            unsafe {
                std::arch::asm!(
                    "mov {name}, fs:[0]",
                    "xor {name}, [{border} + {at}]",
                    name = out(reg) name,
                    border = in(reg) std::ptr::from_ref(self),
                    at = const std::mem::offset_of!(Border, name),
                    options(readonly, nostack)
                );
            }
            name
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self.name.load(Relaxed) ^ this_thread()
        }
    }

    #[inline(always)]
    pub(crate) fn set_object(&self, object: usize, name: usize) {
        let thread = self.thread.load(Relaxed);
        self.name.store(name ^ thread, Relaxed);
        self.object.store(object, Relaxed);
    }

    /// The name of what the running callback is about, whoever asks; 0: nothing.
    pub(crate) fn name(&self) -> usize {
        match self.name.load(Relaxed) {
            0 => 0,
            mixed => mixed ^ self.thread.load(Relaxed),
        }
    }

    #[inline(always)]
    pub(crate) fn unset_object(&self) {
        self.name.store(0, Relaxed);
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
        self.thread.load(Relaxed) != 0 && self.open.load(Relaxed) == 0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::*;

    fn worker() -> Border {
        let me = Border::new();
        me.set_up(DTM_ROLE_WORKER);
        me.reopen();
        me
    }

    /// What the kernel does to the page of a process that the service forks.
    fn wipe(me: &Border) {
        for word in [&me.admits, &me.open] {
            word.store(0, Relaxed);
        }
        for word in [&me.thread, &me.mark, &me.object, &me.name] {
            word.store(0, Relaxed);
        }
    }

    fn elsewhere(f: impl Fn() -> bool + Send) -> bool {
        std::thread::scope(|scope| scope.spawn(f).join().unwrap())
    }

    #[test]
    fn its_own_role_and_thread_are_let_in() {
        let me = worker();
        assert!(me.admits(DTM_ROLE_WORKER) && me.admits(DTM_ROLE_WORKER | DTM_ROLE_HOST));
        assert!(!me.admits(DTM_ROLE_HOST));
        assert!(!elsewhere(|| me.admits(DTM_ROLE_WORKER)));
        me.close();
        assert!(!me.admits(DTM_ROLE_WORKER) && me.is_inside());
        assert!(!elsewhere(|| me.is_inside()));
        me.reopen();
        assert!(me.admits(DTM_ROLE_WORKER) && !me.is_inside());
        me.poison();
        me.set_up(DTM_ROLE_WORKER);
        me.reopen();
        assert!(me.is_poisoned() && !me.admits(DTM_ROLE_WORKER) && !me.is_inside());
    }

    #[test]
    fn nobody_above_a_callback_is_let_in() {
        let me = worker();
        let outer = me.begin_callback();
        assert!(me.admits(DTM_ROLE_WORKER));
        let inner = me.begin_callback();
        me.mark.store(1, Relaxed); // as if it had begun far below
        assert!(!me.admits(DTM_ROLE_WORKER));
        assert!(me.end_callback(inner));
        me.reopen();
        assert!(me.admits(DTM_ROLE_WORKER) && me.callback_began().is_some());
        assert!(me.end_callback(outer));
        assert!(me.callback_began().is_none());
    }

    #[test]
    fn what_a_callback_is_about() {
        let me = worker();
        let about = |name| me.object_of(name);
        assert!(about(0).is_none() && about(64).is_none());
        me.set_object(64, 65);
        assert_eq!((about(65), me.name()), (Some(64), 65));
        assert!(about(64).is_none() && about(0).is_none());
        assert!(!elsewhere(|| about(65).is_some()));
        me.mark.store(1, Relaxed);
        assert!(about(65).is_none(), "called from above the callback");
        me.mark.store(NO_CALLBACK, Relaxed);
        me.unset_object();
        assert!(about(65).is_none() && me.name() == 0);
    }

    #[test]
    fn a_process_that_the_service_forked() {
        let me = worker();
        let outer = me.begin_callback();
        me.set_object(64, 65);
        wipe(&me);
        assert!(!me.admits(u32::MAX));
        assert!([0, 64, 65].iter().all(|name| me.object_of(*name).is_none()));
        assert!(!me.is_inside() && !me.is_poisoned());
        assert!(!me.end_callback(outer));
    }
}
