//! The phase that is running: what it has read and changed through its transaction,
//! where it wants to go, and what for it wants to wait.

use super::instance::{For, Instance};
use super::machine::Ending;
use super::session::{Session, data_key};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::ffi::*;
use crate::store::{Change, Expect, Record, Write};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::rc::Rc;

pub(super) struct Running {
    pub(super) session: Rc<Session>,
    /// The address that the callback knows the phase by.
    pub(super) phase: usize,
    /// The phases that there are.
    pub(super) phases: u32,
    pub(super) native: *mut c_void,
    keys: BTreeMap<Vec<u8>, Touched>,
    /// Read before the callback began.
    pub(super) fetched: Fetched,
    /// To be read before it is called again.
    pub(super) wanted: Vec<Vec<u8>>,
    jump: Option<u32>,
    wait: Option<(For, u64)>,
    /// Instances that it starts: they begin with its transition, or not at all.
    pub(super) started: Vec<Instance>,
}

/// Keys and what was found.
pub(super) type Fetched = BTreeMap<Vec<u8>, Option<Record>>;

/// A key that the phase has read or changed.
struct Touched {
    /// None: never read, so nothing is relied on.
    read: Option<Expect>,
    value: Option<Vec<u8>>,
    changed: bool,
}

impl Running {
    pub(super) fn new(
        session: Rc<Session>,
        phase: usize,
        phases: u32,
        native: Option<*mut c_void>,
    ) -> Self {
        Self {
            session,
            phase,
            phases,
            native: native.unwrap_or(std::ptr::null_mut()),
            keys: BTreeMap::new(),
            fetched: BTreeMap::new(),
            wanted: Vec::new(),
            jump: None,
            wait: None,
            started: Vec::new(),
        }
    }

    pub(super) fn ending(&self, code: i32) -> Ending {
        Ending {
            code,
            jump: self.jump,
            wait: self.wait,
        }
    }

    /// How long a phase that goes on in the background may take.
    pub(super) fn limit(&self) -> Option<u64> {
        self.wait.map(|(_, ms)| ms).filter(|ms| *ms > 0)
    }

    /// What commits with the transition.
    pub(super) fn writes(&self) -> Vec<Write> {
        let write = |(key, touched): (&Vec<u8>, &Touched)| Write {
            key: data_key(key),
            expect: touched.read.unwrap_or(Expect::Any),
            change: match (touched.changed, &touched.value) {
                (false, _) => Change::Check,
                (true, Some(value)) => Change::Put(value.clone()),
                (true, None) => Change::Delete,
            },
        };
        self.keys.iter().map(write).collect()
    }

    fn room(&self, key: &[u8]) -> Result<()> {
        if key.is_empty() || key.len() > DTM_TXN_KEY_MAX {
            let text = format!("a key of {} bytes: 1..{DTM_TXN_KEY_MAX}", key.len());
            return Err(Error::invalid(text));
        }
        let most = usize::try_from(DTM_TXN_KEYS_MAX).unwrap_or(0);
        if self.keys.len() >= most && !self.keys.contains_key(key) {
            let text = format!("more than {DTM_TXN_KEYS_MAX} keys in one transaction");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.room(key)?;
        if let Some(value) = value.filter(|v| v.len() > DTM_TXN_VALUE_MAX) {
            let text = format!(
                "a value of {} bytes: at most {DTM_TXN_VALUE_MAX}",
                value.len()
            );
            return Err(Error::new(-libc::EMSGSIZE, text));
        }
        let touched = self.keys.entry(key.to_vec()).or_insert(Touched {
            read: None,
            value: None,
            changed: false,
        });
        touched.value = value.map(<[u8]>::to_vec);
        touched.changed = true;
        Ok(())
    }

    /// False: it has to be read first, and is, if the phase ends with DTM_ACTION_PENDING.
    fn fetch(&mut self, key: &[u8]) -> Result<bool> {
        self.room(key)?;
        if self.session.store.answers_at_once()
            || self.keys.contains_key(key)
            || self.fetched.contains_key(key)
        {
            return Ok(true);
        }
        let most = usize::try_from(DTM_TXN_KEYS_MAX).unwrap_or(0);
        if self.wanted.len() + self.fetched.len() + self.keys.len() >= most {
            let text = format!("more than {DTM_TXN_KEYS_MAX} keys in one transaction");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        self.wanted.push(key.to_vec());
        Ok(false)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.room(key)?;
        if let Some(touched) = self.keys.get(key) {
            return Ok(touched.value.clone());
        }
        let record = match self.fetched.remove(key) {
            Some(found) => found,
            None => self.session.get_now(&data_key(key))?,
        };
        let touched = Touched {
            read: Some(Expect::of(record.as_ref())),
            value: record.map(|r| r.value),
            changed: false,
        };
        let value = touched.value.clone();
        self.keys.insert(key.to_vec(), touched);
        Ok(value)
    }
}

impl Controller {
    /// The running phase, if the caller means that one.
    fn with_running<T>(
        &self,
        phase: *const dtm_phase_t,
        f: impl FnOnce(&mut Running) -> Result<T>,
    ) -> Result<T> {
        let mut running = self.actions.running.borrow_mut();
        match running.as_mut() {
            Some(running) if running.phase == phase as usize => f(running),
            _ => Err(not_running()),
        }
    }

    /// The same by its transaction, which has the address of the manager.
    fn with_txn<T>(
        &self,
        txn: *const dtm_txn_t,
        f: impl FnOnce(&mut Running) -> Result<T>,
    ) -> Result<T> {
        let mut running = self.actions.running.borrow_mut();
        match running.as_mut() {
            Some(running) if txn == self.txn_handle() => f(running),
            _ => Err(not_running()),
        }
    }

    pub(super) fn txn_handle(&self) -> *mut dtm_txn_t {
        std::ptr::from_ref(&*self.actions).cast_mut().cast()
    }

    /// dtm_action_jump()
    pub(crate) fn phase_jump(&self, phase: *const dtm_phase_t, next: u32) -> Result<()> {
        self.with_running(phase, |running| {
            if next >= running.phases {
                let text = format!("phase {next}: the action has {}", running.phases);
                return Err(Error::invalid(text));
            }
            running.jump = Some(next);
            Ok(())
        })
    }

    /// dtm_action_wait()
    pub(crate) fn phase_wait(&self, phase: *const dtm_phase_t, kind: u32, ms: u64) -> Result<()> {
        let what = For::of_number(kind)
            .ok_or_else(|| Error::invalid(format!("wait {kind}: must be DTM_WAIT_*")))?;
        self.with_running(phase, |running| {
            running.wait = Some((what, ms));
            Ok(())
        })
    }

    /// dtm_txn_fetch()
    pub(crate) fn txn_fetch(&self, txn: *const dtm_txn_t, key: &[u8]) -> Result<bool> {
        self.with_txn(txn, |running| running.fetch(key))
    }

    pub(crate) fn txn_get(&self, txn: *const dtm_txn_t, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with_txn(txn, |running| running.get(key))
    }

    pub(crate) fn txn_set(
        &self,
        txn: *const dtm_txn_t,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        self.with_txn(txn, |running| running.set(key, value))
    }

    pub(crate) fn txn_native(&self, txn: *const dtm_txn_t) -> Result<*mut c_void> {
        self.with_txn(txn, |running| Ok(running.native))
    }
}

fn not_running() -> Error {
    let text = "only in the callback of a phase, with what it was called with";
    Error::new(DTM_EROLE, text)
}
