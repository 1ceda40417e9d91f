//! As much HTTP/1.1 as one POST at a time needs, each with a deadline.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Largest answer that is read: a list of 512 records of the largest size is below it.
const ANSWER_MAX: usize = 16 << 20;

pub(super) struct Http {
    servers: Vec<String>,
    /// Which of them is asked.
    current: Cell<usize>,
    timeout: Duration,
    open: RefCell<Option<TcpStream>>,
}

/// Whether the server may have got the request.
#[derive(Debug)]
pub(super) enum Failed {
    Before(String),
    Unsure(String),
}

impl Http {
    pub(super) fn new(servers: Vec<String>, timeout_ms: u32) -> Self {
        Self {
            servers,
            current: Cell::new(0),
            timeout: Duration::from_millis(timeout_ms.into()),
            open: RefCell::default(),
        }
    }

    fn server(&self) -> &str {
        let at = self.current.get() % self.servers.len().max(1);
        self.servers.get(at).map_or("", String::as_str)
    }

    /// Status and body.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<(u16, Vec<u8>), Failed> {
        let deadline = Instant::now() + self.timeout;
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect(deadline).inspect_err(|_| {
                // Another one, next time.
                self.current.set(self.current.get() + 1);
            })?,
        };
        let server = self.server();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let told = |error: std::io::Error| Failed::Unsure(format!("{server}: {error}"));
        let answer = send(&mut stream, request.as_bytes(), deadline)
            .and_then(|()| receive(&mut stream, deadline));
        match answer {
            Ok((status, body, keep)) => {
                if keep {
                    self.open.replace(Some(stream));
                }
                Ok((status, body))
            }
            Err(error) => {
                self.current.set(self.current.get() + 1);
                Err(told(error))
            }
        }
    }

    /// The connection of the last request, if the server has not closed it.
    fn kept(&self) -> Option<TcpStream> {
        let stream = self.open.take()?;
        stream.set_nonblocking(true).ok()?;
        let idle =
            matches!(stream.peek(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).ok()?;
        idle.then_some(stream)
    }

    fn connect(&self, deadline: Instant) -> Result<TcpStream, Failed> {
        let server = self.server();
        let told = |error: std::io::Error| Failed::Before(format!("{server}: {error}"));
        let mut last = std::io::Error::other("no such host");
        for address in server.to_socket_addrs().map_err(told)? {
            match TcpStream::connect_timeout(&address, left(deadline).map_err(told)?) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(told(last))
    }
}

/// What is left until then; an error when it is over.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(std::io::Error::other("no answer in store_timeout")),
        false => Ok(left),
    }
}

fn timed(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            std::io::Error::other("no answer in store_timeout")
        }
        _ => error,
    }
}

fn send(stream: &mut TcpStream, bytes: &[u8], deadline: Instant) -> std::io::Result<()> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(bytes).map_err(timed)
}

/// Status, body, and whether the connection can be used again.
fn receive(stream: &mut TcpStream, deadline: Instant) -> std::io::Result<(u16, Vec<u8>, bool)> {
    let mut input = Vec::new();
    let bad = || std::io::Error::other("the answer is no HTTP that is understood");
    let head = loop {
        if let Some(end) = find(&input, b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut input, deadline)?;
    };
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let mut lines = text.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(bad)?;
    let header = |name: &str| {
        let mut values = text.lines().filter_map(|l| l.split_once(':'));
        values.find(|(n, _)| *n == name).map(|(_, v)| v.trim())
    };
    let keep = header("connection") != Some("close");
    let mut body = input.split_off(head);
    if header("transfer-encoding") == Some("chunked") {
        let body = chunks(stream, body, deadline)?;
        return Ok((status, body, keep));
    }
    let length = header("content-length").and_then(|v| v.parse().ok());
    let length: usize = length.ok_or_else(bad)?;
    while body.len() < length {
        more(stream, &mut body, deadline)?;
    }
    body.truncate(length);
    Ok((status, body, keep))
}

fn chunks(
    stream: &mut TcpStream,
    mut input: Vec<u8>,
    deadline: Instant,
) -> std::io::Result<Vec<u8>> {
    let bad = || std::io::Error::other("the answer's chunks cannot be read");
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = loop {
            if let Some(end) = find(&input[at..], b"\r\n") {
                break at + end;
            }
            more(stream, &mut input, deadline)?;
        };
        let size = std::str::from_utf8(&input[at..line]).map_err(|_| bad())?;
        let size = size.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad())?;
        if size > ANSWER_MAX {
            return Err(bad());
        }
        let (from, to) = (line + 2, line + 2 + size);
        while input.len() < to + 2 {
            more(stream, &mut input, deadline)?;
        }
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&input[from..to]);
        at = to + 2;
    }
}

fn more(stream: &mut TcpStream, input: &mut Vec<u8>, deadline: Instant) -> std::io::Result<()> {
    let mut part = [0; 16 * 1024];
    stream.set_read_timeout(Some(left(deadline)?))?;
    match stream.read(&mut part).map_err(timed)? {
        0 => Err(std::io::Error::other("the server hung up")),
        _ if input.len() > ANSWER_MAX => Err(std::io::Error::other("the answer is too long")),
        n => {
            input.extend_from_slice(&part[..n]);
            Ok(())
        }
    }
}

fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|part| part == what)
}
