//! The loop driven directly, with socket pairs for clients. What callbacks do is said
//! by each test; what they were told is written down in order.

mod chaos;
mod clients;
mod drain;
mod failures;
mod ownership;
mod passes;
mod readiness;
mod schedule;
mod timers;
mod watches;

use super::*;
use crate::error::Result;
use crate::ffi::*;
use crate::net::Peer;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// What a callback was told: which client (its id) or watch (its data), and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Open(u64),
    Step(u64, u32),
    Close(u64, i32),
    WatchStep(usize, u32),
    WatchClose(usize, i32),
    Fired(usize),
    Own(u32, u32),
}
use Told::*;

type Client = *mut dtm_client_t;
type Watch = *mut dtm_watch_t;
type Timer = *mut dtm_timer_t;

/// What callbacks do: open; step; close; a watch's step; a timer's function.
type Act<F> = RefCell<Rc<F>>;
type OnOpen = dyn Fn(&World, Client) -> i32;
type OnStep = dyn Fn(&World, Client, u32) -> i32;
type OnClose = dyn Fn(&World, Client, i32);
type OnWatch = dyn Fn(&World, Watch, u32) -> i32;
type OnTimer = dyn Fn(&World, Timer);

struct World {
    reactor: OnceCell<Reactor>,
    told: RefCell<Vec<Told>>,
    last: Cell<Client>,
    open: Act<OnOpen>,
    step: Act<OnStep>,
    close: Act<OnClose>,
    watch: Act<OnWatch>,
    timer: Act<OnTimer>,
}

fn defaults() -> Setup {
    Setup {
        rt: std::ptr::null_mut(),
        user_data: std::ptr::null_mut(),
        open: Some(open),
        step: Some(step),
        close: Some(close),
        client_timeout_ms: DTM_OFF,
        watch_timeout_ms: DTM_OFF,
        max_clients: 100_000,
        busy_counts: false,
    }
}

fn world() -> Box<World> {
    world_with(defaults())
}

fn world_with(mut setup: Setup) -> Box<World> {
    let world = Box::new(World {
        reactor: OnceCell::new(),
        told: RefCell::default(),
        last: Cell::new(std::ptr::null_mut()),
        open: RefCell::new(Rc::new(|_, _| DTM_READ.cast_signed())),
        step: RefCell::new(Rc::new(|_, _, _| DTM_KEEP)),
        close: RefCell::new(Rc::new(|_, _, _| {})),
        watch: RefCell::new(Rc::new(|_, _, _| DTM_KEEP)),
        timer: RefCell::new(Rc::new(|_, _| {})),
    });
    setup.rt = std::ptr::from_ref(&*world).cast_mut().cast();
    let epoll = nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC);
    let reactor = Reactor::new(epoll.unwrap().0, setup).unwrap();
    assert!(world.reactor.set(reactor).is_ok());
    world
}

fn of<'a>(rt: *mut dtm_t) -> &'a World {
    // SAFETY: world_with() put it there.
    unsafe { &*rt.cast::<World>() }
}

unsafe extern "C-unwind" fn open(rt: *mut dtm_t, client: Client, _: *mut c_void) -> i32 {
    let world = of(rt);
    world.last.set(client);
    world.tell(Open(world.id(client)));
    let act = world.open.borrow().clone();
    act(world, client)
}

unsafe extern "C-unwind" fn step(
    rt: *mut dtm_t,
    client: Client,
    events: u32,
    _: *mut c_void,
) -> i32 {
    let world = of(rt);
    world.tell(Step(world.id(client), events));
    let act = world.step.borrow().clone();
    act(world, client, events)
}

unsafe extern "C-unwind" fn close(rt: *mut dtm_t, client: Client, reason: i32, _: *mut c_void) {
    let world = of(rt);
    world.tell(Close(world.id(client), reason));
    // The fd is still open, and every way to change the client is barred.
    assert!(is_open(world.client_fd(client).unwrap()));
    assert_eq!(world.client_close(client).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.client_wake(client).unwrap_err().code, DTM_EGONE);
    let act = world.close.borrow().clone();
    act(world, client, reason);
}

unsafe extern "C-unwind" fn watch_step(
    rt: *mut dtm_t,
    watch: Watch,
    events: u32,
    data: *mut c_void,
) -> i32 {
    let world = of(rt);
    world.tell(WatchStep(data.addr(), events));
    let act = world.watch.borrow().clone();
    act(world, watch, events)
}

unsafe extern "C-unwind" fn watch_close(
    rt: *mut dtm_t,
    watch: Watch,
    reason: i32,
    data: *mut c_void,
) {
    let world = of(rt);
    world.tell(WatchClose(data.addr(), reason));
    assert!(is_open(world.watch_fd(watch).unwrap()));
}

unsafe extern "C-unwind" fn fire(rt: *mut dtm_t, timer: Timer, data: *mut c_void) {
    let world = of(rt);
    world.tell(Fired(data.addr()));
    let act = world.timer.borrow().clone();
    act(world, timer);
}

impl std::ops::Deref for World {
    type Target = Reactor;
    fn deref(&self) -> &Reactor {
        self.reactor.get().unwrap()
    }
}

impl Owner for World {
    fn own(&self, token: u32, events: u32) {
        self.tell(Own(token, events));
    }
}

/// Through a handle alone.
impl World {
    fn client_fd(&self, client: Client) -> Result<i32> {
        Ok(handle::alive(client, handle::Object::Client)?.fd())
    }

    fn client_id(&self, client: Client) -> Result<u64> {
        Ok(handle::alive(client, handle::Object::Client)?.id())
    }

    fn client_data(&self, client: Client) -> Result<*mut c_void> {
        Ok(handle::alive(client, handle::Object::Client)?.data())
    }

    fn client_origin(&self, client: Client) -> Result<(i32, u64, Peer)> {
        client_origin(client)
    }

    fn watch_fd(&self, watch: Watch) -> Result<i32> {
        Ok(handle::alive(watch, handle::Object::Watch)?.fd())
    }

    fn watch_data(&self, watch: Watch) -> Result<*mut c_void> {
        Ok(handle::alive(watch, handle::Object::Watch)?.data())
    }

    fn watch_set_data(&self, watch: Watch, data: *mut c_void) -> Result<()> {
        handle::alive(watch, handle::Object::Watch)?.set_data(data);
        Ok(())
    }
}

impl World {
    fn tell(&self, what: Told) {
        self.told.borrow_mut().push(what);
    }

    fn id(&self, client: Client) -> u64 {
        self.client_id(client).unwrap()
    }

    fn on_open(&self, act: impl Fn(&World, Client) -> i32 + 'static) {
        *self.open.borrow_mut() = Rc::new(act);
    }

    fn on_step(&self, act: impl Fn(&World, Client, u32) -> i32 + 'static) {
        *self.step.borrow_mut() = Rc::new(act);
    }

    fn on_close(&self, act: impl Fn(&World, Client, i32) + 'static) {
        *self.close.borrow_mut() = Rc::new(act);
    }

    fn on_watch(&self, act: impl Fn(&World, Watch, u32) -> i32 + 'static) {
        *self.watch.borrow_mut() = Rc::new(act);
    }

    fn on_timer(&self, act: impl Fn(&World, Timer) + 'static) {
        *self.timer.borrow_mut() = Rc::new(act);
    }

    /// A client; ours is the peer's end.
    fn connect(&self) -> (UnixStream, Client) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.client_add(theirs.into(), Origin::sole(0, 7, Peer::Unix))
            .unwrap();
        (ours, self.last.get())
    }

    fn watch(&self, fd: impl Into<OwnedFd>, interest: u32, name: usize) -> Watch {
        let fd = std::os::fd::IntoRawFd::into_raw_fd(fd.into());
        let data = std::ptr::without_provenance_mut(name);
        self.watch_add(fd, interest, Some(watch_step), Some(watch_close), data)
            .unwrap()
    }

    fn timer(&self, first_ms: u32, period_ms: u32, name: usize) -> Timer {
        let data = std::ptr::without_provenance_mut(name);
        self.timer_add(first_ms, period_ms, Some(fire), data)
            .unwrap()
    }

    /// What was told since the last time.
    fn heard(&self) -> Vec<Told> {
        self.told.take()
    }

    /// One pass over what is there already; what was told in it.
    fn turn(&self) -> Vec<Told> {
        self.turn_for(0)
    }

    fn turn_for(&self, timeout_ms: i32) -> Vec<Told> {
        self.pass(timeout_ms, self).unwrap();
        self.heard()
    }

    /// Passes that sleep until something was told.
    fn turn_until_told(&self) -> Vec<Told> {
        loop {
            let told = self.turn_for(-1);
            if !told.is_empty() {
                return told;
            }
        }
    }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// Read up to `size` bytes of a non-blocking fd; 0 too when there is nothing.
fn read(fd: RawFd, size: usize) -> usize {
    let mut buffer = vec![0u8; size];
    // SAFETY: the buffer has that size.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), size) };
    usize::try_from(n).unwrap_or(0)
}

/// Our end of a connection sees that the other one was closed.
fn sees_end(mut ours: &UnixStream) -> bool {
    ours.set_nonblocking(true).unwrap();
    let mut rest = Vec::new();
    match std::io::Read::read_to_end(&mut ours, &mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset, // something was unread
    }
}
