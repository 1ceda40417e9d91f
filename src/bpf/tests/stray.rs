//! Packets that open nothing come by the program, too: a connection's last ones when
//! its server has forgotten it already.

use super::steer::Bench;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const FIN: u8 = 0x01;

/// A TCP header from a port that nobody has, with its checksum.
fn segment(to: u16, flags: u8) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[1] = 9;
    bytes[2..4].copy_from_slice(&to.to_be_bytes());
    bytes[12] = 5 << 4;
    bytes[13] = flags;
    // Of the addresses, the protocol and the length.
    let pseudo = 2 * (0x7f00 + 0x0001) + 6 + 20;
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    let sum = bytes.chunks(2).map(word).sum::<u32>() + pseudo;
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

#[test]
fn only_what_opens_a_connection_counts() {
    let Some(bench) = Bench::new(1) else { return };
    let tcp = SockProtocol::Tcp;
    let Ok(raw) = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), tcp) else {
        eprintln!("not tested: no raw sockets");
        return;
    };
    let port = bench.group.address.port();
    let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let send = |flags| {
        let segment = segment(port, flags);
        sendto(raw.as_raw_fd(), &segment, &to, MsgFlags::empty()).unwrap();
    };
    for flags in [ACK, FIN | ACK, RST, RST | ACK, SYN | ACK] {
        send(flags);
    }
    assert_eq!(bench.group.send(), Some(0));
    assert_eq!(bench.row(0).assigned(), 1);
}
