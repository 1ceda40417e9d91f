//! Process titles, as ps shows them. The program's own arguments are left alone, as the
//! host may still point into them: the kernel is told that they lie in a page of ours
//! (PR_SET_MM_MAP, which needs no privilege). From then on a title is a few stored bytes.
//!
//! Where the kernel does not offer that (CONFIG_CHECKPOINT_RESTORE), there are no titles.

use crate::error::{Error, Result};
use crate::ffi::*;
use std::cell::RefCell;
use std::os::raw::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// The kernel reads a title of at most a page.
const PAGE: usize = 4096;
/// Longer than any of ours.
const LEN_MAX: usize = 255;

/// The page; null: no titles.
static TITLE: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());
/// How much of it says who this is; behind that, how it is.
static WHO: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static BEFORE: RefCell<Option<Before>> = const { RefCell::new(None) };
}

struct Before {
    map: Map,
    command_line: Vec<u8>,
}

/// `struct prctl_mm_map`
#[repr(C)]
#[derive(Clone, Copy)]
struct Map {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

const PR_SET_MM: i32 = 35;
const PR_SET_MM_MAP: libc::c_ulong = 14;

impl Map {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let field = |n| super::identity::field(&stat, n).filter(|address| *address != 0);
        Some(Self {
            start_code: field(26)?,
            end_code: field(27)?,
            start_data: field(45)?,
            end_data: field(46)?,
            start_brk: field(47)?,
            brk: 0,
            start_stack: field(28)?,
            arg_start: field(48)?,
            arg_end: field(49)?,
            env_start: field(50)?,
            env_end: field(51)?,
            auxv: std::ptr::null(),
            auxv_size: 0,
            exe_fd: u32::MAX,
        })
    }

    fn tell_kernel(mut self) -> Result<()> {
        // SAFETY: asks where the heap ends now, and changes nothing.
        self.brk = unsafe { libc::sbrk(0) }.addr() as u64;
        let size = size_of::<Self>();
        // SAFETY: the struct lives during the call; the kernel checks every address and
        // uses them for /proc only.
        let code = unsafe { libc::prctl(PR_SET_MM, PR_SET_MM_MAP, &raw const self, size, 0) };
        if code != 0 {
            return Err(Error::last_os("prctl(PR_SET_MM_MAP)"));
        }
        Ok(())
    }
}

/// From now on there are titles, here and in children. Nothing is lost when there cannot be.
pub(crate) fn begin() {
    if let Err(error) = try_begin() {
        ::log::debug!("no process titles: {error}");
    }
}

fn try_begin() -> Result<()> {
    let unknown = || {
        Error::new(
            DTM_ENOTSUP,
            "/proc/self/stat does not say where the arguments are",
        )
    };
    let before = Map::read().ok_or_else(unknown)?;
    let command_line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let page = page()?;
    // A last byte that is not 0 tells the kernel that a title ends where its string does.
    // SAFETY: the page has 4096 bytes, all of them atomics.
    unsafe { &*page.add(PAGE - 1) }.store(1, Relaxed);
    let start = page.addr() as u64;
    let ours = Map {
        arg_start: start,
        arg_end: start + PAGE as u64,
        ..before
    };
    ours.tell_kernel()?;
    BEFORE.set(Some(Before {
        map: before,
        command_line,
    }));
    TITLE.store(page, Relaxed);
    Ok(())
}

/// Private memory, so that each process has its own copy of it. Made once, never unmapped.
fn page() -> Result<*mut AtomicU8> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    static PLACE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    if PLACE.load(Relaxed).is_null() {
        let len = std::num::NonZeroUsize::MIN.saturating_add(PAGE - 1);
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping.
        let page = unsafe { mmap_anonymous(None, len, prot, MapFlags::MAP_PRIVATE) };
        let page = page.map_err(|errno| Error::os(errno, "mmap of the title"))?;
        PLACE.store(page.as_ptr(), Relaxed);
    }
    Ok(PLACE.load(Relaxed).cast())
}

/// The arguments that the program was started with, NUL after each, whatever its title.
pub(crate) fn command_line() -> Vec<u8> {
    let kept = BEFORE.with_borrow(|before| before.as_ref().map(|b| b.command_line.clone()));
    kept.unwrap_or_else(|| std::fs::read("/proc/self/cmdline").unwrap_or_default())
}

/// Who this process is: `svc: worker 3 gen 7`.
pub(crate) fn set(who: &str) {
    WHO.store(write(0, who), Relaxed);
}

/// How it is, behind who it is: ` draining`. Empty: nothing special.
pub(crate) fn add(how: &str) {
    write(WHO.load(Relaxed), how);
}

/// Store a text and the 0 behind it. Where it ends.
fn write(at: usize, text: &str) -> usize {
    let page = TITLE.load(Relaxed);
    if page.is_null() {
        return 0;
    }
    let len = text.len().min(LEN_MAX.saturating_sub(at));
    for (i, byte) in text.bytes().take(len).chain([0]).enumerate() {
        // SAFETY: at + i is at most LEN_MAX, within the page; nothing but atomics.
        unsafe { &*page.add(at + i) }.store(byte, Relaxed);
    }
    at + len
}

/// The host's own arguments again (dtm_run() ends).
pub(crate) fn end() {
    TITLE.store(std::ptr::null_mut(), Relaxed);
    if let Some(before) = BEFORE.take()
        && let Err(error) = before.map.tell_kernel()
    {
        ::log::warn!("the process title stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ps would show of this process. One test: a process has one title.
    #[test]
    fn a_title_comes_and_goes_and_the_arguments_stay() {
        let shown = || std::fs::read("/proc/self/cmdline").unwrap();
        let args = shown();
        let own: Vec<String> = std::env::args().collect();
        set("nobody listens yet");
        try_begin().unwrap();
        set("svc: worker 3 gen 7");
        assert_eq!(shown(), b"svc: worker 3 gen 7\0");
        add(" draining");
        assert_eq!(shown(), b"svc: worker 3 gen 7 draining\0");
        add("");
        assert_eq!(shown(), b"svc: worker 3 gen 7\0");
        set(&"x".repeat(1000));
        assert_eq!(shown().len(), LEN_MAX + 1);
        add(" no room");
        assert_eq!(shown().len(), LEN_MAX + 1);
        assert_eq!(command_line(), args);
        assert_eq!(std::env::args().collect::<Vec<_>>(), own);
        end();
        assert_eq!((shown(), command_line()), (args.clone(), args));
    }
}
