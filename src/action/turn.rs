//! One turn: an active instance goes on by one phase. flow: C10

use super::book::Entry;
use super::instance::{Fall, Instance, Stage, State};
use super::machine;
use super::session::{Session, data_key};
use super::txn::{Fetched, Running};
use super::{Action, wall_ms};
use crate::controller::Controller;
use crate::ffi::*;
use crate::shm::Doing;
use crate::store::{Expect, Kind, Outcome, Trouble};
use std::rc::Rc;

impl Controller {
    pub(super) async fn take_turn(&self, session: &Rc<Session>, id: u64) -> Outcome<()> {
        let Some(entry) = self.actions.book.borrow().get(id).cloned() else {
            return Ok(());
        };
        // Not registered in this version of the service: it waits for one that has it.
        let Some(action) = self.rt.registered.find(&entry.instance.name) else {
            return Ok(());
        };
        let plan = action.plan();
        let part = match entry.instance.fleet {
            0 => None,
            _ => match session.part(&entry.instance).await? {
                Some(part) => Some(part),
                None => return self.left_behind(session, &entry).await,
            },
        };
        if entry.pending.is_some() || entry.counted {
            return self.attempt(session, &action, &entry).await;
        }
        if machine::exhausted(&entry.instance, &plan) {
            let parked = machine::give_up(&entry.instance, &plan, wall_ms());
            let what = "gave up: its attempts are used up";
            return self
                .save(session, &entry, parked, what, Vec::new())
                .await
                .map(|_| ());
        }
        let begun = machine::begin(&entry.instance, entry.timed_out, wall_ms());
        #[cfg(feature = "fault")]
        crate::fault::hit("action.count");
        let mut writes = vec![Session::keep(&begun, Expect::Version(entry.version))];
        writes.extend(part);
        let version = session.write(writes).await?;
        let entry = {
            let mut book = self.actions.book.borrow_mut();
            book.count(Rc::new(begun), version).cloned()
        };
        match entry {
            Some(entry) => self.attempt(session, &action, &entry).await,
            None => Ok(()),
        }
    }

    /// The fleet went on without this host: so does nothing here.
    async fn left_behind(&self, session: &Rc<Session>, entry: &Entry) -> Outcome<()> {
        let cancelled = machine::operate(&entry.instance, DTM_VERB_CANCEL, wall_ms());
        let cancelled = cancelled.unwrap_or_else(|_| (*entry.instance).clone());
        let told = Instance {
            text: "the fleet has skipped this host".into(),
            ..cancelled
        };
        self.save(session, entry, told, "left behind", Vec::new())
            .await
            .map(|_| ())
    }

    /// The attempt is counted: call, and store what it came to.
    async fn attempt(&self, session: &Rc<Session>, action: &Action, entry: &Entry) -> Outcome<()> {
        let id = entry.instance.id;
        let mut fetched = Fetched::new();
        let (code, running) = loop {
            let (code, mut running) = self.begin_call(session, action, entry, fetched).await?;
            if code != DTM_ACTION_PENDING || running.wanted.is_empty() {
                break (code, running);
            }
            // It is called again with what it has asked for: at most once for each key.
            session.store.rollback().await?;
            fetched = std::mem::take(&mut running.fetched);
            for key in std::mem::take(&mut running.wanted) {
                session.renew().await?;
                let found = session.store.get(&data_key(&key)).await?;
                fetched.insert(key, found);
            }
        };
        self.actions.book.borrow_mut().called(id);
        if code == DTM_ACTION_PENDING {
            let resumed = entry.pending.map_or(0, |p| p.resumed) + 1;
            let now = crate::sys::now_ms();
            let book = &self.actions.book;
            book.borrow_mut().pend(id, resumed, running.limit(), now);
            return session.store.rollback().await;
        }
        let ending = running.ending(code);
        let plan = action.plan();
        let next = machine::conclude(&entry.instance, &plan, &ending, wall_ms());
        let (what, writes) = match code {
            DTM_ACTION_NEXT | DTM_ACTION_AGAIN | DTM_ACTION_DONE => ("done", Some(running)),
            // What it has begun through its transaction goes with the attempt.
            _ => {
                if code > 0 && code != DTM_ACTION_FAIL {
                    let name = &entry.instance.name;
                    ::log::error!(
                        "action {id} {name}: a phase returned {code}, which means nothing"
                    );
                }
                session.store.rollback().await?;
                ("failed", None)
            }
        };
        self.conclude(session, entry, next, what, writes).await
    }

    /// Call it inside of a transaction, with what was read before.
    async fn begin_call(
        &self,
        session: &Rc<Session>,
        action: &Action,
        entry: &Entry,
        fetched: Fetched,
    ) -> Outcome<(i32, Running)> {
        let native = session.store.begin().await?;
        // The control lock or the lease may be gone since the call began; or it was gone, and is
        // back: then another controller may have acted meanwhile.
        if !self.acting() || !self.actions.is_current(session) {
            return Err(Trouble::new(Kind::Down, "this controller acts no more"));
        }
        session.may_act(self.rt.config().store_timeout.into())?;
        #[cfg(feature = "fault")]
        crate::fault::hit("action.call");
        let called = self.call(session, action, entry, native, fetched);
        #[cfg(feature = "fault")]
        crate::fault::hit("action.called");
        Ok(called)
    }

    async fn conclude(
        &self,
        session: &Rc<Session>,
        entry: &Entry,
        next: Instance,
        what: &str,
        running: Option<Running>,
    ) -> Outcome<()> {
        let mut writes = running.as_ref().map(Running::writes).unwrap_or_default();
        let started = running.map(|r| r.started).unwrap_or_default();
        let last = started.last().map(|i| i.id);
        let started: Vec<Instance> = started
            .into_iter()
            .map(|mut instance| {
                writes.extend(Session::note(&mut instance, "started"));
                writes.push(Session::keep(&instance, Expect::Absent));
                instance
            })
            .collect();
        if let Some(last) = last {
            writes.push(Session::last_id(last, session.last.get().1));
        }
        if entry.instance.fleet != 0 {
            match session.part(&entry.instance).await? {
                Some(part) => writes.push(part),
                None => {
                    session.store.rollback().await?;
                    return self.left_behind(session, entry).await;
                }
            }
        }
        let version = self.save(session, entry, next, what, writes).await?;
        if let Some(last) = last {
            session.last.set((last, Expect::Version(version)));
        }
        for instance in started {
            self.note_change(instance, version);
        }
        Ok(())
    }

    async fn save(
        &self,
        session: &Session,
        entry: &Entry,
        mut next: Instance,
        what: &str,
        mut writes: Vec<crate::store::Write>,
    ) -> Outcome<u64> {
        let what = format!("{} {what}", describe(&entry.instance));
        writes.extend(Session::note(&mut next, &what));
        writes.push(Session::keep(&next, Expect::Version(entry.version)));
        let version = session.write(writes).await?;
        #[cfg(feature = "fault")]
        crate::fault::hit("action.done");
        if next.state.is_final() || next.state == State::Parked || next.cause != 0 {
            let (id, name, state) = (next.id, &next.name, next.state.name());
            ::log::info!("action {id} {name}: {what}; it is {state} {}", next.text);
        }
        self.publish(&next, &what);
        self.note_change(next, version);
        Ok(version)
    }

    /// An event, for who has subscribed.
    pub(super) fn publish(&self, instance: &Instance, what: &str) {
        if let Ok(console) = self.console() {
            let (id, name, state) = (instance.id, &instance.name, instance.state.name());
            console.hear_of_action(self, &format!("action {id} {name}: {what}; it is {state}"));
        }
    }

    fn call(
        &self,
        session: &Rc<Session>,
        action: &Action,
        entry: &Entry,
        native: Option<*mut std::ffi::c_void>,
        fetched: Fetched,
    ) -> (i32, Running) {
        let instance = &*entry.instance;
        let token = instance.token(&session.name);
        let pending = entry.pending.unwrap_or_default();
        let bytes = |b: &[u8]| dtm_str_t {
            ptr: b.as_ptr().cast(),
            len: b.len(),
        };
        let phase = dtm_phase_t {
            size: size_of::<dtm_phase_t>(),
            id: instance.id,
            name: action.c_name.as_ptr(),
            phase: instance.phase,
            attempt: instance.attempt,
            token: bytes(token.as_bytes()),
            args: bytes(&instance.args),
            txn: self.txn_handle(),
            step: instance.step,
            timed_out: u32::from(instance.timed_out),
            resumed: pending.resumed,
            status: pending.status.unwrap_or(0),
            cause: match instance.fall {
                Fall::No => 0,
                _ => instance.cause,
            },
        };
        let calls = action.calls;
        let function = match (instance.fall, instance.stage) {
            (Fall::Parking | Fall::Failing, _) => calls.failed,
            (Fall::No, Stage::Pre) => calls.preaction,
            (Fall::No, Stage::Run) => calls.action,
        };
        let address = &raw const phase as usize;
        let mut running = Running::new(Rc::clone(session), address, action.phases, native);
        running.fetched = fetched;
        self.actions.running.replace(Some(running));
        let rt = self.rt.handle();
        let code = match function {
            // SAFETY: the service's function; the phase and its texts live during the call.
            Some(call) => self.child.calls(Doing::Phase, || unsafe {
                call(rt, &raw const phase, calls.data)
            }),
            // A preaction or `failed` that this version of the service has no more.
            None => DTM_ACTION_NEXT,
        };
        let running = self.actions.running.take();
        let spare = || Running::new(Rc::clone(session), 0, 0, None);
        (code, running.unwrap_or_else(spare))
    }
}

fn describe(instance: &Instance) -> String {
    match (instance.fall, instance.stage) {
        (Fall::No, Stage::Pre) => format!("preaction (attempt {})", instance.attempt),
        (Fall::No, Stage::Run) => {
            format!("phase {} (attempt {})", instance.phase, instance.attempt)
        }
        _ => format!(
            "failed of phase {} (attempt {})",
            instance.phase, instance.attempt
        ),
    }
}
