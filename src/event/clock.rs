//! CLOCK_MONOTONIC, in the units that the loop counts in.

pub(super) const NS_PER_MS: u64 = 1_000_000;

pub(super) struct Clock(libc::timespec);

impl Clock {
    #[inline(always)]
    pub(super) fn read() -> Self {
        let mut now = std::mem::MaybeUninit::uninit();
        // SAFETY: fills now; this clock always exists.
        unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
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
