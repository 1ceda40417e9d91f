//! The syslog target: one datagram per record, to a socket of this process's own.
//!
//! Of the `syslog` crate only the format's types are used: its logger keeps the pid
//! of the process that made it, waits for a full receiver and is deaf after a
//! restart of the daemon.

use super::line::Speaker;
use ::syslog::{Facility, LogFormat, Severity};
use log::Level;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};
use std::fmt::{Arguments, Display};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

pub(super) struct Syslog {
    fd: OwnedFd,
    address: UnixAddr,
    record: Vec<u8>,
}

/// RFC 3164 as local daemons read it: without the time, which they take themselves
/// (the format has no zone), and without the host's name.
struct Format<'a> {
    name: &'a str,
    pid: i32,
}

impl<T: Display> LogFormat<T> for Format<'_> {
    fn format<W: Write>(&self, out: &mut W, severity: Severity, text: T) -> ::syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u8 | severity as u8;
        Ok(write!(
            out,
            "<{priority}>{}[{}]: {text}",
            self.name, self.pid
        )?)
    }
}

impl Syslog {
    /// A daemon that is not there yet is no error.
    pub(super) fn open(path: &str) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        let address = UnixAddr::new(path)?;
        // Now, because the service may change its root or user later.
        let _ = connect(fd.as_raw_fd(), &address);
        Ok(Self {
            fd,
            address,
            record: Vec::new(),
        })
    }

    /// False: the record was lost.
    pub(super) fn send(
        &mut self,
        name: &str,
        who: &Speaker,
        level: Level,
        text: Arguments<'_>,
    ) -> bool {
        let severity = match level {
            Level::Error => Severity::LOG_ERR,
            Level::Warn => Severity::LOG_WARNING,
            Level::Info => Severity::LOG_INFO,
            Level::Debug | Level::Trace => Severity::LOG_DEBUG,
        };
        self.record.clear();
        let format = Format { name, pid: who.pid };
        if format.format(&mut self.record, severity, text).is_err() {
            return false;
        }
        match self.send_record() {
            // The daemon was restarted, or has come up since.
            Err(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ENOENT | Errno::EDESTADDRREQ) => {
                connect(self.fd.as_raw_fd(), &self.address).is_ok() && self.send_record().is_ok()
            }
            result => result.is_ok(),
        }
    }

    fn send_record(&self) -> nix::Result<usize> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        send(self.fd.as_raw_fd(), &self.record, flags)
    }
}
