//! What the kernel tells of listeners: what waits there, and what it dropped.

use crate::sys::readable;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Of a listener this field is the length of its queue.
const UNACKED: usize = offset_of!(libc::tcp_info, tcpi_unacked) / size_of::<u32>();
/// SK_MEMINFO_DROPS of linux/sock_diag.h.
const DROPS: usize = 8;

/// How many connections wait. Where the kernel does not tell: 0 or 1.
pub(super) fn depth(listener: BorrowedFd<'_>) -> u32 {
    let info = words::<{ UNACKED + 1 }>(listener, libc::IPPROTO_TCP, libc::TCP_INFO);
    info.map_or_else(|| readable(listener).into(), |info| info[UNACKED])
}

/// What the socket has dropped since it was made, connections and whatever else came;
/// it wraps. Where the kernel does not tell, and at a Unix listener: 0.
pub(super) fn drops(listener: BorrowedFd<'_>) -> u32 {
    let info = words::<{ DROPS + 1 }>(listener, libc::SOL_SOCKET, libc::SO_MEMINFO);
    info.map_or(0, |info| info[DROPS])
}

/// The first words of a socket option; those that the kernel does not know are 0.
fn words<const N: usize>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> Option<[u32; N]> {
    let mut words = [0u32; N];
    let mut len = libc::socklen_t::try_from(size_of_val(&words)).ok()?;
    let into = words.as_mut_ptr().cast();
    // SAFETY: at most `len` bytes are written to `words`, which has that many.
    let failed = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, into, &raw mut len) };
    (failed == 0).then_some(words)
}

/// Connections dropped at all listeners of the network namespace.
pub(super) fn listen_drops() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/net/netstat").ok()?)
}

/// A line of names, and one of their values.
fn parse(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let mut fields = lines.next()?.split(' ').zip(lines.next()?.split(' '));
    let (_, value) = fields.find(|(name, _)| *name == "ListenDrops")?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_tells_by_name() {
        let text = "Ip: ListenDrops\nIp: 1\nTcpExt: A ListenDrops B\nTcpExt: 2 3 4\n";
        assert_eq!(parse(text), Some(3));
        assert_eq!(parse("TcpExt: A B\nTcpExt: 2 3\n"), None);
        assert_eq!(parse("TcpExt: ListenDrops\n"), None);
        assert!(listen_drops().is_some());
    }
}
