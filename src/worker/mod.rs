//! The worker: gate, accept, clients, drain.

mod accepting;
mod gate;
mod leaving;

use crate::accept::Seat;
use crate::channel::{Attached, Frame};
use crate::child::{self, Child, DEADLINE, Duties, TICK};
use crate::error::Result;
use crate::event::{BOUNDARY, Reactor, Setup};
use crate::ffi::*;
use crate::runtime::{Process, Runtime};
use crate::shm::{Doing, Gauge};
use crate::signal::handler;
use gate::Gate;
use std::cell::Cell;

/// Retry of a listener after the process ran out of descriptors.
const PAUSE: u32 = 6;
/// The next try for the accept lock.
const TRY_LOCK: u32 = 7;

pub(crate) struct Worker {
    rt: &'static Runtime,
    pub(crate) child: Child,
    seat: Seat,
    gate: Cell<Gate>,
    was_open: Cell<bool>,
    /// A message since the last Sync was refused: the code.
    refused: Cell<i32>,
    /// Of each listener. Those that come later are nothing to this worker.
    tags: Box<[u64]>,
    /// dtm_set_load(); DTM_OFF: the number of clients.
    load: Cell<u32>,
    /// Only busy clients count as load.
    counts_busy: bool,
    /// The loop is the service's own.
    own_loop: bool,
    paused: Cell<bool>,
    /// Out of descriptors a moment ago.
    exhausted: Cell<bool>,
    drain_began: Cell<bool>,
    /// It drains as an orphan.
    orphan: Cell<bool>,
    drain_until: Cell<Option<u64>>,
    /// How long the drain may take, until half of it is over, ms.
    drain_limit: Cell<u64>,
    /// Its time is over.
    expired: Cell<bool>,
    /// The exit status, once everything is over.
    done: Cell<Option<i32>>,
}

/// A worker's whole life, after birth.
pub(crate) fn main(rt: &'static Runtime, child: Child) -> i32 {
    match Worker::begin(rt, child) {
        Ok(worker) => worker.live(),
        Err(error) => {
            ::log::error!("worker cannot start: {error}");
            DTM_EXIT_INIT
        }
    }
}

impl Worker {
    fn begin(rt: &'static Runtime, child: Child) -> Result<&'static Worker> {
        let config = rt.config();
        let schedule = &child.shared.schedule;
        let seat = schedule.seat(child.birth.slot, child.birth.spawn);
        let setup = Setup {
            rt: rt.handle(),
            user_data: rt.user_data,
            open: rt.callbacks.client_open,
            step: rt.callbacks.client_step,
            close: rt.callbacks.client_close,
            client_timeout_ms: config.client_timeout.map_or(DTM_OFF, crate::sys::ms32),
            watch_timeout_ms: config.watch_timeout.map_or(DTM_OFF, crate::sys::ms32),
            max_clients: config.max_clients,
            busy_counts: config.accept_busy,
        };
        let reactor = Reactor::new(crate::sys::duplicate(seat.epoll_fd())?, setup)?;
        child.watch(&reactor)?;
        let worker = Worker {
            rt,
            child,
            seat,
            gate: Cell::new(Gate::Init),
            was_open: Cell::new(false),
            refused: Cell::new(0),
            tags: (0..DTM_LISTENERS_MAX as usize)
                .map(|listener| rt.tag(listener))
                .collect(),
            load: Cell::new(DTM_OFF),
            counts_busy: config.accept_busy,
            own_loop: rt.callbacks.worker_main.is_some(),
            paused: Cell::new(false),
            exhausted: Cell::new(false),
            drain_began: Cell::new(false),
            orphan: Cell::new(false),
            drain_until: Cell::new(None),
            drain_limit: Cell::new(0),
            expired: Cell::new(false),
            done: Cell::new(None),
        };
        rt.become_process(reactor, Process::Worker(worker))?;
        match rt.process() {
            Some(Process::Worker(worker)) => {
                worker.reactor().set_beat(worker.seat.row().beat());
                worker.reactor().set_progress(worker.child.progress());
                Ok(worker)
            }
            _ => Err(crate::error::Error::new(
                DTM_ESTATE,
                "this process is no worker",
            )),
        }
    }

    fn live(&'static self) -> i32 {
        crate::signal::mask::set(&self.child.mask);
        if let Some(init) = self.rt.callbacks.worker_init {
            // SAFETY: the service's function, with the arguments it declared.
            let code = self.child.calls(Doing::Init, || unsafe {
                init(self.rt.handle(), self.rt.user_data)
            });
            let code = crate::guard::verdict("worker_init", code);
            if code < 0 {
                ::log::error!("worker_init failed with {code}");
                return DTM_EXIT_INIT;
            }
        }
        self.child.initialised(self.rt);
        self.ready();
        match self.rt.callbacks.worker_main {
            Some(main) => self.foreign(main),
            None => self.serve(),
        }
        self.end()
    }

    /// The library's own loop.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn serve(&self) {
        let reactor = self.reactor();
        while !self.turn(reactor, -1) {}
    }

    /// The service runs its own loop, and calls dtm_loop_dispatch().
    fn foreign(&self, main: unsafe extern "C-unwind" fn(*mut dtm_t, *mut std::ffi::c_void) -> i32) {
        if let Err(error) = self.reactor().foreign() {
            ::log::error!("{error}");
            return self.done.set(Some(DTM_EXIT_INIT));
        }
        // SAFETY: the service's function, with the arguments it declared.
        let status = self.child.calls(Doing::Main, || unsafe {
            main(self.rt.handle(), self.rt.user_data)
        });
        if self.done.get().is_none() {
            self.done.set(Some(status & 0xff));
        }
    }

    fn end(&self) -> i32 {
        self.reactor().shutdown(DTM_CLOSE_SHUTDOWN);
        if let Some(exit) = self.rt.callbacks.worker_exit {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Exit, || unsafe {
                exit(self.rt.handle(), self.rt.user_data)
            });
        }
        self.done.get().unwrap_or(0)
    }

    pub(crate) fn reactor(&self) -> &'static Reactor {
        self.rt.reactor_or_exit()
    }

    /// One pass of the loop, for dtm_loop_dispatch(). True: this process should leave now.
    pub(crate) fn pass(&self, timeout_ms: i32) -> bool {
        #[cfg(feature = "fault")]
        crate::fault::hit("dispatch");
        let leaves = self.done.get().is_some() || self.turn(self.reactor(), timeout_ms);
        // Last: the nudge that comes with a doubt may have been read in this very pass, and
        // there may not be another one for long.
        self.seat.awake();
        leaves
    }

    #[inline(always)]
    fn turn(&self, reactor: &Reactor, timeout_ms: i32) -> bool {
        let news = child::pass(self, reactor, timeout_ms);
        if self.seat.is_timed() {
            self.seat.keep_on(self.departed());
        }
        news && self.look_around(reactor)
    }

    /// Not after each pass: steps that only go on change nothing that others know.
    #[inline(never)]
    #[unsafe(link_section = ".text.hot")]
    fn look_around(&self, reactor: &Reactor) -> bool {
        self.carry_on_leaving();
        self.publish(reactor);
        self.try_lock(reactor); // before it goes to sleep again
        self.done.get().is_some()
    }

    fn own(&self, token: u32) {
        match token {
            TICK => self.tick(),
            DEADLINE => self.deadline(),
            PAUSE => {
                self.exhausted.set(false);
                self.resume();
            }
            BOUNDARY => self.seat.give_lock(),
            door => {
                if let Some(door) = self.seat.door(door) {
                    self.accept(door);
                }
            }
        }
    }

    /// Where the accept lock schedules, the first that goes to sleep has it. Before the gate
    /// is open there is nothing to look for: the message that opens it wakes this worker.
    #[inline(always)]
    fn try_lock(&self, reactor: &Reactor) {
        let locks = self.seat.locks();
        reactor.boundary(locks);
        if locks && self.is_open() {
            let again = self.seat.take_lock();
            reactor.own_timer(TRY_LOCK, again);
        }
    }

    pub(super) fn arm_tick(&self) {
        if let Some(period) = self.rt.config().worker_tick {
            self.reactor().own_timer(TICK, Some(period));
        }
    }

    #[inline(never)]
    fn tick(&self) {
        if let Some(tick) = self.rt.callbacks.worker_tick {
            // SAFETY: the service's function, with the arguments it declared.
            self.child.calls(Doing::Tick, || unsafe {
                tick(self.rt.handle(), self.rt.user_data)
            });
        }
        self.arm_tick();
    }

    /// DTM_OFF: the number of clients again.
    pub(crate) fn set_load(&self, load: u32) {
        self.load.set(load);
        self.reactor().stir();
        self.rt.tell_others();
    }

    pub(crate) fn tell_others(&self) {
        self.publish(self.reactor());
        if self.child.leaving().is_some() && self.reactor().clients() == 0 {
            handler::raise(0); // a pass will say that it should leave
        }
    }

    /// Tell the others how things stand: one store each.
    #[unsafe(link_section = ".text.hot")]
    fn publish(&self, reactor: &Reactor) {
        let clients = reactor.clients();
        let load = self.load.get();
        self.seat.set_load(match load {
            DTM_OFF if self.counts_busy => reactor.busy(),
            DTM_OFF => clients,
            own => own,
        });
        self.child.gauges.set(Gauge::Clients, clients.into());
        self.seat.forget_lost(reactor.last_ms());
        if self.paused.get() {
            self.resume();
        }
    }
}

impl Duties for Worker {
    fn rt(&self) -> &Runtime {
        self.rt
    }

    fn child(&self) -> &Child {
        &self.child
    }

    fn hear(&self, frame: &Frame<'_>, attached: &mut Attached) {
        self.message(frame, attached);
    }

    #[unsafe(link_section = ".text.hot")]
    fn own(&self, token: u32) {
        self.own(token);
    }
}
