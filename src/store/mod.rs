//! Where actions are kept: keys with values and versions, written all or nothing.
//!
//! A store gives every change a version that only grows; a write names the versions
//! that it relies on. That is all the action manager needs for transitions that happen
//! exactly once, and every database has it in some form. flow: C12

mod data;
#[cfg(feature = "store-etcd")]
mod etcd;
mod plugin;
mod scoped;
#[cfg(feature = "store-sqlite")]
mod sqlite;
mod trouble;

pub(crate) use data::{Change, Expect, Record, Write};
pub(crate) use plugin::Plugin;
pub(crate) use scoped::Scoped;
pub(crate) use trouble::{Kind, Outcome, Trouble};

use crate::error::{Error, Result};
use crate::ffi::DTM_ENOTSUP;
use std::ffi::c_void;
use std::rc::Rc;

/// A database that is open. Only its own process and thread have it; calls return
/// within the time that it was opened with.
pub(crate) trait Store {
    /// Is it there, and still what was opened?
    fn ping(&self) -> Outcome<()>;
    fn get(&self, key: &[u8]) -> Outcome<Option<Record>>;
    /// At most `limit` records whose keys begin with `prefix`, in order of their keys,
    /// beginning behind `after`.
    fn list(&self, prefix: &[u8], after: &[u8], limit: usize) -> Outcome<Vec<Record>>;
    /// All of it or nothing; the version that everything written has now. Ends what
    /// `begin` began.
    fn write(&self, writes: &[Write]) -> Outcome<u64>;
    /// A transaction that lasts until `write` or `rollback`, and the database's own
    /// handle for it. None: this store knows only writes.
    fn begin(&self) -> Outcome<Option<*mut c_void>>;
    fn rollback(&self);
    /// Get a name for `ttl_ms`, or renew it; `Taken`: another owner has it. Only of shared
    /// stores: whoever cannot renew it has to stop before the time is over.
    fn lease(&self, _name: &[u8], _owner: &[u8], _ttl_ms: u32) -> Outcome<()> {
        Ok(())
    }
    fn unlease(&self, _name: &[u8], _owner: &[u8]) {}
    /// Many hosts use it, each with keys of its own.
    fn is_shared(&self) -> bool {
        false
    }
}

/// How a store is opened, wherever that happens.
pub(crate) struct Opening<'a> {
    pub(crate) uri: &'a str,
    pub(crate) timeout_ms: u32,
    /// Make it if it is not there. Only the first time: what was there and is not any more
    /// was taken away by somebody.
    #[cfg_attr(not(feature = "store-sqlite"), allow(dead_code))]
    pub(crate) create: bool,
    pub(crate) plugins: &'a [Plugin],
}

type Opener = fn(&Opening<'_>) -> Outcome<Rc<dyn Store>>;

/// The schemes that this build has.
const BUILT_IN: &[(&str, Opener)] = &[
    #[cfg(feature = "store-sqlite")]
    ("sqlite", sqlite::open),
    #[cfg(feature = "store-etcd")]
    ("etcd", etcd::open),
];

fn scheme(uri: &str) -> &str {
    uri.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// Could this be opened at all? Asked at the start, in the host: nothing is opened.
pub(crate) fn check(uri: &str, plugins: &[Plugin]) -> Result<()> {
    let scheme = scheme(uri);
    let known = BUILT_IN.iter().map(|(name, _)| *name);
    let mut known: Vec<&str> = known
        .chain(plugins.iter().map(|p| p.scheme.as_str()))
        .collect();
    if known.contains(&scheme) {
        return Ok(());
    }
    known.push("those added by dtm_store_register()");
    Err(Error::new(
        DTM_ENOTSUP,
        format!(
            "store = {uri}: this libdtm has no store '{scheme}:'; it has: {}",
            known.join(", ")
        ),
    ))
}

/// In the controller, after fork, never before.
pub(crate) fn open(opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
    let scheme = scheme(opening.uri);
    if let Some(plugin) = opening.plugins.iter().find(|p| p.scheme == scheme) {
        return plugin.open(opening);
    }
    match BUILT_IN.iter().find(|(name, _)| *name == scheme) {
        Some((_, open)) => open(opening),
        None => Err(Trouble::new(
            Kind::Schema,
            format!("store = {}: unknown scheme '{scheme}:'", opening.uri),
        )),
    }
}

#[cfg(all(test, feature = "store-sqlite"))]
mod tests;
