//! Looking names up. The C library can do it only by waiting, so a thread waits; who needs
//! the answer stops waiting at its deadline. An address needs no thread.

use super::wait::{Late, Wait};
use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The look-up that is under way. A thread cannot be stopped: one that is late is asked
/// again, and there is never more than one.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    open: RefCell<Option<(String, UnixStream)>>,
}

impl Resolver {
    /// `server`: HOST:PORT.
    pub(super) async fn addresses(
        &self,
        wait: &Wait,
        server: &str,
        until: u64,
    ) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = server.parse() {
            return Ok(vec![address]);
        }
        let under_way = self.open.take();
        let (name, mut answer) = match under_way {
            Some(open) => open,
            None => (server.to_owned(), look_up(server)?),
        };
        let mut text = String::new();
        match wait.ready(answer.as_raw_fd(), libc::POLLIN, until).await {
            Ok(()) => _ = answer.read_to_string(&mut text)?,
            Err(Late) => {
                self.open.replace(Some((name, answer)));
                let text = format!("{server}: the name was not found in store_timeout");
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
        }
        if name != server {
            return Err(Error::other("another name was looked up: again"));
        }
        match text.strip_prefix('!') {
            Some(why) => Err(Error::other(why.to_owned())),
            None => Ok(text.lines().filter_map(|l| l.parse().ok()).collect()),
        }
    }
}

/// Its answer, all at once: addresses, a line each, or `!` and what is wrong.
fn look_up(server: &str) -> Result<UnixStream> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let server = server.to_owned();
    let work = move || {
        let text = match server.to_socket_addrs() {
            Ok(found) => found.map(|a| format!("{a}\n")).collect(),
            Err(error) => format!("!{error}"),
        };
        // Nobody may be there any more: then it is of no use to anybody, and SIGPIPE is
        // blocked here.
        let _ = theirs.write_all(text.as_bytes());
    };
    // Signals are the loop's: the thread takes none.
    let all = nix::sys::signal::SigSet::all();
    let mask = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let thread = std::thread::Builder::new()
        .name("dtm-resolve".into())
        .stack_size(256 * 1024)
        .spawn(work);
    mask.thread_set_mask()?;
    thread.map(|_| ours)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(resolver: &Resolver, server: &str, until: u64) -> Result<Vec<SocketAddr>> {
        let wait = Wait::default();
        let found = wait.finish(Box::pin(async {
            Ok(resolver.addresses(&wait, server, until).await)
        }));
        found.unwrap()
    }

    #[test]
    fn addresses_and_names() {
        let resolver = Resolver::default();
        let later = crate::sys::now_ms() + 30_000;
        let found = asked(&resolver, "[::1]:2379", 0).unwrap();
        assert_eq!(found, ["[::1]:2379".parse().unwrap()]);
        let found = asked(&resolver, "localhost:2379", later).unwrap();
        assert!(!found.is_empty());
        assert!(
            found
                .iter()
                .all(|a| a.ip().is_loopback() && a.port() == 2379)
        );
        assert!(asked(&resolver, "localhost:none", later).is_err());
    }

    /// A look-up that was late is not begun again: its answer is waited for.
    #[test]
    fn one_at_a_time() {
        let resolver = Resolver::default();
        let (never, mut theirs) = UnixStream::pair().unwrap();
        resolver.open.replace(Some(("a:1".into(), never)));
        for _ in 0..2 {
            let late = asked(&resolver, "a:1", crate::sys::now_ms() + 10);
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        }
        theirs.write_all(b"127.0.0.1:1\n[::1]:1\n").unwrap();
        drop(theirs);
        let later = crate::sys::now_ms() + 30_000;
        assert_eq!(asked(&resolver, "a:1", later).unwrap().len(), 2);
        // Of another name: it is of no use, and the next one is begun.
        let (other, mut theirs) = UnixStream::pair().unwrap();
        resolver.open.replace(Some(("b:1".into(), other)));
        theirs.write_all(b"127.0.0.1:1\n").unwrap();
        drop(theirs);
        assert!(asked(&resolver, "localhost:1", later).is_err());
        assert!(asked(&resolver, "localhost:1", later).is_ok());
    }
}
