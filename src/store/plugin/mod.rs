//! A store of the service's own: a table of C callbacks. The only place that calls them.

mod given;

use super::{Call, Kind, Opening, Outcome, Record, Store, Trouble, Wait, Write};
use crate::ffi::*;
use crate::guard::callback;
use given::{Given, collect, in_c};
use std::cell::{Cell, RefCell};
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
    wait: Rc<Wait>,
    /// What the call that is under way was given: it stays until that call has ended. One
    /// that was given up has not: then the store can only be closed.
    under_way: RefCell<Option<Rc<Given>>>,
}

impl Plugin {
    pub(super) async fn open(&self, opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
        let uri = CString::new(opening.uri)
            .map_err(|_| Trouble::new(Kind::Schema, "the store's URI has a NUL in it"))?;
        let given = Given::texts(&[uri.as_bytes_with_nul()]);
        let mut text = [0u8; 512];
        let mut handle = std::ptr::null_mut();
        let code = match self.table.open {
            // SAFETY: the service's function; uri, handle and text live during the call.
            Some(open) => callback(|| unsafe {
                open(
                    self.table.data,
                    given.text(0).ptr,
                    &raw mut handle,
                    text.as_mut_ptr().cast(),
                    text.len() - 1,
                    opening.timeout_ms,
                )
            }),
            None => DTM_ENOTSUP,
        };
        if code != 0 && code != DTM_STORE_AGAIN {
            let text = CStr::from_bytes_until_nul(&text).map_or_else(
                |_| "the store's open wrote too long a text".into(),
                CStr::to_string_lossy,
            );
            return Err(Trouble::new(
                Kind::of_code(code),
                told(&self.scheme, code, &text),
            ));
        }
        let store = Open {
            scheme: self.scheme.clone(),
            table: self.table,
            handle,
            timeout_ms: opening.timeout_ms,
            began: Cell::new(false),
            wait: Rc::clone(opening.wait),
            under_way: RefCell::default(),
        };
        let code = store.call(given, Kind::Down, |_| code).await?;
        store.checked(code)?;
        Ok(Rc::new(store))
    }
}

fn told(scheme: &str, code: i32, text: &str) -> String {
    let name = crate::error::name(code).to_string_lossy();
    format!("{scheme}: {text} ({code}, {name})")
}

/// DTM_READ and DTM_WRITE as poll() has them.
fn poll_events(interest: u32) -> i16 {
    let read = if interest & DTM_READ != 0 {
        libc::POLLIN
    } else {
        0
    };
    let write = if interest & DTM_WRITE != 0 {
        libc::POLLOUT
    } else {
        0
    };
    read | write
}

impl Open {
    /// Begin a call, and see it to its end. `late`: what it means if there is none in time.
    async fn call(
        &self,
        given: Rc<Given>,
        late: Kind,
        begin: impl FnOnce(&Given) -> i32,
    ) -> Outcome<i32> {
        if self.under_way.borrow().is_some() {
            let text = format!("{}: a call of it was given up", self.scheme);
            return Err(Trouble::new(Kind::Down, text));
        }
        let too_late = || {
            let text = format!("{}: no answer in store_timeout", self.scheme);
            Trouble::new(late, text)
        };
        let until = crate::sys::now_ms() + u64::from(self.timeout_ms);
        self.under_way.replace(Some(Rc::clone(&given)));
        let (mut code, mut over) = (begin(&given), false);
        while code == DTM_STORE_AGAIN {
            let step = self.table.step.ok_or_else(|| self.missing("step"))?;
            let (mut fd, mut interest) = (-1, 0);
            // SAFETY: the service's function with the handle that its open gave; both
            // variables live during the call.
            code = callback(|| unsafe { step(self.handle, &raw mut fd, &raw mut interest) });
            if code == DTM_STORE_AGAIN {
                // What has come in time counts, however late it is looked at: once.
                if over {
                    return Err(too_late());
                }
                let ready = self.wait.ready(fd, poll_events(interest), until);
                ready.await.map_err(|_| too_late())?;
                over = crate::sys::now_ms() >= until;
            }
        }
        self.under_way.replace(None);
        Ok(code)
    }

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
    fn ping(&self) -> Call<'_, ()> {
        Box::pin(async {
            let ping = self.table.ping.ok_or_else(|| self.missing("ping"))?;
            // SAFETY: the service's function with the handle that its open gave.
            let begin = |_: &Given| callback(|| unsafe { ping(self.handle, self.timeout_ms) });
            let code = self.call(Rc::default(), Kind::Down, begin).await?;
            self.checked(code)
        })
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Call<'a, Option<Record>> {
        Box::pin(async move {
            let get = self.table.get.ok_or_else(|| self.missing("get"))?;
            let given = Given::texts(&[key]);
            let begin = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe {
                    get(
                        self.handle,
                        g.text(0),
                        Some(collect),
                        g.sink(),
                        self.timeout_ms,
                    )
                })
            };
            let code = self.call(Rc::clone(&given), Kind::Down, begin).await?;
            if code == -libc::ENOENT {
                return Ok(None);
            }
            self.checked(code)?;
            Ok(given.found.take().into_iter().next())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a [u8],
        after: &'a [u8],
        limit: usize,
    ) -> Call<'a, Vec<Record>> {
        Box::pin(async move {
            let list = self.table.list.ok_or_else(|| self.missing("list"))?;
            let given = Given::texts(&[prefix, after]);
            let begin = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe {
                    list(
                        self.handle,
                        g.text(0),
                        g.text(1),
                        limit,
                        Some(collect),
                        g.sink(),
                        self.timeout_ms,
                    )
                })
            };
            let code = self.call(Rc::clone(&given), Kind::Down, begin).await?;
            self.checked(code)?;
            Ok(given.found.take())
        })
    }

    fn write<'a>(&'a self, writes: &'a [Write]) -> Call<'a, u64> {
        Box::pin(async move {
            let write = self.table.write.ok_or_else(|| self.missing("write"))?;
            let given = in_c(writes);
            let begin = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe {
                    write(
                        self.handle,
                        g.writes.as_ptr(),
                        g.writes.len(),
                        g.version.as_ptr(),
                        self.timeout_ms,
                    )
                })
            };
            self.began.set(false);
            let code = self.call(Rc::clone(&given), Kind::Unknown, begin).await?;
            self.checked(code)?;
            Ok(given.version.get())
        })
    }

    fn begin(&self) -> Call<'_, Option<*mut c_void>> {
        Box::pin(async {
            let Some(begin) = self.table.begin else {
                return Ok(None);
            };
            let given = Rc::<Given>::default();
            let start = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe { begin(self.handle, g.native.as_ptr(), self.timeout_ms) })
            };
            let code = self.call(Rc::clone(&given), Kind::Down, start).await?;
            self.checked(code)?;
            self.began.set(true);
            Ok(Some(given.native.get()))
        })
    }

    fn rollback(&self) -> Call<'_, ()> {
        Box::pin(async {
            let Some(rollback) = self.table.rollback.filter(|_| self.began.replace(false)) else {
                return Ok(());
            };
            // SAFETY: the service's function with the handle that its open gave.
            let begin = |_: &Given| callback(|| unsafe { rollback(self.handle, self.timeout_ms) });
            let code = self.call(Rc::default(), Kind::Down, begin).await?;
            self.checked(code)
        })
    }

    fn lease<'a>(&'a self, name: &'a [u8], owner: &'a [u8], ttl_ms: u32) -> Call<'a, ()> {
        Box::pin(async move {
            let Some(lease) = self.table.lease else {
                return Ok(()); // a store of one host
            };
            let given = Given::texts(&[name, owner]);
            let begin = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe {
                    lease(self.handle, g.text(0), g.text(1), ttl_ms, self.timeout_ms)
                })
            };
            match self.call(given, Kind::Down, begin).await? {
                DTM_EREFUSED => {
                    let name = String::from_utf8_lossy(name);
                    let text = format!("{}: {name} is another's", self.scheme);
                    Err(Trouble::new(Kind::Taken, text))
                }
                code => self.checked(code),
            }
        })
    }

    fn unlease<'a>(&'a self, name: &'a [u8], owner: &'a [u8]) -> Call<'a, ()> {
        Box::pin(async move {
            let Some(unlease) = self.table.unlease else {
                return Ok(());
            };
            let given = Given::texts(&[name, owner]);
            let begin = |g: &Given| {
                // SAFETY: the service's function; what it is given lives until its end.
                callback(|| unsafe { unlease(self.handle, g.text(0), g.text(1), self.timeout_ms) })
            };
            let code = self.call(given, Kind::Down, begin).await?;
            self.checked(code)
        })
    }

    fn is_shared(&self) -> bool {
        self.table.lease.is_some()
    }

    fn answers_at_once(&self) -> bool {
        self.table.step.is_none()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What is under way ends with the connection, and so does a transaction of a store
        // that does not answer at once.
        if let Some(rollback) = self.table.rollback
            && self.table.step.is_none()
            && self.began.replace(false)
        {
            // SAFETY: the service's function with the handle that its open gave.
            callback(|| unsafe { rollback(self.handle, self.timeout_ms) });
        }
        if let Some(close) = self.table.close {
            // SAFETY: the service's function, once; the handle is not used again.
            callback(|| unsafe { close(self.handle) });
        }
    }
}
