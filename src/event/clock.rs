//! CLOCK_MONOTONIC, in the units that the loop counts in.

pub(super) const NS_PER_MS: u64 = 1_000_000;

pub(super) struct Clock(libc::timespec);

/// clock_gettime().
pub(super) type Gettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int;

/// The kernel's function itself, where the C library's would look it up at each call, in
/// tables that nothing else touches: a process that was asleep finds those cold. Without
/// one (static programs, valgrind): the C library's.
pub(super) fn gettime() -> Gettime {
    #[cfg(target_arch = "x86_64")]
    let name = c"__vdso_clock_gettime";
    #[cfg(not(target_arch = "x86_64"))]
    let name = c"__kernel_clock_gettime";
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
    // SAFETY: loads nothing; what the kernel maps is never unmapped.
    let vdso = unsafe { libc::dlopen(c"linux-vdso.so.1".as_ptr(), flags) };
    if vdso.is_null() {
        return libc::clock_gettime;
    }
    // SAFETY: a handle just opened, and a name.
    let found = unsafe { libc::dlsym(vdso, name.as_ptr()) };
    match found.is_null() {
        true => libc::clock_gettime,
        // SAFETY: the kernel's function of this name has this signature.
        false => unsafe { std::mem::transmute::<*mut libc::c_void, Gettime>(found) },
    }
}

impl Clock {
    #[inline(always)]
    pub(super) fn read() -> Self {
        Self::by(libc::clock_gettime)
    }

    #[inline(always)]
    pub(super) fn by(gettime: Gettime) -> Self {
        let mut now = std::mem::MaybeUninit::uninit();
        // SAFETY: fills now; this clock always exists.
        unsafe {
            gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
            Self(now.assume_init())
        }
    }

    #[inline(always)]
    pub(super) fn ns(&self) -> u64 {
        let seconds = self.0.tv_sec.cast_unsigned();
        seconds * 1000 * NS_PER_MS + self.0.tv_nsec.cast_unsigned()
    }

    /// What has fully passed: to compare with deadlines.
    #[inline(always)]
    pub(super) fn floor_ms(&self) -> u64 {
        self.0.tv_sec.cast_unsigned() * 1000 + self.0.tv_nsec.cast_unsigned() / NS_PER_MS
    }

    /// To count a deadline from: no timer comes early.
    pub(super) fn ceil_ms(&self) -> u64 {
        let ms = self.0.tv_nsec.cast_unsigned().div_ceil(NS_PER_MS);
        self.0.tv_sec.cast_unsigned() * 1000 + ms
    }

    /// A number that another process is unlikely to get.
    pub(super) fn seed(&self) -> u32 {
        u32::try_from(self.0.tv_nsec).unwrap_or(0)
    }
}
