//! A store of the service's own: a table of C callbacks. The only place that calls them.

use super::{Change, Expect, Kind, Opening, Outcome, Record, Store, Trouble, Write};
use crate::ffi::*;
use crate::guard::callback;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::rc::Rc;

/// What dtm_store_register() got: checked, strings copied.
#[derive(Clone)]
pub(crate) struct Plugin {
    pub(crate) scheme: String,
    pub(crate) table: dtm_store_t,
}

struct Open {
    scheme: String,
    table: dtm_store_t,
    handle: *mut c_void,
    timeout_ms: u32,
    began: Cell<bool>,
}

impl Plugin {
    pub(super) fn open(&self, opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
        let uri = CString::new(opening.uri)
            .map_err(|_| Trouble::new(Kind::Schema, "the store's URI has a NUL in it"))?;
        let mut text = [0u8; 512];
        let mut handle = std::ptr::null_mut();
        let code = match self.table.open {
            // SAFETY: the service's function; uri, handle and text live during the call.
            Some(open) => callback(|| unsafe {
                open(
                    self.table.data,
                    uri.as_ptr(),
                    &raw mut handle,
                    text.as_mut_ptr().cast(),
                    text.len() - 1,
                    opening.timeout_ms,
                )
            }),
            None => DTM_ENOTSUP,
        };
        if code != 0 {
            let text = CStr::from_bytes_until_nul(&text).map_or_else(
                |_| "the store's open wrote too long a text".into(),
                CStr::to_string_lossy,
            );
            return Err(Trouble::new(
                Kind::of_code(code),
                told(&self.scheme, code, &text),
            ));
        }
        Ok(Rc::new(Open {
            scheme: self.scheme.clone(),
            table: self.table,
            handle,
            timeout_ms: opening.timeout_ms,
            began: Cell::new(false),
        }))
    }
}

fn told(scheme: &str, code: i32, text: &str) -> String {
    let name = crate::error::name(code).to_string_lossy();
    format!("{scheme}: {text} ({code}, {name})")
}

fn str_of(bytes: &[u8]) -> dtm_str_t {
    dtm_str_t {
        ptr: bytes.as_ptr().cast(),
        len: bytes.len(),
    }
}

/// # Safety
/// `text` is what its length says.
unsafe fn copied(text: dtm_str_t) -> Vec<u8> {
    match text.ptr.is_null() || text.len == 0 {
        true => Vec::new(),
        // SAFETY: by contract.
        false => unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) }.to_vec(),
    }
}

unsafe extern "C-unwind" fn collect(
    sink: *mut c_void,
    key: dtm_str_t,
    value: dtm_str_t,
    version: u64,
) -> i32 {
    // SAFETY: the sink that records() has handed out; texts by the plug-in's contract.
    unsafe {
        (*sink.cast::<Vec<Record>>()).push(Record {
            key: copied(key),
            value: copied(value),
            version,
        });
    }
    0
}

impl Open {
    fn checked(&self, code: i32) -> Outcome<()> {
        if code == 0 {
            return Ok(());
        }
        let text = match self.table.error {
            // SAFETY: the service's function; its text is copied before the next call.
            Some(error) => callback(|| unsafe {
                let text = error(self.handle);
                (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
            }),
            None => None,
        };
        let text = told(&self.scheme, code, &text.unwrap_or_default());
        Err(Trouble::new(Kind::of_code(code), text))
    }

    fn missing(&self, what: &str) -> Trouble {
        Trouble::new(Kind::Schema, format!("{}: it has no {what}", self.scheme))
    }
}

impl Store for Open {
    fn ping(&self) -> Outcome<()> {
        let ping = self.table.ping.ok_or_else(|| self.missing("ping"))?;
        // SAFETY: the service's function with the handle that its open gave.
        self.checked(callback(|| unsafe { ping(self.handle, self.timeout_ms) }))
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Record>> {
        let get = self.table.get.ok_or_else(|| self.missing("get"))?;
        let mut found: Vec<Record> = Vec::new();
        // SAFETY: the service's function; key and sink live during the call.
        let code = callback(|| unsafe {
            let sink = (&raw mut found).cast();
            get(
                self.handle,
                str_of(key),
                Some(collect),
                sink,
                self.timeout_ms,
            )
        });
        if code == -libc::ENOENT {
            return Ok(None);
        }
        self.checked(code).map(|()| found.into_iter().next())
    }

    fn list(&self, prefix: &[u8], after: &[u8], limit: usize) -> Outcome<Vec<Record>> {
        let list = self.table.list.ok_or_else(|| self.missing("list"))?;
        let mut found: Vec<Record> = Vec::new();
        // SAFETY: the service's function; texts and sink live during the call.
        let code = callback(|| unsafe {
            let sink = (&raw mut found).cast();
            let (prefix, after) = (str_of(prefix), str_of(after));
            list(
                self.handle,
                prefix,
                after,
                limit,
                Some(collect),
                sink,
                self.timeout_ms,
            )
        });
        self.checked(code).map(|()| found)
    }

    fn write(&self, writes: &[Write]) -> Outcome<u64> {
        let write = self.table.write.ok_or_else(|| self.missing("write"))?;
        let writes: Vec<dtm_write_t> = writes.iter().map(in_c).collect();
        let mut version = 0;
        // SAFETY: the service's function; the writes live during the call.
        let code = callback(|| unsafe {
            write(
                self.handle,
                writes.as_ptr(),
                writes.len(),
                &raw mut version,
                self.timeout_ms,
            )
        });
        self.began.set(false);
        self.checked(code).map(|()| version)
    }

    fn begin(&self) -> Outcome<Option<*mut c_void>> {
        let Some(begin) = self.table.begin else {
            return Ok(None);
        };
        let mut native = std::ptr::null_mut();
        // SAFETY: the service's function; `native` lives during the call.
        let code = callback(|| unsafe { begin(self.handle, &raw mut native, self.timeout_ms) });
        self.checked(code)?;
        self.began.set(true);
        Ok(Some(native))
    }

    fn rollback(&self) {
        if let Some(rollback) = self.table.rollback
            && self.began.replace(false)
        {
            // SAFETY: the service's function with the handle that its open gave.
            callback(|| unsafe { rollback(self.handle, self.timeout_ms) });
        }
    }

    fn lease(&self, name: &[u8], owner: &[u8], ttl_ms: u32) -> Outcome<()> {
        let lease = self.table.lease.ok_or_else(|| self.missing("lease"))?;
        // SAFETY: the service's function; name and owner live during the call.
        let code = callback(|| unsafe {
            let (name, owner) = (str_of(name), str_of(owner));
            lease(self.handle, name, owner, ttl_ms, self.timeout_ms)
        });
        match code {
            DTM_EREFUSED => {
                let text = format!(
                    "{}: {} is another's",
                    self.scheme,
                    String::from_utf8_lossy(name)
                );
                Err(Trouble::new(Kind::Taken, text))
            }
            code => self.checked(code),
        }
    }

    fn unlease(&self, name: &[u8], owner: &[u8]) {
        if let Some(unlease) = self.table.unlease {
            // SAFETY: the service's function; name and owner live during the call.
            callback(|| unsafe {
                unlease(self.handle, str_of(name), str_of(owner), self.timeout_ms)
            });
        }
    }

    fn is_shared(&self) -> bool {
        self.table.lease.is_some()
    }
}

fn in_c(write: &Write) -> dtm_write_t {
    let (change, value): (u32, &[u8]) = match &write.change {
        Change::Check => (DTM_WRITE_CHECK, &[]),
        Change::Put(value) => (DTM_WRITE_PUT, value),
        Change::Delete => (DTM_WRITE_DELETE, &[]),
    };
    dtm_write_t {
        key: str_of(&write.key),
        value: str_of(value),
        expected: match write.expect {
            Expect::Any => DTM_VERSION_ANY,
            Expect::Absent => 0,
            Expect::Version(version) => version,
        },
        change,
        reserved: 0,
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.rollback();
        if let Some(close) = self.table.close {
            // SAFETY: the service's function, once; the handle is not used again.
            callback(|| unsafe { close(self.handle) });
        }
    }
}
