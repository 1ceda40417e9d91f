//! What operators and the service do with actions: start, list, control, wake, history.

use super::book::Entry;
use super::instance::{Instance, State};
use super::session::{Session, data_key};
use super::{machine, wall_ms};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::store::{Expect, Kind, Trouble};
use std::ffi::CString;
use std::rc::Rc;

/// How it is with the store, for the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// NONE, OPEN, or what is wrong.
    pub(crate) state: &'static str,
    /// One line for people; empty when all is well.
    pub(crate) text: String,
    pub(crate) unfinished: usize,
}

impl Controller {
    pub(crate) fn store_status(&self) -> Status {
        let trouble = self.actions.trouble.borrow();
        let open = self.actions.session.borrow().is_some();
        let (state, text) = match (&*trouble, &self.rt.config().store) {
            (_, None) => ("NONE", String::new()),
            (Some(trouble), _) => (trouble.kind.name(), trouble.text.clone()),
            (None, _) if open => ("OPEN", String::new()),
            (None, _) => ("CLOSED", "not opened yet".into()),
        };
        Status {
            state,
            text,
            unfinished: self.actions.book.borrow().unfinished(),
        }
    }

    /// The store, now; or why not.
    pub(super) fn ready(&self) -> Result<Rc<Session>> {
        if self.rt.config().store.is_none() {
            let text = "no store is configured: set `store`, such as sqlite:/var/lib/x/actions.db";
            return Err(Error::config(text));
        }
        if !self.acting() {
            let text = "this controller does not hold the control lock";
            return Err(Error::new(DTM_EROLE, text));
        }
        let trouble = self.actions.trouble.borrow().clone();
        match (trouble, self.actions.session.borrow().as_ref()) {
            (None, Some(session)) => Ok(Rc::clone(session)),
            (Some(trouble), _) => Err(trouble.into()),
            (None, None) => {
                let text = "not opened yet: it is opened in the controller's first pass";
                Err(Trouble::new(Kind::Busy, text).into())
            }
        }
    }

    /// dtm_store_status()
    pub(crate) fn store_ready(&self) -> Result<()> {
        self.ready().map(|_| ())
    }

    /// A change outside of any turn. The next pass opens the store again, if need be.
    pub(super) fn failed(&self, trouble: Trouble) -> Error {
        if trouble.kind != Kind::Busy {
            self.actions.drop_session();
        }
        trouble.into()
    }

    /// What can be said at once.
    pub(crate) fn check_start(&self, name: &str, args: &[u8]) -> Result<()> {
        if self.rt.registered.find(name).is_none() {
            let text = format!("no action named '{name}' is registered");
            return Err(Error::invalid(text));
        }
        if args.len() > DTM_ARGS_MAX {
            let text = format!("{} bytes of arguments: at most {DTM_ARGS_MAX}", args.len());
            return Err(Error::new(-libc::EMSGSIZE, text));
        }
        self.ready()?;
        let most = usize::try_from(DTM_INSTANCES_MAX).unwrap_or(usize::MAX);
        let running = self.actions.running.borrow();
        let already = running.as_ref().map_or(0, |r| r.started.len());
        if self.actions.book.borrow().unfinished() + already >= most {
            let text = format!("{most} actions are not finished: no room for another");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        Ok(())
    }

    fn new_instance(&self, id: u64, name: &str, args: &[u8]) -> Result<Instance> {
        let action = self.rt.registered.find(name);
        let action = action.ok_or_else(|| Error::invalid("no such action"))?;
        let pre = action.calls.preaction.is_some();
        Ok(Instance::new(id, name, args, wall_ms(), pre))
    }

    /// dtm_action_start() in a phase: it is stored with the transition, or not at all.
    pub(crate) fn start_in_phase(&self, name: &str, args: &[u8]) -> Result<u64> {
        self.check_start(name, args)?;
        let session = self.ready()?;
        let mut running = self.actions.running.borrow_mut();
        let started = &mut running.as_mut().ok_or_else(not_in_phase)?.started;
        if started.len() >= STARTS {
            let text = format!("a phase can start {STARTS} actions");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        let id = session.last.get().0 + 1 + started.len() as u64;
        started.push(self.new_instance(id, name, args)?);
        Ok(id)
    }

    /// dtm_action_start() elsewhere: its id, when it is stored.
    pub(crate) async fn action_start(&self, name: String, args: Vec<u8>) -> Result<u64> {
        self.check_start(&name, &args)?;
        let session = self.ready()?;
        let (last, version) = session.last.get();
        let id = last + 1;
        let mut instance = self.new_instance(id, &name, &args)?;
        let mut writes = Session::note(&mut instance, "started");
        writes.push(Session::keep(&instance, Expect::Absent));
        writes.push(Session::last_id(id, version));
        let version = session.write(writes).await.map_err(|t| self.failed(t))?;
        session.last.set((id, Expect::Version(version)));
        self.publish(&instance, "started");
        self.note_change(instance, version);
        Ok(id)
    }

    /// What dtm_action_control() can say at once.
    pub(crate) fn check_control(&self, id: u64, verb: u32) -> Result<()> {
        if self.actions.is_in_phase() {
            let text = "not from inside of a phase: it says where it goes by its result";
            return Err(Error::new(DTM_EROLE, text));
        }
        self.ready()?;
        let entry = self.known(id)?;
        machine::operate(&entry.instance, verb, wall_ms()).map(|_| ())
    }

    /// dtm_action_control()
    pub(crate) async fn action_control(&self, id: u64, verb: u32) -> Result<()> {
        let session = self.ready()?;
        let entry = self.known(id)?;
        let mut next = machine::operate(&entry.instance, verb, wall_ms())?;
        let what = match verb {
            DTM_VERB_PAUSE => "paused by an operator",
            DTM_VERB_RESUME => "resumed by an operator",
            DTM_VERB_CANCEL => "cancelled by an operator",
            _ => "go, said an operator",
        };
        let mut writes = Session::note(&mut next, what);
        writes.push(Session::keep(&next, Expect::Version(entry.version)));
        let version = session.write(writes).await.map_err(|t| self.failed(t))?;
        ::log::info!("action {id} {}: {what}", next.name);
        self.publish(&next, what);
        self.note_change(next, version);
        Ok(())
    }

    /// dtm_action_wake()
    pub(crate) fn action_wake(&self, id: u64, status: i32) -> Result<()> {
        self.known(id)?;
        if self.actions.book.borrow_mut().wake(id, status) {
            return Ok(());
        }
        let text = format!("action {id} has no attempt that goes on in the background");
        Err(Error::new(DTM_EREFUSED, text))
    }

    fn known(&self, id: u64) -> Result<Entry> {
        let entry = self.actions.book.borrow().get(id).cloned();
        entry.ok_or_else(|| Error::new(DTM_EGONE, format!("there is no action {id}")))
    }

    /// This is what the store has now.
    pub(super) fn note_change(&self, instance: Instance, version: u64) {
        let now = crate::sys::now_ms();
        let mut book = self.actions.book.borrow_mut();
        book.put(Rc::new(instance), version, wall_ms(), now);
    }

    /// Every instance, oldest first.
    pub(crate) fn action_list(&self) -> Vec<Rc<Instance>> {
        let book = self.actions.book.borrow();
        book.all().map(|e| Rc::clone(&e.instance)).collect()
    }

    /// dtm_store_get(): what phases have written.
    pub(crate) async fn store_get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let session = self.ready()?;
        let record = session.store.get(&data_key(&key)).await;
        let record = record.map_err(|t| self.failed(t))?;
        Ok(record.map(|r| r.value))
    }

    /// What can be started.
    pub(crate) fn action_names(&self) -> Vec<String> {
        let actions = self.rt.registered.actions.borrow();
        actions.iter().map(|a| a.name.clone()).collect()
    }

    /// What has become of an instance, a line for each change.
    pub(crate) async fn action_history(&self, id: u64) -> Result<Vec<String>> {
        let session = self.ready()?;
        self.known(id)?;
        session.history(id).await.map_err(|t| self.failed(t))
    }

    /// dtm_action_list(): the texts live until the next call.
    pub(crate) fn action_infos(&self) -> Vec<dtm_action_info_t> {
        let mut texts = Vec::new();
        let mut text = |text: &str| {
            let owned = CString::new(text.replace('\0', "?")).unwrap_or_default();
            let address = owned.as_ptr();
            texts.push(owned);
            address
        };
        let info = |i: &Rc<Instance>| dtm_action_info_t {
            size: size_of::<dtm_action_info_t>(),
            id: i.id,
            name: text(&i.name),
            phase: i.phase,
            attempt: i.attempt,
            state: i.state.number(),
            wait: match (i.state, i.wait) {
                (State::Waiting, Some(wait)) => wait.what.number(),
                _ => 0,
            },
            step: i.step,
            started: i.started,
            changed: i.changed,
            text: text(&i.text),
        };
        let infos = self.action_list().iter().map(info).collect();
        self.actions.listed.replace(texts);
        infos
    }
}

fn not_in_phase() -> Error {
    Error::new(DTM_EROLE, "only in the callback of a phase")
}

/// Actions that one phase can start: its transition is one write of bounded size.
const STARTS: usize = 8;
