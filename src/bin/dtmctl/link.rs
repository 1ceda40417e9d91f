//! The connection to the console.

use crate::fail::{Code, Fail, Result};
use crate::resp::{self, Parser};
use crate::value::Value;
use crate::wait::{self, For};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::TimeVal;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A console answers HELLO at once; one that hangs is found out in this time.
const GREETING: Duration = Duration::from_secs(5);
/// How the answer of a console begins whose binary was replaced.
pub(crate) const GONE: &str = "GONE this binary was replaced";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A path, or `@name`: an abstract one.
    Unix(String),
    Tcp(String, u16),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.write_str(path),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

pub(crate) struct Link {
    stream: Stream,
    parser: Parser,
    place: Place,
}

/// Does anybody listen there? A service's socket goes when the last of its processes has.
pub(crate) fn listens(place: &Place) -> bool {
    match place {
        Place::Unix(path) => connect_unix(path).is_ok(),
        Place::Tcp(host, port) => connect_tcp(host, *port).is_ok(),
    }
}

/// The binary that answers was replaced; it has done nothing of what it was asked. Other
/// things can be gone, too.
pub(crate) fn is_gone(answer: &Value) -> bool {
    matches!(answer, Value::Error(text) if text.starts_with(GONE))
}

impl Link {
    /// Connect, speak RESP3, show the password.
    pub(crate) fn open(place: &Place, password: Option<&str>) -> Result<Self> {
        let stream = match place {
            Place::Unix(path) => Stream::Unix(connect_unix(path).map_err(|e| unix_error(path, e))?),
            Place::Tcp(host, port) => Stream::Tcp(connect_tcp(host, *port)?),
        };
        let nonblocking = match &stream {
            Stream::Unix(s) => s.set_nonblocking(true),
            Stream::Tcp(s) => s.set_nonblocking(true),
        };
        nonblocking.map_err(|e| Fail::new(Code::Connect, format!("{place}: {e}")))?;
        let mut link = Self {
            stream,
            parser: Parser::default(),
            place: place.clone(),
        };
        link.greet(password)?;
        Ok(link)
    }

    fn greet(&mut self, password: Option<&str>) -> Result<()> {
        let mut words = vec!["HELLO", "3"];
        if let Some(password) = password {
            words.extend(["AUTH", "default", password]);
        }
        words.extend(["SETNAME", "dtmctl"]);
        let answer = self.call(&words, Some(Instant::now() + GREETING), |_| {})?;
        match &answer {
            Value::Error(text) => Err(match Fail::answered(text) {
                denied if denied.code == Code::Denied => denied,
                // A console without a password was given one: it is no secret there.
                _ if password.is_some() && text.contains("without any password") => {
                    return self.greet(None);
                }
                other => Fail::new(Code::Connect, format!("{}: {}", self.place, other.text)),
            }),
            hello if hello.get("server").is("libdtm") => Ok(()),
            hello => {
                let server = match hello.get("server") {
                    Value::Text(_) => hello.get("server").shown(),
                    _ => "something else".into(),
                };
                let text = format!(
                    "{}: that is {server:.40}, not a console of libdtm",
                    self.place
                );
                Err(Fail::new(Code::Connect, text))
            }
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
        }
    }

    /// One command and its answer, which may be an error. What is told meanwhile goes to `told`.
    pub(crate) fn call(
        &mut self,
        words: &[impl AsRef<[u8]>],
        until: Option<Instant>,
        mut told: impl FnMut(Value),
    ) -> Result<Value> {
        self.send(words, until)?;
        loop {
            match self.next(until)? {
                push @ Value::Push(_) => told(push),
                answer => return Ok(answer),
            }
        }
    }

    pub(crate) fn send(
        &mut self,
        words: &[impl AsRef<[u8]>],
        until: Option<Instant>,
    ) -> Result<()> {
        let bytes = resp::encode(words);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.pause(For::Room, until)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // It may have said why, and is read next.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The next thing that it says.
    pub(crate) fn next(&mut self, until: Option<Instant>) -> Result<Value> {
        loop {
            if let Some(value) = self.take()? {
                return Ok(value);
            }
            self.pause(For::Input, until)?;
        }
    }

    /// The next thing that it has said already.
    pub(crate) fn take(&mut self) -> Result<Option<Value>> {
        loop {
            let parsed = self.parser.next().map_err(|what| {
                let text = format!(
                    "{}: answers {what}: that is no console of libdtm",
                    self.place
                );
                Fail::new(Code::Connect, text)
            })?;
            if parsed.is_some() {
                return Ok(parsed);
            }
            let mut room = [0; 16 * 1024];
            match self.read(&mut room) {
                Ok(0) => return Err(self.gone("hung up before it answered")),
                Ok(n) => self.parser.feed(&room[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.gone(&e.to_string())),
            }
        }
    }

    fn gone(&self, why: &str) -> Fail {
        let part = if self.parser.is_empty() {
            ""
        } else {
            " (in the middle of an answer)"
        };
        Fail::new(Code::Connect, format!("{}: {why}{part}", self.place))
    }

    fn pause(&self, what: For, until: Option<Instant>) -> Result<()> {
        if wait::stopped() {
            return Err(Fail::new(Code::Interrupted, "interrupted"));
        }
        if until.is_some_and(|at| at <= Instant::now()) {
            return Err(Fail::new(
                Code::Timeout,
                format!("{}: no answer in time", self.place),
            ));
        }
        wait::wait([(Some(self.fd()), what)], until);
        Ok(())
    }

    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Unix(s) => s.read(room),
            Stream::Tcp(s) => s.read(room),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Unix(s) => s.write(bytes),
            Stream::Tcp(s) => s.write(bytes),
        }
    }
}

/// The kernel limits connect() by the time to send: a service that hangs has a full queue.
fn connect_unix(path: &str) -> nix::Result<UnixStream> {
    let address = match path.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(path)?,
    };
    let fd = socket::socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    socket::setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(5, 0))?;
    socket::connect(fd.as_raw_fd(), &address)?;
    Ok(fd.into())
}

fn unix_error(path: &str, error: Errno) -> Fail {
    let (code, why) = match error {
        Errno::ENOENT => (
            Code::Connect,
            "there is no such socket: does the service run, is that its control listener?",
        ),
        Errno::ECONNREFUSED => (Code::Connect, "nobody listens there: the service has ended"),
        Errno::EACCES => (
            Code::Denied,
            "permission denied: only the service's user and root may connect",
        ),
        Errno::EAGAIN => (
            Code::Timeout,
            "the service does not take connections: it hangs or is overrun",
        ),
        Errno::ENAMETOOLONG => (Code::Usage, "longer than a socket's path can be, 107 bytes"),
        other => (Code::Connect, other.desc()),
    };
    Fail::new(code, format!("{path}: {why}"))
}

fn connect_tcp(host: &str, port: u16) -> Result<TcpStream> {
    let place = Place::Tcp(host.into(), port);
    let fail = |e: std::io::Error| {
        let code = if e.kind() == ErrorKind::TimedOut {
            Code::Timeout
        } else {
            Code::Connect
        };
        Fail::new(code, format!("{place}: {e}"))
    };
    let mut last = Fail::new(Code::Connect, format!("{place}: no such host"));
    for address in (host, port).to_socket_addrs().map_err(fail)? {
        match TcpStream::connect_timeout(&address, GREETING) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => last = fail(e),
        }
    }
    Err(last)
}
