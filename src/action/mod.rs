//! Durable actions: what an operator wants done goes on, one phase at a time, through
//! crashes and restarts of the controller, the service and the machine. flow: C10, C11
//!
//! The promise, and why it holds:
//!
//! - *A transition happens exactly once.* It is one write of one record, which names the
//!   version that the record had; the store takes it once or not at all. Whoever does not
//!   learn which, reads before it does anything else.
//! - *An effect made through the phase's transaction happens exactly once*, because it is
//!   part of that same write.
//! - *An effect elsewhere is never skipped*, because the transition comes after it; it *is
//!   repeated only with attempt > 1 and the same token*, because the attempt is stored
//!   before it, and the token names the step.
//! - *Nobody else acts meanwhile*: each write relies on the record `owner`, too.
//!
//! | file | what it holds |
//! |---|---|
//! | `instance` | the record of an instance |
//! | `machine` | what becomes of it; pure |
//! | `book` | whose turn it is; pure |
//! | `owner` | the fence; pure |
//! | `known` | which store it was, and how far |
//! | `session` | an open store: claim it, load, save |
//! | `fleet`, `convoy` | actions of many hosts: decisions; looks and moves |
//! | `builtin` | rolling restart, recycle, rollout |
//! | `jobs` | one thing after the other with the store, and nobody waits |
//! | `turn` | one step: count the attempt, call, conclude |
//! | `txn` | the running phase: its transaction, jump and wait |
//! | `operate` | start, list, control, history |

mod book;
mod builtin;
mod convoy;
mod fleet;
mod instance;
mod jobs;
mod known;
mod machine;
mod operate;
mod owner;
mod pass;
mod session;
mod turn;
mod txn;

pub(crate) use fleet::{Entry as FleetEntry, Fleet, Policy};
pub(crate) use instance::Instance;
#[cfg(test)]
pub(crate) use instance::State;
pub(crate) use owner::unique;

use crate::error::{Error, Result};
use crate::ffi::*;
use crate::store::{Plugin, Trouble};
use book::Book;
use machine::Plan;
use session::Session;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_void};
use std::rc::Rc;

/// What a phase runs.
#[derive(Clone, Copy)]
pub(crate) struct Calls {
    pub(crate) preaction: dtm_phase_cb,
    pub(crate) action: dtm_phase_cb,
    pub(crate) failed: dtm_phase_cb,
    pub(crate) data: *mut c_void,
}

/// An action that was registered. flow: C11
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) c_name: CString,
    pub(crate) phases: u32,
    pub(crate) attempts: u32,
    pub(crate) calls: Calls,
}

/// Why five: see dtm_action_t.
pub(crate) const ATTEMPTS: u32 = 5;

impl Action {
    fn plan(&self) -> Plan {
        Plan {
            phases: self.phases,
            attempts: self.attempts,
            has_failed: self.calls.failed.is_some(),
        }
    }
}

/// What the host registers before dtm_run().
pub(crate) struct Registered {
    pub(crate) actions: RefCell<Vec<Rc<Action>>>,
    pub(crate) plugins: RefCell<Vec<Plugin>>,
}

impl Default for Registered {
    fn default() -> Self {
        Self {
            actions: RefCell::new(builtin::all()),
            plugins: RefCell::default(),
        }
    }
}

impl Registered {
    pub(crate) fn add(&self, action: Action) -> Result<()> {
        let mut actions = self.actions.borrow_mut();
        if actions.iter().any(|a| a.name == action.name) {
            let text = format!("an action named '{}' is registered already", action.name);
            return Err(Error::new(-libc::EEXIST, text));
        }
        actions.push(Rc::new(action));
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<Rc<Action>> {
        self.actions
            .borrow()
            .iter()
            .find(|a| a.name == name)
            .cloned()
    }
}

/// The action manager of this controller.
pub(crate) struct Manager {
    jobs: jobs::Jobs,
    session: RefCell<Option<Rc<Session>>>,
    /// The store that was open before.
    known: RefCell<Option<known::Known>>,
    book: RefCell<Book>,
    running: RefCell<Option<txn::Running>>,
    /// What is wrong with the store.
    trouble: RefCell<Option<Trouble>>,
    /// Not before this time; failures in a row.
    retry: Cell<(u64, u32)>,
    /// When the store last answered.
    heard: Cell<u64>,
    /// What dtm_action_list() has handed out.
    listed: RefCell<Vec<CString>>,
}

impl Manager {
    pub(crate) fn new() -> Self {
        Self {
            jobs: jobs::Jobs::default(),
            session: RefCell::default(),
            known: RefCell::default(),
            book: RefCell::default(),
            running: RefCell::default(),
            trouble: RefCell::default(),
            retry: Cell::new((0, 0)),
            heard: Cell::new(0),
            listed: RefCell::default(),
        }
    }

    /// The process ends in order. `goes_on`: the service does, with another controller, who has
    /// the lease or is to have it.
    pub(crate) fn close(&self, goes_on: bool) {
        self.jobs.clear();
        if !goes_on && let Some(session) = self.session.borrow().as_ref() {
            session.give_back();
        }
        self.drop_session();
    }

    /// Is this the session that acts, or one that was dropped in the middle of a call?
    fn is_current(&self, session: &Rc<Session>) -> bool {
        let current = self.session.borrow();
        current.as_ref().is_some_and(|s| Rc::ptr_eq(s, session))
    }

    /// What was read and written so far may not be what the store has now: read anew.
    pub(crate) fn drop_session(&self) {
        if let Some(session) = self.session.take() {
            self.known.replace(Some(session.known()));
        }
    }

    /// A phase's callback is running.
    pub(crate) fn is_in_phase(&self) -> bool {
        self.running.borrow().is_some()
    }

    /// Somebody's turn has come: do not sleep.
    pub(crate) fn has_turns(&self) -> bool {
        match self.jobs.is_idle() {
            true => {
                self.session.borrow().is_some()
                    && self.retry.get().1 == 0
                    && self.book.borrow().has_turns()
            }
            false => self.jobs.next() == Some(0),
        }
    }
}

/// CLOCK_REALTIME in ms.
fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
