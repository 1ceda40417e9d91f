//! As much HTTP/1.1 as one POST at a time needs, each with a deadline.

use super::connection::{Connection, Security};
use super::stream::Stream;
use crate::store::Wait;
use crate::store::resolve::Resolver;
use std::cell::{Cell, RefCell};
use std::io::{Error, Result};
use std::rc::Rc;

/// Largest answer that is read: a list of 512 records of the largest size is below it.
const ANSWER_MAX: usize = 16 << 20;

pub(super) struct Http {
    servers: Vec<String>,
    /// Which of them is asked.
    current: Cell<usize>,
    timeout_ms: u64,
    /// The connection of the last request; whoever asks takes it out, so that a request
    /// that is given up takes its connection with it.
    open: RefCell<Option<Connection>>,
    security: Security,
    resolver: Resolver,
    wait: Rc<Wait>,
}

/// Whether the server may have got the request.
#[derive(Debug)]
pub(super) enum Failed {
    Before(String),
    Unsure(String),
}

impl Http {
    pub(super) fn new(
        servers: Vec<String>,
        security: Security,
        timeout_ms: u32,
        wait: &Rc<Wait>,
    ) -> Self {
        Self {
            servers,
            current: Cell::new(0),
            timeout_ms: timeout_ms.into(),
            open: RefCell::default(),
            security,
            resolver: Resolver::default(),
            wait: Rc::clone(wait),
        }
    }

    fn server(&self) -> &str {
        let at = self.current.get() % self.servers.len().max(1);
        self.servers.get(at).map_or("", String::as_str)
    }

    /// Another one, next time.
    fn turn_away(&self) {
        self.current.set(self.current.get().wrapping_add(1));
    }

    /// Status and body.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &str,
    ) -> std::result::Result<(u16, Vec<u8>), Failed> {
        let until = crate::sys::now_ms() + self.timeout_ms;
        let server = self.server();
        let mut stream = match self.open.take().filter(Connection::is_idle) {
            Some(kept) => kept.until(until),
            None => self.connect(server, until).await.map_err(|error| {
                self.turn_away();
                Failed::Before(format!("{server}: {error}"))
            })?,
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(&mut stream, request.as_bytes()).await;
        let (status, body, keep) = answer.map_err(|error| {
            self.turn_away();
            Failed::Unsure(format!("{server}: {error}"))
        })?;
        if keep {
            self.open.replace(Some(stream));
        }
        Ok((status, body))
    }

    async fn connect(&self, server: &str, until: u64) -> Result<Connection> {
        let mut last = Error::other("no such host");
        let addresses = self.resolver.addresses(&self.wait, server, until).await?;
        for address in addresses {
            match Stream::connect(address, &self.wait, until).await {
                Ok(stream) => return self.security.greet(stream, server).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Status, body, and whether the connection can be used again.
async fn exchange(stream: &mut Connection, request: &[u8]) -> Result<(u16, Vec<u8>, bool)> {
    stream.send(request).await?;
    let mut input = Vec::new();
    let bad = || Error::other("the answer is no HTTP that is understood");
    let head = loop {
        if let Some(end) = find(&input, b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut input).await?;
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
        return Ok((status, chunks(stream, body).await?, keep));
    }
    let length = header("content-length").and_then(|v| v.parse().ok());
    let length: usize = length.ok_or_else(bad)?;
    while body.len() < length {
        more(stream, &mut body).await?;
    }
    body.truncate(length);
    Ok((status, body, keep))
}

async fn chunks(stream: &mut Connection, mut input: Vec<u8>) -> Result<Vec<u8>> {
    let bad = || Error::other("the answer's chunks cannot be read");
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = loop {
            if let Some(end) = find(&input[at..], b"\r\n") {
                break at + end;
            }
            more(stream, &mut input).await?;
        };
        let size = std::str::from_utf8(&input[at..line]).map_err(|_| bad())?;
        let size = size.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad())?;
        if size > ANSWER_MAX {
            return Err(bad());
        }
        let (from, to) = (line + 2, line + 2 + size);
        while input.len() < to + 2 {
            more(stream, &mut input).await?;
        }
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&input[from..to]);
        at = to + 2;
    }
}

async fn more(stream: &mut Connection, input: &mut Vec<u8>) -> Result<()> {
    match stream.receive(input).await? {
        0 => Err(Error::other("the server hung up")),
        _ if input.len() > ANSWER_MAX => Err(Error::other("the answer is too long")),
        _ => Ok(()),
    }
}

fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|part| part == what)
}
