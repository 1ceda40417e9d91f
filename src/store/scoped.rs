//! A shared store, as one host of one service sees it: its own keys stand under
//! `NAME/hosts/HOST/`; a key that begins with `/` is the whole fleet's, under `NAME/`.

use super::{Outcome, Record, Store, Write};
use std::ffi::c_void;
use std::rc::Rc;

pub(crate) struct Scoped {
    inner: Rc<dyn Store>,
    fleet: Vec<u8>,
    own: Vec<u8>,
}

impl Scoped {
    /// Of a store of one host: as it is.
    pub(crate) fn wrap(inner: Rc<dyn Store>, service: &str, host: &str) -> Rc<dyn Store> {
        if !inner.is_shared() {
            return inner;
        }
        Rc::new(Self {
            inner,
            fleet: service.as_bytes().to_vec(),
            own: format!("{service}/hosts/{host}/").into_bytes(),
        })
    }

    fn scope(&self, key: &[u8]) -> &[u8] {
        match key.first() {
            Some(b'/') => &self.fleet,
            _ => &self.own,
        }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.scope(key), key].concat()
    }
}

impl Store for Scoped {
    fn ping(&self) -> Outcome<()> {
        self.inner.ping()
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Record>> {
        let found = self.inner.get(&self.key(key))?;
        Ok(found.map(|record| Record {
            key: key.to_vec(),
            ..record
        }))
    }

    fn list(&self, prefix: &[u8], after: &[u8], limit: usize) -> Outcome<Vec<Record>> {
        let scope = self.scope(prefix).len();
        let after = match after.is_empty() {
            true => Vec::new(),
            false => self.key(after),
        };
        let mut found = self.inner.list(&self.key(prefix), &after, limit)?;
        for record in &mut found {
            record.key.drain(..scope.min(record.key.len()));
        }
        Ok(found)
    }

    fn write(&self, writes: &[Write]) -> Outcome<u64> {
        let scoped = writes.iter().map(|write| Write {
            key: self.key(&write.key),
            ..write.clone()
        });
        self.inner.write(&scoped.collect::<Vec<_>>())
    }

    fn begin(&self) -> Outcome<Option<*mut c_void>> {
        self.inner.begin()
    }

    fn rollback(&self) {
        self.inner.rollback();
    }

    fn lease(&self, name: &[u8], owner: &[u8], ttl_ms: u32) -> Outcome<()> {
        self.inner.lease(&self.key(name), owner, ttl_ms)
    }

    fn unlease(&self, name: &[u8], owner: &[u8]) {
        self.inner.unlease(&self.key(name), owner);
    }

    fn is_shared(&self) -> bool {
        true
    }
}
