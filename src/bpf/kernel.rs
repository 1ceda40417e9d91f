//! bpf(2): the few commands that are needed, and what to do when they fail.

use super::asm::Insn;
use crate::error::{Error, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_REUSEPORT_SOCKARRAY: u32 = 20;
const F_MMAPABLE: u32 = 1 << 10;

const PROG_TYPE_SK_REUSEPORT: u32 = 21;
/// The program is also asked who inherits the queue of a socket that is closed
/// (Linux 5.14; older ones ignore it and reset those connections).
const SK_REUSEPORT_SELECT_OR_MIGRATE: u32 = 40;

/// Room for the verifier's log, of which the end is shown.
const LOG: usize = 4 << 20;
const LOG_SHOWN: usize = 600;

/// The name that `bpftool` shows.
const NAME: [u8; 16] = *b"dtm_steer\0\0\0\0\0\0\0";

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
    pad: u32,
}

#[repr(C)]
struct MapElement {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

/// An array with one value, which programs and processes share by mmap().
pub(super) fn shared_value(size: usize) -> Result<OwnedFd> {
    create(MAP_TYPE_ARRAY, number(size)?, 1, F_MMAPABLE)
}

/// An array of listening sockets; read, it names them by their cookies.
pub(super) fn sockets(n: usize) -> Result<OwnedFd> {
    create(MAP_TYPE_REUSEPORT_SOCKARRAY, 8, number(n)?, 0)
}

fn create(map_type: u32, value_size: u32, max_entries: u32, flags: u32) -> Result<OwnedFd> {
    let attributes = MapCreate {
        map_type,
        key_size: 4,
        value_size,
        max_entries,
        flags,
        inner_map: 0,
        numa_node: 0,
        name: NAME,
        pad: 0,
    };
    // SAFETY: no pointers inside.
    let fd = unsafe { bpf(MAP_CREATE, &attributes) }.map_err(|e| explain(e, "BPF_MAP_CREATE"))?;
    Ok(owned(fd))
}

/// sockets[index] = socket. It must be listening, in a group, and at no other place.
pub(super) fn place(sockets: &OwnedFd, index: usize, socket: BorrowedFd<'_>) -> Result<()> {
    let key = number(index)?;
    let mut value = u64::from(socket.as_raw_fd().cast_unsigned());
    match element(MAP_UPDATE_ELEM, sockets, key, &mut value) {
        // The kernel refuses a socket that has a place, even if it is this one.
        Err(Errno::EBUSY) if holds(sockets, key, socket) => Ok(()),
        done => done.map_err(|e| Error::os(e, format!("steer: placing socket {index}"))),
    }
}

/// This place is free again.
pub(super) fn vacate(sockets: &OwnedFd, index: usize) {
    let Ok(key) = number(index) else { return };
    let attributes = MapElement {
        map: sockets.as_raw_fd().cast_unsigned(),
        pad: 0,
        key: address(&raw const key),
        // The kernel insists.
        value: 0,
        flags: 0,
    };
    // SAFETY: the key is as large as the map was made for. An error means that the place
    // is free already, or that its socket is gone.
    let _ = unsafe { bpf(MAP_DELETE_ELEM, &attributes) };
}

fn holds(sockets: &OwnedFd, key: u32, socket: BorrowedFd<'_>) -> bool {
    let (mut there, mut cookie) = (0, 0);
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or_default();
    // SAFETY: the option is a number of 64 bits, and that is the room given.
    let known = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    known == 0 && element(MAP_LOOKUP_ELEM, sockets, key, &mut there) == Ok(()) && there == cookie
}

/// Read a socket's cookie from the array, or write a descriptor.
fn element(command: libc::c_int, array: &OwnedFd, key: u32, value: &mut u64) -> nix::Result<()> {
    let attributes = MapElement {
        map: array.as_raw_fd().cast_unsigned(),
        pad: 0,
        key: address(&raw const key),
        value: address(&raw mut *value),
        flags: 0,
    };
    // SAFETY: key and value are as large as the map was made for.
    unsafe { bpf(command, &attributes) }.map(drop)
}

/// Load a program that chooses a socket.
pub(super) fn load(insns: &[Insn]) -> Result<OwnedFd> {
    match try_load(insns, &mut []) {
        Ok(fd) => Ok(fd),
        Err(errno @ (Errno::EINVAL | Errno::EACCES | Errno::E2BIG)) => {
            // Asked for only now: writing the log takes longer than verifying.
            let mut log = vec![0; LOG];
            let _ = try_load(insns, &mut log);
            let Error { code, text } = explain(errno, "BPF_PROG_LOAD");
            let said = end_of(&log);
            Err(Error::new(code, format!("{text}; the verifier: {said}")))
        }
        Err(errno) => Err(explain(errno, "BPF_PROG_LOAD")),
    }
}

fn try_load(insns: &[Insn], log: &mut [u8]) -> nix::Result<OwnedFd> {
    // No helper in use is reserved for the GPL (since Linux 5.8).
    let license: &CStr = c"MIT OR Apache-2.0";
    let attributes = ProgLoad {
        prog_type: PROG_TYPE_SK_REUSEPORT,
        insn_count: u32::try_from(insns.len()).map_err(|_| Errno::E2BIG)?,
        insns: address(insns.as_ptr()),
        license: address(license.as_ptr()),
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(|_| Errno::E2BIG)?,
        log: if log.is_empty() {
            0
        } else {
            address(log.as_mut_ptr())
        },
        kernel_version: 0,
        flags: 0,
        name: NAME,
        ifindex: 0,
        attach_type: SK_REUSEPORT_SELECT_OR_MIGRATE,
    };
    // The verifier gives up (EAGAIN) when a signal comes, which may be each time. C01
    let before = crate::signal::mask::block_all();
    // SAFETY: the pointers are valid for the given numbers of elements.
    let loaded = unsafe { bpf(PROG_LOAD, &attributes) }.map(owned);
    crate::signal::mask::set(&before);
    loaded
}

/// # Safety
/// The attributes are those of the command, and so is what they point to.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> nix::Result<i32> {
    // SAFETY: as the caller promises; the kernel reads no more than the size given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    Errno::result(fd).map(|fd| i32::try_from(fd).unwrap_or(-1))
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just made it, close-on-exec, and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The kernel may read and write there, behind the compiler's back.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn number(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| Error::invalid(format!("steer: {n} is too large")))
}

fn explain(errno: Errno, command: &str) -> Error {
    let Error { code, text } = Error::os(errno, format!("steer: bpf({command})"));
    let hint = match errno {
        Errno::EPERM => {
            "needs CAP_BPF and CAP_NET_ADMIN, or root; a container or seccomp may forbid it, too"
        }
        Errno::ENOSYS => "this kernel is built without bpf(2)",
        Errno::EINVAL | Errno::E2BIG | Errno::EACCES => "needs Linux 5.8",
        _ => return Error::new(code, text),
    };
    Error::new(code, format!("{text} ({hint})"))
}

/// The last lines of a log, on one line.
fn end_of(log: &[u8]) -> String {
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let end = &text[text.len().saturating_sub(LOG_SHOWN)..];
    let lines = String::from_utf8_lossy(end);
    let lines: Vec<_> = lines
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::{Program, Reg};

    #[test]
    fn the_end_of_a_log() {
        assert_eq!(
            end_of(b"0: exit\nR0 !read_ok\n\0\0junk"),
            "0: exit | R0 !read_ok"
        );
        assert_eq!(end_of(b""), "");
        let long = format!("{}last\n", "x".repeat(5000));
        assert!(end_of(long.as_bytes()).ends_with("xlast"));
        assert_eq!(end_of(long.as_bytes()).len(), LOG_SHOWN - 1);
    }

    #[test]
    fn a_rejected_program_shows_why() {
        if !crate::bpf::tests::privileged() {
            return;
        }
        let mut program = Program::default();
        program.exit();
        let error = load(&program.finish().unwrap()).unwrap_err();
        assert_eq!(error.code, -libc::EACCES);
        assert!(error.text.contains("R0 !read_ok"), "{error}");

        let mut program = Program::default();
        program.map_value(Reg::R1, -1);
        program.exit();
        let error = load(&program.finish().unwrap()).unwrap_err();
        assert_eq!(error.code, -libc::EBADF, "{error}");
    }
}
