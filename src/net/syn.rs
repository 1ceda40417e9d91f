//! A TCP listener that makes no new connections, while what it has made is accepted as
//! ever. The kernel has no such state: shutdown() resets what waits. So a filter drops
//! the SYNs; the client repeats its own after a second, and then finds the listener
//! serving, or gone. Handshakes that have begun are completed.

use nix::errno::Errno;
use std::os::fd::RawFd;

const FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const SYN_ACK: u32 = 0x12;

const fn code(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "opcodes are below 0x100")]
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}

/// Over the TCP header: drop what opens a connection.
const FILTER: [libc::sock_filter; 5] = [
    code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
    code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN_ACK),
    code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
    code(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    code(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
];

/// Make no new connections at this socket, whoever has it open.
pub(crate) fn refuse(fd: RawFd) {
    if let Err(errno) = drop_syns(fd) {
        // It goes on listening for a moment.
        ::log::warn!("setsockopt(SO_ATTACH_FILTER): {}", errno.desc());
    }
}

pub(super) fn drop_syns(fd: RawFd) -> nix::Result<()> {
    let mut filter = FILTER;
    let program = libc::sock_fprog {
        len: 5,
        filter: filter.as_mut_ptr(),
    };
    set(fd, libc::SO_ATTACH_FILTER, &program)
}

/// Make connections again.
pub(super) fn take(fd: RawFd) -> nix::Result<()> {
    set(fd, libc::SO_DETACH_FILTER, &0i32)
}

/// The address is free: another process that still has the socket does not keep it.
pub(crate) fn end(fd: RawFd) {
    // SAFETY: a plain system call on a descriptor; a bad one answers an error.
    unsafe { libc::shutdown(fd, libc::SHUT_RD) };
}

fn set<T>(fd: RawFd, option: libc::c_int, value: &T) -> nix::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` is of the type that the option reads, and lives meanwhile.
    Errno::result(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value, len) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    fn connect(listener: &TcpListener) -> std::io::Result<TcpStream> {
        let address = listener.local_addr().unwrap();
        TcpStream::connect_timeout(&address, Duration::from_millis(300))
    }

    #[test]
    fn what_waits_is_served_and_nobody_new_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut waiting = connect(&listener).unwrap();
        drop_syns(listener.as_raw_fd()).unwrap();
        let late = connect(&listener).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
        drop(listener.accept().unwrap());
        assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "closed, not reset");
        take(listener.as_raw_fd()).unwrap();
        let _again = connect(&listener).unwrap();
    }

    #[test]
    fn the_end_frees_the_address_whoever_has_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        end(listener.as_raw_fd());
        let refused = connect(&listener).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        TcpListener::bind(address).unwrap();
    }
}
