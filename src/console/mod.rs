//! The ready-made console: what serves the control listener where the service has no
//! `control_step`. It is an ordinary control client's state machine, on the controller's
//! loop: one thread, nothing that waits. flow: C7, C8, L7
//!
//! | file | what it holds |
//! |---|---|
//! | `resp`, `value`, `json` | commands as bytes, answers as bytes; pure |
//! | `conn` | one connection: unread input, unsent output, who it is |
//! | `access`, `place` | who may do what, and where it may listen |
//! | `table` | all commands: name, words, right, help; the one way to find one |
//! | `run/` | what each of them does |
//! | `status`, `names`, `proc` | the one model of the service's state, for all replies |
//! | `metrics`, `http`, `prometheus` | the same over HTTP, for scrapers and health checks |
//! | `questions` | asking workers for their clients |
//! | `life` | life events, for subscribers and for who waits for a command |

mod access;
mod adopted;
mod conn;
mod glob;
mod http;
mod json;
mod life;
mod metrics;
mod names;
mod place;
mod proc;
mod prometheus;
mod questions;
mod reply;
mod resp;
mod run;
mod status;
mod table;
mod value;

pub(crate) use life::RELOADING as LIFE_RELOADING;
pub(crate) use place::check_place;
pub(crate) use reply::{Reply, over as reply_is_over};
pub(crate) use table::{Registered, check_name};

use crate::config::Console as Settings;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::event::client_key;
use crate::ffi::*;
use crate::guard;
use crate::net::Peer;
use crate::shm::Gauge;
use access::{Caller, Operators, Right, is_owner, right_of};
use conn::Conn;
use nix::errno::Errno;
use resp::Parsed;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::rc::Rc;
use value::Value;

type Connection = Rc<RefCell<Conn>>;

pub(crate) struct Console {
    own: Vec<Registered>,
    conns: RefCell<BTreeMap<u64, Connection>>,
    /// As the configuration names them; looked up when that changes.
    operators: RefCell<(Option<String>, Rc<Operators>)>,
    processes: proc::Cache,
    questions: questions::Questions,
    scrapers: metrics::Scrapers,
}

/// What a service with a console of its own would have as callbacks.
pub(crate) const OPEN: dtm_client_open_cb = Some(open);
pub(crate) const STEP: dtm_client_step_cb = Some(step);
pub(crate) const CLOSE: dtm_client_close_cb = Some(close);

unsafe extern "C-unwind" fn open(_: *mut dtm_t, client: *mut dtm_client_t, _: *mut c_void) -> i32 {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let controller = rt.controller()?;
        controller.console()?.open(controller, client)
    })
}

unsafe extern "C-unwind" fn step(
    _: *mut dtm_t,
    client: *mut dtm_client_t,
    events: u32,
    _: *mut c_void,
) -> i32 {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let controller = rt.controller()?;
        controller.console()?.step(controller, client, events)
    })
}

unsafe extern "C-unwind" fn close(
    _: *mut dtm_t,
    client: *mut dtm_client_t,
    _: i32,
    _: *mut c_void,
) {
    guard::enter(DTM_ROLE_CONTROLLER, |rt| {
        let (id, _) = client_key(client)?;
        let conn = rt.controller()?.console()?.conns.borrow_mut().remove(&id);
        // Its last answer may have come in this very pass.
        if let Some(conn) = conn {
            let _ = conn.borrow_mut().flush();
        }
        Ok(())
    });
}

impl Console {
    pub(crate) fn new(own: Vec<Registered>) -> Self {
        Self {
            own,
            conns: RefCell::default(),
            operators: RefCell::new((None, Rc::new(Operators::look_up(None)))),
            processes: proc::Cache::default(),
            questions: questions::Questions::default(),
            scrapers: metrics::Scrapers::default(),
        }
    }

    /// A new connection. flow: C7
    fn open(&self, controller: &Controller, client: *mut dtm_client_t) -> Result<i32> {
        let (_, _, peer) = crate::event::client_origin(client)?;
        let (id, fd) = client_key(client)?;
        let settings = controller.config().console.clone();
        let mut conn = Conn::new(id, client, fd, peer.to_string());
        conn.caller = Caller::of(fd, matches!(peer, Peer::Unix));
        if let Caller::Local { pid, .. } = &conn.caller {
            conn.address = format!("unix:{pid}");
        }
        conn.right = self.first_right(&conn.caller, &settings);
        if !self.has_room(controller, &conn.caller, settings.clients) {
            controller.count(Gauge::ConsoleRefused);
            conn.reply(&Value::Error("ERR max number of clients reached".into()));
            let _ = conn.flush();
            let text = format!("control_clients = {}: no more operators", settings.clients);
            return Err(Error::new(-libc::EMFILE, text));
        }
        controller.count(Gauge::ConsoleConnections);
        let reactor = controller.reactor();
        reactor.client_set_timeout(client, settings.timeout_ms)?;
        conn.new_timeout(settings.timeout_ms);
        reactor.client_set_busy(client, false)?;
        self.conns
            .borrow_mut()
            .insert(id, Rc::new(RefCell::new(conn)));
        Ok(DTM_READ.cast_signed())
    }

    /// What a connection may do before it says more about itself.
    fn first_right(&self, caller: &Caller, settings: &Settings) -> Right {
        right_of(
            caller,
            &self.operators(settings.operators.as_deref()),
            settings,
        )
    }

    fn operators(&self, list: Option<&str>) -> Rc<Operators> {
        let mut known = self.operators.borrow_mut();
        if known.0.as_deref() != list {
            *known = (list.map(str::to_owned), Rc::new(Operators::look_up(list)));
        }
        Rc::clone(&known.1)
    }

    /// All may be in use by clients that were forgotten somewhere. One more is for the
    /// owner alone; when that is in use, too, the one that has been idle longest makes room.
    fn has_room(&self, controller: &Controller, caller: &Caller, limit: u32) -> bool {
        let conns = self.conns.borrow();
        let (count, limit) = (conns.len(), usize::try_from(limit).unwrap_or(usize::MAX));
        if count < limit {
            return true;
        }
        if !is_owner(caller, nix::unistd::geteuid().as_raw()) {
            return false;
        }
        if count == limit {
            return true;
        }
        let spare = conns
            .values()
            .filter_map(|conn| Some((conn.borrow().makes_room()?, conn)));
        let Some((_, spare)) = spare.min_by_key(|(order, _)| *order) else {
            return false;
        };
        ::log::warn!("control_clients = {limit} are in use: closing the one that is idle longest");
        // It goes at the end of this pass; the next one who comes has to find another.
        let mut spare = spare.borrow_mut();
        spare.closing = true;
        if let Err(error) = controller.reactor().client_close(spare.client) {
            ::log::debug!("it is about to go: {error}");
        }
        true
    }

    fn connection(&self, id: u64) -> Option<Connection> {
        self.conns.borrow().get(&id).cloned()
    }

    /// Read, do what was asked, answer.
    fn step(
        &self,
        controller: &'static Controller,
        client: *mut dtm_client_t,
        events: u32,
    ) -> Result<i32> {
        let (id, _) = client_key(client)?;
        let conn = self
            .connection(id)
            .ok_or_else(|| Error::new(DTM_EGONE, "no such connection"))?;
        if events & (DTM_HUP | DTM_READ) == DTM_HUP {
            return Ok(DTM_DONE); // nobody is there to be answered
        }
        let result = self.serve(controller, &conn);
        let mut conn = conn.borrow_mut();
        if result.is_err() {
            return Ok(DTM_DONE);
        }
        let reactor = controller.reactor();
        reactor.client_set_busy(client, conn.is_busy())?;
        if let Some(ms) = conn.new_timeout(controller.config().console.timeout_ms) {
            reactor.client_set_timeout(client, ms)?;
        }
        Ok(conn.interest())
    }

    fn serve(
        &self,
        controller: &'static Controller,
        conn: &Connection,
    ) -> std::result::Result<(), Errno> {
        {
            let mut conn = conn.borrow_mut();
            conn.has_more = false;
            conn.receive()?;
        }
        self.run_commands(controller, conn);
        let mut conn = conn.borrow_mut();
        // If the socket takes it, there may be more to do, which nobody will report.
        conn.has_more |= conn.unsent() > conn::OUTPUT_MAX;
        conn.flush()
    }

    fn run_commands(&self, controller: &'static Controller, conn: &Connection) {
        for _ in 0..conn::COMMANDS {
            let parsed = conn.borrow_mut().next();
            match parsed {
                Parsed::More => return,
                Parsed::Command(words) => run::execute(self, controller, conn, &words),
                Parsed::Broken(text) => {
                    let mut conn = conn.borrow_mut();
                    conn.reply(&Value::Error(text));
                    conn.closing = true;
                }
                Parsed::Http => {
                    let mut conn = conn.borrow_mut();
                    ::log::warn!(
                        "console: {} speaks HTTP, which may be somebody else's doing: hung up",
                        conn.address
                    );
                    conn.discard();
                    conn.closing = true;
                }
            }
        }
        conn.borrow_mut().has_more = true;
    }

    /// Say something to a connection from outside of its step.
    fn tell(&self, controller: &Controller, conn: &Connection, value: &Value) {
        let mut conn = conn.borrow_mut();
        conn.reply(value);
        let reactor = controller.reactor();
        // What it has asked for it gets, however long that is.
        let unasked = matches!(value, Value::Push(_));
        let done = if unasked && conn.unsent() > conn::OUTPUT_MAX + conn::OUTPUT_MAX / 2 {
            ::log::warn!(
                "console: {} does not read what it asked for: hung up",
                conn.address
            );
            reactor.client_close(conn.client)
        } else {
            reactor.client_wake(conn.client)
        };
        if let Err(error) = done {
            ::log::debug!("console: {error}");
        }
    }

    /// The answer to the command that a connection waits for.
    fn answer(&self, controller: &Controller, id: u64, waiting: conn::Waiting, value: &Value) {
        let Some(conn) = self.connection(id) else {
            return; // it has left: the command was carried out all the same
        };
        if conn.borrow().waiting == Some(waiting) {
            conn.borrow_mut().waiting = None;
            self.tell(controller, &conn, value);
        }
    }
}
