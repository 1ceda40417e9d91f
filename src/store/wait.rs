//! Waiting for a store without holding up the loop. A call is a future that says which
//! descriptor it waits for, and until when; the controller's loop watches that, and polls
//! the call again. One call at a time is under way, so one wish is all there is.

use super::{Kind, Outcome, Trouble};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A call of a store, under way.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Outcome<T>> + 'a>>;

/// Of a store that answers at once.
#[cfg_attr(not(feature = "store-sqlite"), allow(dead_code))]
pub(super) fn at_once<'a, T>(f: impl FnOnce() -> Outcome<T> + 'a) -> Call<'a, T> {
    Box::pin(async move { f() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) fd: RawFd,
    /// POLLIN, POLLOUT.
    pub(crate) events: i16,
    /// CLOCK_MONOTONIC in ms.
    pub(crate) until: u64,
}

/// The time is over.
#[derive(Debug)]
pub(crate) struct Late;

#[derive(Debug, Default)]
pub(crate) struct Wait {
    wish: Cell<Option<Wish>>,
}

impl Wait {
    /// Until the descriptor is ready, or the time is over.
    pub(super) async fn ready(&self, fd: RawFd, events: i16, until: u64) -> Result<(), Late> {
        poll_fn(|_| {
            let wish = Wish { fd, events, until };
            let now = crate::sys::now_ms();
            // Its event first: an answer that is there counts, however late it is read.
            let verdict = match () {
                () if look(&wish, 0) => Poll::Ready(Ok(())),
                () if now >= until => Poll::Ready(Err(Late)),
                () => Poll::Pending,
            };
            self.wish.set(verdict.is_pending().then_some(wish));
            verdict
        })
        .await
    }

    /// What the call that is under way waits for.
    pub(crate) fn wish(&self) -> Option<Wish> {
        self.wish.get()
    }

    /// Nothing is under way any more.
    pub(crate) fn forget(&self) {
        self.wish.set(None);
    }

    /// See a call through, with everything else held up: for at most the time that it has.
    pub(crate) fn finish<T>(&self, mut call: Call<'_, T>) -> Outcome<T> {
        let outer = self.wish.take();
        let outcome = loop {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(outcome) = call.as_mut().poll(&mut context) {
                break outcome;
            }
            match self.wish.get() {
                Some(wish) => _ = look(&wish, wish.until.saturating_sub(crate::sys::now_ms())),
                None => break Err(Trouble::new(Kind::Down, "the store waits for nothing")),
            }
        };
        self.wish.set(outer);
        outcome
    }
}

/// Is it ready, within so many ms?
fn look(wish: &Wish, ms: u64) -> bool {
    let mut poll = libc::pollfd {
        fd: wish.fd,
        events: wish.events,
        revents: 0,
    };
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    // SAFETY: one element, alive during the call.
    unsafe { libc::poll(&raw mut poll, 1, ms) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn in_ms(ms: u64) -> u64 {
        crate::sys::now_ms() + ms
    }

    #[test]
    fn an_event_counts_however_late_it_is_looked_at() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let wait = Wait::default();
        let late = |until| -> Outcome<bool> {
            wait.finish(Box::pin(async {
                let ready = wait.ready(ours.as_raw_fd(), libc::POLLIN, until);
                Ok(ready.await.is_err())
            }))
        };
        assert_eq!(late(in_ms(20)), Ok(true));
        theirs.write_all(b"x").unwrap();
        assert_eq!(late(0), Ok(false));
        assert_eq!(wait.wish(), None);
    }

    /// A phase that waits for a key does so in the middle of a call that goes on later.
    #[test]
    fn a_call_inside_of_another() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (fd, wait) = (ours.as_raw_fd(), Wait::default());
        let mut outer = Box::pin(wait.ready(fd, libc::POLLIN, in_ms(60_000)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(outer.as_mut().poll(&mut context).is_pending());
        let wish = wait.wish();
        assert_eq!(wish.map(|w| (w.fd, w.events)), Some((fd, libc::POLLIN)));
        let inner = wait.finish(Box::pin(async {
            let ready = wait.ready(fd, libc::POLLOUT, in_ms(60_000));
            Ok(ready.await.is_ok())
        }));
        assert_eq!((inner, wait.wish()), (Ok(true), wish));
        theirs.write_all(b"x").unwrap();
        assert!(outer.as_mut().poll(&mut context).is_ready());
    }
}
