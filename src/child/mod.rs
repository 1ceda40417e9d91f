//! What worker, controller and func have in common: birth, the link to the
//! master, signals, and being told to leave.

pub(crate) mod birth;
pub(crate) mod link;
mod lock;
pub(crate) mod voice;

use crate::channel::{Attached, Frame, Kind};
use crate::config::{Orphan, SignalTable};
use crate::error::Error;
use crate::event::{Owner, Reactor};
use crate::master::policy::Order;
use crate::process::lifeline;
use crate::runtime::{Runtime, Shared};
use crate::shm;
use crate::signal::blocked::Blocked;
use crate::signal::table::{Meaning, TAKEN, meaning, name};
use crate::signal::{handler, mask};
pub(crate) use voice::announce;

use birth::Birth;
use link::Link;
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// Event tokens that every child has. Others start at 0x100.
const CHANNEL: u32 = 1;
const WAKE: u32 = 2;
const LIFELINE: u32 = 3;
pub(crate) const TICK: u32 = 4;
pub(crate) const DEADLINE: u32 = 5;
const BLOCKED: u32 = 8;

/// Why a child leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The master's order.
    Ordered,
    /// A signal from outside, or dtm_leave(): it will be replaced.
    Asked,
    /// The master is gone.
    Orphaned,
}

/// What a process does about that which concerns only its kind.
pub(crate) trait Duties {
    fn rt(&self) -> &Runtime;
    fn child(&self) -> &Child;
    fn hear(&self, frame: &Frame<'_>, fds: &mut Attached);
    fn own(&self, token: u32);
}

impl<D: Duties> Owner for D {
    #[unsafe(link_section = ".text.hot")]
    fn own(&self, token: u32, _events: u32) {
        if !self.child().event(token, self) {
            Duties::own(self, token);
        }
    }
}

/// One pass of a process's loop. What all children have in common is seen to here,
/// the rest is among its duties. True: there is news, see [`Reactor::stir`].
#[inline(always)]
pub(crate) fn pass(process: &impl Duties, reactor: &Reactor, timeout_ms: i32) -> bool {
    let child = process.child();
    match reactor.pass(timeout_ms, process) {
        Ok(news) => news,
        Err(error) => child.broken(&error),
    }
}

/// Those that a child of ours takes.
fn signals() -> impl Iterator<Item = i32> {
    TAKEN.iter().copied().filter(|s| *s != libc::SIGCHLD)
}

/// One forked process of the runtime.
pub(crate) struct Child {
    pub(crate) birth: Birth,
    pub(crate) link: Link,
    pub(crate) shared: Rc<Shared>,
    /// Its row of the board.
    pub(crate) gauges: shm::Gauges,
    /// The mask to begin with.
    pub(crate) mask: libc::sigset_t,
    wake: handler::Wake,
    blocked: Blocked,
    lifeline: OwnedFd,
    leaving: Cell<Option<(Order, Cause)>>,
    /// The binary after this one holds the lifeline, too.
    adopted: Cell<bool>,
    /// Inside dtm_loop_dispatch or the library's own loop.
    pub(crate) dispatching: Cell<bool>,
}

impl Child {
    pub(crate) fn new(birth: Birth, ends: birth::Ends, rt: &Runtime) -> crate::error::Result<Self> {
        handler::forget();
        let wake = handler::own()?;
        let shared = rt.shared()?;
        let link = Link::new(ends.channel, &birth);
        voice::raise(&birth, link.fd());
        crate::report::install(shared.progress.row(birth.slot));
        Ok(Self {
            link,
            mask: mask::open_for(signals()),
            blocked: Blocked::new(signals())?,
            gauges: shared.board.gauges(birth.slot),
            birth,
            shared,
            wake,
            lifeline: ends.lifeline,
            leaving: Cell::new(None),
            adopted: Cell::new(false),
            dispatching: Cell::new(false),
        })
    }

    /// There is nothing more that it has to do first.
    pub(crate) fn ready(&self) {
        self.link.must_send(Kind::Ready, 0, 0, &[]);
    }

    /// The service's init has run. It may have closed descriptors: no client may get the
    /// number of one to which everybody writes. And if it has changed the user, the kernel
    /// has forgotten what to do at the master's end. A17
    pub(crate) fn initialised(&self, rt: &Runtime) {
        if let Err(error) = crate::sys::open_standard_fds() {
            ::log::error!("stdin, stdout or stderr is closed, and stays so: {error}");
        }
        self.check_fds();
        lifeline::arm(rt.config().orphan, self.birth.master, &self.lifeline);
    }

    /// The same where it may change the user at any time. Who is adopted has given it up.
    pub(crate) fn stay_bound(&self, rt: &Runtime) {
        if !self.adopted.get() && !lifeline::is_armed() {
            lifeline::arm(rt.config().orphan, self.birth.master, &self.lifeline);
        }
    }

    /// This process's own row.
    pub(crate) fn progress(&self) -> &shm::Progress {
        self.shared.progress.row(self.birth.slot)
    }

    /// Call one of the service's functions that is about no client.
    pub(crate) fn calls<R>(&self, doing: shm::Doing, f: impl FnOnce() -> R) -> R {
        self.progress().begin(shm::Note::of(doing, 0, -1));
        crate::guard::callback(f)
    }

    /// Put the common fds into this process's loop.
    pub(crate) fn watch(&self, reactor: &Reactor) -> crate::error::Result<()> {
        let input = libc::EPOLLIN.unsigned_abs();
        reactor.own_add(self.link.fd(), input, CHANNEL)?;
        reactor.own_add(self.wake.fd(), input, WAKE)?;
        reactor.own_add(self.blocked.fd(), input, BLOCKED)?;
        reactor.own_add(self.lifeline.as_raw_fd(), input, LIFELINE)
    }

    /// False: it is none of those that every child has.
    #[inline(always)]
    fn event(&self, token: u32, process: &dyn Duties) -> bool {
        let common = matches!(token, CHANNEL | WAKE | BLOCKED | LIFELINE);
        if common {
            self.common(token, process);
        }
        common
    }

    #[inline(never)]
    fn common(&self, token: u32, process: &dyn Duties) {
        let rt = process.rt();
        match token {
            CHANNEL => self.read_channel(process),
            WAKE => self.signals(rt.config().signals),
            BLOCKED => self.blocked.let_in(),
            _ => {
                self.orphaned(rt.config().orphan);
                // It stays readable.
                rt.reactor_or_exit().own_del(self.lifeline.as_raw_fd());
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn broken(&self, error: &Error) -> ! {
        let kind = self.birth.kind();
        ::log::error!("the event loop of the {kind} broke: {error}");
        crate::process::exit_now(crate::ffi::DTM_EXIT_FDS);
    }

    fn read_channel(&self, process: &dyn Duties) {
        self.check_fds();
        let open = self.link.read(&mut |frame, fds| match frame.head.kind {
            Kind::Nudge => {
                self.look_at_order();
            }
            Kind::ReopenLog => reopen_log(process.rt(), fds.fds.pop()),
            Kind::LogLevel => {
                let level = u32::try_from(frame.head.arg).unwrap_or(0);
                process.rt().set_log_level(level);
            }
            Kind::Adopted => self.become_adopted(frame.head.arg),
            _ => process.hear(frame, fds),
        });
        if !open {
            // It stays readable, and we may live on for a while.
            process.rt().reactor_or_exit().own_del(self.link.fd());
        }
        self.gauges.set(shm::Gauge::Fenced, self.link.fenced());
    }

    /// Signals arrived: see what they mean to a child.
    fn signals(&self, style: SignalTable) {
        self.wake.clear();
        let bits = handler::take();
        for signal in TAKEN.iter().copied().filter(|s| bits & (1 << s) != 0) {
            match meaning(style, self.birth.role, signal, false) {
                Meaning::Leave => self.told_by_signal(signal),
                _ => ::log::info!(
                    "{} means nothing to a {}: ignored",
                    name(signal),
                    self.birth.kind()
                ),
            }
        }
        let asked = |command: u32| bits & (1 << (handler::REQUEST_BASE + command)) != 0;
        if asked(crate::ffi::DTM_CMD_SHUTDOWN_NOW) {
            self.leave(Order::Stop, Cause::Asked);
        } else if asked(crate::ffi::DTM_CMD_SHUTDOWN) {
            self.leave(Order::Drain, Cause::Asked);
        }
    }

    /// A signal only says "look"; the order stands in the table. flow: W9, C13
    fn told_by_signal(&self, signal: i32) {
        // Nobody writes there any more: whoever signals it now wants it to end.
        if signal == libc::SIGTERM && self.adopted.get() && !self.has_master() {
            return self.leave(Order::Stop, Cause::Ordered);
        }
        if !self.look_at_order() {
            self.leave(Order::Drain, Cause::Asked);
        }
    }

    /// Is there an order of the master's to leave? Then begin.
    fn look_at_order(&self) -> bool {
        match self.shared.table.order(self.birth.slot, self.birth.spawn) {
            shm::Order::Run => return false,
            shm::Order::Drain => self.leave(Order::Drain, Cause::Ordered),
            shm::Order::Expire => self.leave(Order::Expire, Cause::Ordered),
            shm::Order::Stop => self.leave(Order::Stop, Cause::Ordered),
        }
        true
    }

    /// The lifeline broke: leave, as the policy says.
    fn orphaned(&self, policy: Orphan) {
        if lifeline::is_cut(&self.lifeline) {
            ::log::warn!("the master is gone: leaving");
            if policy == Orphan::Exit {
                crate::process::exit_now(crate::ffi::DTM_EXIT_ORPHAN);
            }
            if self.adopted.get() {
                // No signal of the kernel's has come first.
                handler::end_within(lifeline::DRAIN_SECONDS + 1);
            }
            self.leave(Order::Drain, Cause::Orphaned);
        }
    }

    /// The next binary holds the lifeline, and ends us if the old one cannot.
    fn become_adopted(&self, until: u64) {
        ::log::debug!("adopted by the binary that serves now");
        self.adopted.set(true);
        lifeline::disarm(until);
    }

    fn has_master(&self) -> bool {
        nix::unistd::getppid().as_raw() == self.birth.master
    }

    /// Leave; a stricter order replaces a milder one.
    pub(crate) fn leave(&self, order: Order, cause: Cause) {
        match self.leaving.get() {
            Some((had, _)) if had >= order && cause == Cause::Orphaned => {
                self.leaving.set(Some((had, cause)));
            }
            Some((had, _)) if had >= order => {}
            _ => {
                crate::daemon::title::add(" draining");
                self.leaving.set(Some((order, cause)));
            }
        }
    }

    /// Told to, whether it has begun or not: for the service to ask.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get().is_some()
            || self.shared.table.order(self.birth.slot, self.birth.spawn) != shm::Order::Run
    }

    /// It leaves, and the service does not: it will be replaced.
    pub(crate) fn is_replaced(&self) -> bool {
        let asked = matches!(self.leaving.get(), Some((_, Cause::Asked)));
        // The order may have come later than a signal from outside: of systemd, to all.
        asked && self.shared.table.order(self.birth.slot, self.birth.spawn) == shm::Order::Run
    }

    pub(crate) fn leaving(&self) -> Option<(Order, Cause)> {
        self.leaving.get()
    }

    /// Have our descriptors been closed or replaced by the service? Checked when
    /// the kernel reports something odd.
    fn check_fds(&self) {
        if !self.link.intact() {
            crate::process::exit_without_fds();
        }
    }
}

/// The master opens it: this process may have lost the right to, or be in a chroot.
fn reopen_log(rt: &Runtime, opened: Option<OwnedFd>) {
    match opened {
        Some(file) => crate::log::replace(file.into(), &rt.config().log.target),
        None => {
            if let Err(error) = rt.reopen_log() {
                ::log::error!("log: {error}");
            }
        }
    }
}
