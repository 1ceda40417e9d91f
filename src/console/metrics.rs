//! The HTTP listener for scrapers and health checks: `metrics_listen`. It only tells; what
//! it says is what observers may see. Its connections are watches of the controller's loop.

use super::http::{self, Head, Request};
use super::{Console, prometheus};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::guard;
use crate::net::{self, AcceptError};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};

/// Scrapers come one at a time; more than this are no scrapers.
const MOST: usize = 16;
/// A scraper asks every 15 to 60 s and keeps its connection.
const IDLE_MS: u32 = 120_000;
const BATCH: usize = 16;

#[derive(Default)]
pub(super) struct Scrapers {
    last: Cell<usize>,
    open: RefCell<BTreeMap<usize, Scraper>>,
}

struct Scraper {
    fd: RawFd,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    closing: bool,
}

unsafe extern "C-unwind" fn step(
    _: *mut dtm_t,
    _: *mut dtm_watch_t,
    _: u32,
    id: *mut c_void,
) -> i32 {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let controller = rt.controller()?;
        Ok(controller.console()?.serve_scraper(controller, id.addr()))
    })
}

unsafe extern "C-unwind" fn close(_: *mut dtm_t, _: *mut dtm_watch_t, _: i32, id: *mut c_void) {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let scrapers = &rt.controller()?.console()?.scrapers;
        scrapers.open.borrow_mut().remove(&id.addr());
        Ok(())
    });
}

impl Console {
    /// Somebody has come. True: try again later, there are no descriptors.
    pub(crate) fn accept_scrapers(&self, controller: &Controller, listener: RawFd) -> bool {
        for _ in 0..BATCH {
            // SAFETY: the listener stays open as long as the runtime.
            match net::accept(unsafe { BorrowedFd::borrow_raw(listener) }) {
                Ok(Some((fd, _))) => {
                    if self.scrapers.open.borrow().len() >= MOST {
                        continue; // closed again
                    }
                    if let Err(error) = self.add_scraper(controller, fd.into_raw_fd()) {
                        ::log::warn!("metrics: {error}");
                    }
                }
                Ok(None) | Err(AcceptError::Transient(_)) => return false,
                Err(AcceptError::Exhausted(errno) | AcceptError::Broken(errno)) => {
                    ::log::warn!("accept on the metrics listener: {}", errno.desc());
                    return true;
                }
            }
        }
        false
    }

    fn add_scraper(&self, controller: &Controller, fd: RawFd) -> Result<()> {
        let id = self.scrapers.last.get() + 1;
        self.scrapers.last.set(id);
        let data = std::ptr::without_provenance_mut(id);
        let reactor = controller.reactor();
        let added = reactor.watch_add(fd, DTM_READ, Some(step), Some(close), data);
        let watch = added.inspect_err(|_| {
            // SAFETY: not taken over, so it is still ours.
            unsafe { libc::close(fd) };
        })?;
        let scraper = Scraper {
            fd,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            closing: false,
        };
        self.scrapers.open.borrow_mut().insert(id, scraper);
        reactor.watch_set_timeout(watch, IDLE_MS)
    }

    /// What its watch waits for next.
    fn serve_scraper(&self, controller: &Controller, id: usize) -> i32 {
        let mut open = self.scrapers.open.borrow_mut();
        let Some(scraper) = open.get_mut(&id) else {
            return DTM_DONE;
        };
        if scraper.output.is_empty() && !controller.acting() {
            return DTM_DONE; // its next connection gets to the one that is
        }
        match scraper.go_on(|path| self.page(controller, path)) {
            Ok(interest) => interest,
            Err(_) => DTM_DONE, // gone
        }
    }

    fn page(&self, controller: &Controller, path: &str) -> (&'static str, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        match path {
            "/metrics" => (
                "200 OK",
                prometheus::KIND,
                prometheus::render(&self.status(controller)),
            ),
            // The process that answers is the one whose health this is.
            "/healthz" => ("200 OK", TEXT, "ok\n".into()),
            "/readyz" => {
                let status = self.status(controller);
                let open = status.in_state(DTM_WORKER_OPEN);
                let text = match status.facts.elsewhere {
                    0 => format!(
                        "{}: {open} of {} workers are open\n",
                        status.state(),
                        status.facts.workers
                    ),
                    _ => "the binary before this one serves\n".into(),
                };
                (
                    if status.is_ready() {
                        "200 OK"
                    } else {
                        "503 Service Unavailable"
                    },
                    TEXT,
                    text,
                )
            }
            "/" => ("200 OK", TEXT, "/metrics\n/healthz\n/readyz\n".into()),
            _ => (
                "404 Not Found",
                TEXT,
                "there are /metrics, /healthz and /readyz\n".into(),
            ),
        }
    }
}

impl Scraper {
    fn go_on(
        &mut self,
        page: impl Fn(&str) -> (&'static str, &'static str, String),
    ) -> Result<i32> {
        if !self.closing && self.output.is_empty() && !self.answer(&page) {
            self.receive()?;
            self.answer(&page);
        }
        while self.sent < self.output.len() {
            match send(self.fd, &self.output[self.sent..], MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => self.sent += n,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(DTM_WRITE.cast_signed()),
                Err(errno) => return Err(Error::os(errno, "metrics")),
            }
        }
        self.output = Vec::new();
        self.sent = 0;
        Ok(match self.closing {
            true => DTM_DONE,
            // There is another one already: it has its turn after everybody else's.
            false if http::parse(&self.input) != Head::More => DTM_WRITE.cast_signed(),
            false => DTM_READ.cast_signed(),
        })
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match recv(self.fd, &mut buffer, MsgFlags::empty()) {
            Ok(0) => self.closing = true,
            Ok(n) => self.input.extend_from_slice(&buffer[..n]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(Error::os(errno, "metrics")),
        }
        Ok(())
    }

    /// One request, if there is one: 160 fit into what is read at once, and each answer may be
    /// long.
    fn answer(&mut self, page: &impl Fn(&str) -> (&'static str, &'static str, String)) -> bool {
        match http::parse(&self.input) {
            Head::More => return false,
            Head::Request(Request {
                path,
                head_only,
                keep,
                len,
            }) => {
                self.input.drain(..len);
                let (status, kind, body) = page(&path);
                self.output
                    .extend(http::response(status, kind, &body, head_only, keep));
                self.closing |= !keep;
            }
            Head::Bad(status) => {
                let body = format!("{status}\n");
                self.output
                    .extend(http::response(status, "text/plain", &body, false, false));
                self.closing = true;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    /// Who asks for many pages at once gets them one at a time.
    #[test]
    fn one_page_for_each_turn() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut scraper = Scraper {
            fd: ours.as_raw_fd(),
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            closing: false,
        };
        let pages = std::cell::Cell::new(0);
        let page = |_: &str| {
            pages.set(pages.get() + 1);
            ("200 OK", "text/plain", "x".to_owned())
        };
        let requests = "GET /metrics HTTP/1.1\r\n\r\n".repeat(20);
        theirs.write_all(requests.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        for n in 1..20 {
            assert_eq!(scraper.go_on(page).unwrap(), DTM_WRITE.cast_signed());
            assert_eq!(pages.get(), n);
        }
        assert_eq!(scraper.go_on(page).unwrap(), DTM_READ.cast_signed());
        assert_eq!(scraper.go_on(page).unwrap(), DTM_DONE);
        drop(ours);
        let mut answers = String::new();
        theirs.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 20);
    }
}
