//! A shared store, as one host of one service sees it: its own keys stand under
//! `NAME/hosts/HOST/`; a key that begins with `/` is the whole fleet's, under `NAME/`.

use super::{Call, Record, Store, Write};
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
    fn ping(&self) -> Call<'_, ()> {
        self.inner.ping()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Call<'a, Option<Record>> {
        Box::pin(async move {
            let found = self.inner.get(&self.key(key)).await?;
            Ok(found.map(|record| Record {
                key: key.to_vec(),
                ..record
            }))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a [u8],
        after: &'a [u8],
        limit: usize,
    ) -> Call<'a, Vec<Record>> {
        Box::pin(async move {
            let scope = self.scope(prefix).len();
            let after = match after.is_empty() {
                true => Vec::new(),
                false => self.key(after),
            };
            let mut found = self.inner.list(&self.key(prefix), &after, limit).await?;
            for record in &mut found {
                record.key.drain(..scope.min(record.key.len()));
            }
            Ok(found)
        })
    }

    fn write<'a>(&'a self, writes: &'a [Write]) -> Call<'a, u64> {
        Box::pin(async move {
            let scoped = writes.iter().map(|write| Write {
                key: self.key(&write.key),
                ..write.clone()
            });
            self.inner.write(&scoped.collect::<Vec<_>>()).await
        })
    }

    fn begin(&self) -> Call<'_, Option<*mut c_void>> {
        self.inner.begin()
    }

    fn rollback(&self) -> Call<'_, ()> {
        self.inner.rollback()
    }

    fn lease<'a>(&'a self, name: &'a [u8], owner: &'a [u8], ttl_ms: u32) -> Call<'a, ()> {
        Box::pin(async move { self.inner.lease(&self.key(name), owner, ttl_ms).await })
    }

    fn unlease<'a>(&'a self, name: &'a [u8], owner: &'a [u8]) -> Call<'a, ()> {
        Box::pin(async move { self.inner.unlease(&self.key(name), owner).await })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn answers_at_once(&self) -> bool {
        self.inner.answers_at_once()
    }
}
