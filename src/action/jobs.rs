//! What is done with the store, one thing after the other: a pass of the manager, or what
//! an operator or the service has asked for. Each is a future, which the controller's loop
//! polls when what its call waits for has come, or is late; meanwhile the loop goes on.

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::store::{Wait, Wish};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// More would be somebody's mistake: each is a question that somebody waits for.
const MOST: usize = 1_024;
/// Jobs begun in one pass of the loop: then operators and workers have their turn. And so
/// many before the actions have theirs: however many wait.
const BATCH: usize = 16;

#[derive(Default)]
pub(super) struct Jobs {
    under_way: RefCell<Option<Job>>,
    waiting: RefCell<VecDeque<Job>>,
    /// Begun since the last pass of the manager.
    begun: Cell<usize>,
    wait: Rc<Wait>,
    /// What the calls wait for stands in an epoll of its own, which the loop watches: a
    /// descriptor that a database's library has closed, and somebody else has got since,
    /// is in danger of nothing there.
    watch: RefCell<Option<OwnedFd>>,
    watched: Cell<Option<RawFd>>,
}

/// What comes next.
enum Next {
    Job(Job),
    /// A pass of the manager.
    Pass,
    Nothing,
}

impl Jobs {
    pub(super) fn wait(&self) -> &Rc<Wait> {
        &self.wait
    }

    pub(super) fn push(&self, job: Job) -> Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST {
            let text = format!("{MOST} requests wait for the store already: try again");
            return Err(Error::new(-libc::EBUSY, text));
        }
        waiting.push_back(job);
        Ok(())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.borrow().is_none() && self.waiting.borrow().is_empty()
    }

    /// When to poll again though nothing has come, in ms; None: nothing is to be done.
    pub(super) fn next(&self) -> Option<u64> {
        if self.under_way.borrow().is_some() {
            let until = self.wait.wish().map_or(0, |wish| wish.until);
            return Some(until.saturating_sub(crate::sys::now_ms()));
        }
        (!self.waiting.borrow().is_empty()).then_some(0)
    }

    /// The process ends, or another one acts: what is under way is given up.
    pub(super) fn clear(&self) {
        self.under_way.take();
        self.waiting.take();
        self.wait.forget();
    }

    /// Nothing is under way. `due`: a pass of the manager is; `urgent`: before any request.
    fn next_begins(&self, due: bool, urgent: bool) -> Next {
        let mut waiting = self.waiting.borrow_mut();
        if due && (urgent || waiting.is_empty() || self.begun.get() >= BATCH) {
            self.begun.set(0);
            return Next::Pass;
        }
        waiting.pop_front().map_or(Next::Nothing, |job| {
            self.begun.set(self.begun.get().saturating_add(1));
            Next::Job(job)
        })
    }

    /// Is it over?
    fn poll(&self, mut job: Job) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let over = job.as_mut().poll(&mut context).is_ready();
        if !over {
            self.under_way.replace(Some(job));
        }
        over
    }

    /// Have the loop watch what is waited for now.
    fn watch(&self, controller: &Controller) -> Result<()> {
        let wish = self.wait.wish();
        let (old, new) = (self.watched.get(), wish.map(|wish| wish.fd));
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let mut watch = self.watch.borrow_mut();
        let watch = match &mut *watch {
            Some(watch) => watch,
            none => {
                let epoll = crate::sys::epoll()?;
                controller.watch_store(epoll.as_raw_fd())?;
                none.insert(epoll)
            }
        };
        if let Some(fd) = old.filter(|_| old != new) {
            control(watch, libc::EPOLL_CTL_DEL, fd, 0);
        }
        self.watched.set(new);
        let Some(Wish { fd, events, .. }) = wish else {
            return Ok(());
        };
        // POLLIN and POLLOUT are EPOLLIN and EPOLLOUT. What it was before may be closed
        // since, and this another of the same number.
        if !control(watch, libc::EPOLL_CTL_MOD, fd, events)
            && !control(watch, libc::EPOLL_CTL_ADD, fd, events)
        {
            return Err(Error::last_os("epoll_ctl of the store's connection"));
        }
        Ok(())
    }
}

fn control(epoll: &OwnedFd, op: i32, fd: RawFd, events: i16) -> bool {
    let mut event = libc::epoll_event {
        events: u32::try_from(events).unwrap_or(0),
        u64: 0,
    };
    // SAFETY: event lives during the call; fds are checked by the kernel.
    unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd, &raw mut event) == 0 }
}

impl Controller {
    /// Have this done as soon as what was asked for before is done.
    pub(crate) fn enqueue_job(&self, job: impl Future<Output = ()> + 'static) -> Result<()> {
        self.actions.jobs.push(Box::pin(job))
    }

    /// Once a pass of the loop: go on with what is under way, then with what waits, and with
    /// the actions.
    pub(crate) fn run_jobs(&'static self) {
        let jobs = &self.actions.jobs;
        let under_way = jobs.under_way.take();
        let mut free = under_way.is_none_or(|job| jobs.poll(job));
        for _ in 0..=BATCH {
            free = free
                && match jobs.next_begins(self.is_due(), self.is_urgent()) {
                    Next::Job(job) => jobs.poll(job),
                    Next::Pass => {
                        jobs.poll(Box::pin(self.pass_of_actions()));
                        false
                    }
                    Next::Nothing => false,
                };
        }
        if let Err(error) = jobs.watch(self) {
            // It is polled all the same, when it is late.
            ::log::error!("{error}");
        }
    }

    /// When to do so again, in ms.
    pub(crate) fn next_jobs(&self) -> Option<u64> {
        let jobs = &self.actions.jobs;
        match jobs.is_idle() {
            true if self.acting() => self.next_pass(),
            _ => jobs.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks the most: the lease is renewed, and actions go on.
    #[test]
    fn requests_do_not_keep_the_actions_waiting() {
        let jobs = Jobs::default();
        let mut since = 0;
        for _ in 0..1_000 {
            while jobs.push(Box::pin(async {})).is_ok() {}
            match jobs.next_begins(true, false) {
                Next::Job(_) => since += 1,
                Next::Pass => since = 0,
                Next::Nothing => unreachable!("many wait"),
            }
            assert!(since <= BATCH);
        }
        // A lease has a time, which slow calls use up.
        assert!(matches!(jobs.next_begins(true, true), Next::Pass));
        assert!(matches!(jobs.next_begins(false, true), Next::Job(_)));
        // What is not due does not come, and afterwards it comes at once.
        while !jobs.is_idle() {
            assert!(matches!(jobs.next_begins(false, false), Next::Job(_)));
        }
        assert!(matches!(jobs.next_begins(false, false), Next::Nothing));
        assert!(matches!(jobs.next_begins(true, false), Next::Pass));
    }
}
