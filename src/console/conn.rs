//! One connection to the console: what it said and was not done yet, what it is owed,
//! and who it is.

use super::access::{Caller, Right};
use super::resp::{Parsed, Parser};
use super::value::{Resp, Value};
use crate::ffi::*;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::RawFd;

/// So much may wait to be sent. Beyond it no further command is begun, and who only
/// listens is cut off. Room for the longest reply (WORKERS of 512 workers) several times.
pub(super) const OUTPUT_MAX: usize = 1 << 20;
/// A peer that takes nothing of its output for so long will not take it at all.
pub(super) const STALL_MS: u32 = 10_000;
/// Read at once: a pipeline of 1,000 short commands.
const READ_SIZE: usize = 16 * 1024;

/// Carried out at one turn; the others have theirs in between.
pub(super) const COMMANDS: u32 = 64;

/// What the answer to the current command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The master's reply to this command; with progress meanwhile.
    Master(u64),
    /// The workers' answers to this question.
    Workers(u64),
    /// The store, for this command of the connection.
    Store(u64),
}

pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) client: *mut dtm_client_t,
    pub(super) fd: RawFd,
    pub(super) address: String,
    pub(super) caller: Caller,
    pub(super) right: Right,
    pub(super) resp: Resp,
    pub(super) name: String,
    pub(super) library: [String; 2],
    pub(super) events: BTreeSet<String>,
    pub(super) patterns: BTreeSet<String>,
    pub(super) since: u64,
    pub(super) active: u64,
    pub(super) commands: u64,
    pub(super) last: String,
    pub(super) wrong_passwords: u32,
    pub(super) waiting: Option<Waiting>,
    /// Hang up when everything is sent.
    pub(super) closing: bool,
    /// There may be commands that were read already, and could be begun.
    pub(super) has_more: bool,
    parser: Parser,
    out: Vec<u8>,
    sent: usize,
    /// The peer sends no more.
    eof: bool,
    timeout: u32,
}

impl Conn {
    pub(super) fn new(id: u64, client: *mut dtm_client_t, fd: RawFd, address: String) -> Self {
        let now = crate::sys::now_ms();
        Self {
            id,
            client,
            fd,
            address,
            caller: Caller::Remote,
            right: Right::Stranger,
            resp: Resp::Two,
            name: String::new(),
            library: Default::default(),
            events: BTreeSet::new(),
            patterns: BTreeSet::new(),
            since: now,
            active: now,
            commands: 0,
            last: String::new(),
            wrong_passwords: 0,
            waiting: None,
            closing: false,
            has_more: false,
            parser: Parser::default(),
            out: Vec::new(),
            sent: 0,
            eof: false,
            timeout: 0,
        }
    }

    pub(super) fn reply(&mut self, value: &Value) {
        value.encode(self.resp, &mut self.out);
    }

    /// The next command, if one may begin now.
    pub(super) fn next(&mut self) -> Parsed {
        if self.waiting.is_some() || self.closing || self.unsent() > OUTPUT_MAX {
            return Parsed::More;
        }
        self.parser.next()
    }

    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    pub(super) fn unread(&self) -> usize {
        self.parser.len()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.events.len() + self.patterns.len()
    }

    /// Read once. An error: the connection is of no use any more.
    pub(super) fn receive(&mut self) -> Result<(), Errno> {
        let room = self.parser.room().min(READ_SIZE);
        if self.eof || self.closing || room == 0 {
            return Ok(());
        }
        let mut buffer = [0u8; READ_SIZE];
        match nix::sys::socket::recv(
            self.fd,
            &mut buffer[..room],
            nix::sys::socket::MsgFlags::empty(),
        ) {
            Ok(0) => self.eof = true,
            Ok(n) => {
                self.active = crate::sys::now_ms();
                self.parser.feed(&buffer[..n]);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Send what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), Errno> {
        use nix::sys::socket::{MsgFlags, send};
        while self.sent < self.out.len() {
            match send(self.fd, &self.out[self.sent..], MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => self.sent += n,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.out.shrink_to(4096); // idle connections cost little
            self.sent = 0;
        }
        Ok(())
    }

    /// Forget what was to be sent.
    pub(super) fn discard(&mut self) {
        self.out = Vec::new();
        self.sent = 0;
    }

    /// Is something owed to it? A drain waits for that.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.unsent() > 0
    }

    /// Who has nothing to be done makes room first, then who has been idle longest; the
    /// least of these. None: it is owed something, listens, or ends as it is.
    pub(super) fn makes_room(&self) -> Option<(bool, u64)> {
        let stays = self.is_busy() || self.subscriptions() > 0 || self.closing;
        let asks = || self.has_more || crate::event::unread(self.fd) > 0;
        (!stays).then(|| (asks(), self.active))
    }

    /// What its step returns when all was done that could be. Pure.
    pub(super) fn interest(&self) -> i32 {
        let unsent = self.unsent() > 0;
        if !unsent && !self.has_more && (self.closing || self.eof && self.waiting.is_none()) {
            return DTM_DONE;
        }
        let reads =
            !self.eof && !self.closing && self.unsent() <= OUTPUT_MAX && self.parser.room() > 0;
        let writes = unsent || self.has_more;
        let interest = if reads { DTM_READ } else { 0 } | if writes { DTM_WRITE } else { 0 };
        interest.cast_signed()
    }

    /// Its idle timeout, if that is another one now. Who waits for an answer or for
    /// events may be silent; who does not take its output may not. Pure.
    pub(super) fn new_timeout(&mut self, idle_ms: u32) -> Option<u32> {
        let wanted = if self.unsent() > 0 {
            STALL_MS
        } else if self.waiting.is_some() || self.subscriptions() > 0 {
            DTM_OFF
        } else {
            idle_ms
        };
        (std::mem::replace(&mut self.timeout, wanted) != wanted).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Conn, UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let conn = Conn::new(1, std::ptr::null_mut(), ours.as_raw_fd(), "unix".into());
        (conn, ours, theirs)
    }

    const READ: i32 = DTM_READ.cast_signed();
    const WRITE: i32 = DTM_WRITE.cast_signed();

    #[test]
    fn one_command_at_a_time_and_in_order() {
        let (mut conn, _ours, mut theirs) = pair();
        theirs.write_all(b"one\r\ntwo\r\nthr").unwrap();
        conn.receive().unwrap();
        assert_eq!(conn.next(), Parsed::Command(vec![b"one".to_vec()]));
        conn.waiting = Some(Waiting::Master(1));
        assert_eq!(
            (conn.next(), conn.interest(), conn.is_busy()),
            (Parsed::More, READ, true)
        );
        conn.waiting = None;
        assert_eq!(conn.next(), Parsed::Command(vec![b"two".to_vec()]));
        // H02: half a command, and no more comes: nothing is done.
        drop(theirs);
        conn.receive().unwrap();
        assert_eq!((conn.next(), conn.interest()), (Parsed::More, DTM_DONE));
    }

    #[test]
    fn who_has_asked_for_nothing_makes_room_first() {
        let (mut conn, _ours, mut theirs) = pair();
        let active = conn.active;
        assert_eq!(conn.makes_room(), Some((false, active)));
        conn.has_more = true;
        assert_eq!(conn.makes_room(), Some((true, active)));
        conn.has_more = false;
        theirs.write_all(b"ping\r\n").unwrap();
        assert_eq!(conn.makes_room(), Some((true, active)), "unread");
        conn.receive().unwrap();
        assert!(conn.makes_room().is_some_and(|(asks, _)| !asks));
        conn.closing = true;
        assert_eq!(conn.makes_room(), None, "it does so already");
        conn.closing = false;
        conn.waiting = Some(Waiting::Master(1));
        assert_eq!(conn.makes_room(), None);
    }

    /// H03
    #[test]
    fn who_does_not_read_is_not_served() {
        let (mut conn, _ours, mut theirs) = pair();
        let big = Value::bulk(vec![b'x'; OUTPUT_MAX / 2]);
        for _ in 0..3 {
            conn.reply(&big);
            conn.flush().unwrap();
        }
        theirs.write_all(b"ping\r\n").unwrap();
        conn.receive().unwrap();
        assert!(conn.unsent() > OUTPUT_MAX);
        assert_eq!((conn.next(), conn.interest()), (Parsed::More, WRITE));
        assert_eq!(conn.new_timeout(5), Some(STALL_MS));
        assert_eq!(conn.new_timeout(5), None);
        let mut taken = vec![0; 3 * OUTPUT_MAX / 2];
        while conn.unsent() > 0 {
            assert!(theirs.read(&mut taken).unwrap() > 0);
            conn.flush().unwrap();
        }
        assert_eq!(conn.new_timeout(5), Some(5));
        assert_eq!(conn.next(), Parsed::Command(vec![b"ping".to_vec()]));
        assert_eq!(conn.interest(), READ);
    }

    #[test]
    fn the_last_answer_is_sent_before_it_ends() {
        let (mut conn, _ours, mut theirs) = pair();
        theirs.write_all(b"reload\r\n").unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        conn.receive().unwrap();
        assert!(matches!(conn.next(), Parsed::Command(_)));
        conn.waiting = Some(Waiting::Master(1));
        conn.receive().unwrap();
        assert_eq!((conn.interest(), conn.new_timeout(5)), (0, Some(DTM_OFF)));
        conn.waiting = None;
        conn.reply(&Value::ok());
        assert_eq!(conn.interest(), WRITE);
        conn.flush().unwrap();
        assert_eq!(conn.interest(), DTM_DONE);
        let mut text = String::new();
        drop(_ours);
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "+OK\r\n");
    }
}
