//! Where actions are kept: keys with values and versions, written all or nothing.
//!
//! A store gives every change a version that only grows; a write names the versions
//! that it relies on. That is all the action manager needs for transitions that happen
//! exactly once, and every database has it in some form. flow: C12

mod data;
#[cfg(feature = "store-etcd")]
mod etcd;
mod plugin;
#[cfg(feature = "store-etcd")]
mod resolve;
mod scoped;
#[cfg(feature = "store-sqlite")]
mod sqlite;
mod trouble;
mod wait;

pub(crate) use data::{Change, Expect, Record, Write};
pub(crate) use plugin::Plugin;
pub(crate) use scoped::Scoped;
pub(crate) use trouble::{Kind, Outcome, Trouble};
pub(crate) use wait::{Call, Wait, Wish};

use crate::error::{Error, Result};
use crate::ffi::DTM_ENOTSUP;
use std::ffi::c_void;
use std::rc::Rc;

/// A database that is open. Only its own process and thread have it. One call at a time is
/// under way, and it ends within the time that the store was opened with.
pub(crate) trait Store {
    /// Is it there, and still what was opened?
    fn ping(&self) -> Call<'_, ()>;
    fn get<'a>(&'a self, key: &'a [u8]) -> Call<'a, Option<Record>>;
    /// At most `limit` records whose keys begin with `prefix`, in order of their keys,
    /// beginning behind `after`.
    fn list<'a>(&'a self, prefix: &'a [u8], after: &'a [u8], limit: usize)
    -> Call<'a, Vec<Record>>;
    /// All of it or nothing; the version that everything written has now. Ends what
    /// `begin` began.
    fn write<'a>(&'a self, writes: &'a [Write]) -> Call<'a, u64>;
    /// A transaction that lasts until `write` or `rollback`, and the database's own
    /// handle for it. None: this store knows only writes.
    fn begin(&self) -> Call<'_, Option<*mut c_void>>;
    fn rollback(&self) -> Call<'_, ()>;
    /// Get a name for `ttl_ms`, or renew it; `Taken`: another owner has it. Only of shared
    /// stores: whoever cannot renew it has to stop before the time is over.
    fn lease<'a>(&'a self, _name: &'a [u8], _owner: &'a [u8], _ttl_ms: u32) -> Call<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn unlease<'a>(&'a self, _name: &'a [u8], _owner: &'a [u8]) -> Call<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    /// Many hosts use it, each with keys of its own.
    fn is_shared(&self) -> bool {
        false
    }
    /// No call of it ever has to be waited for.
    fn answers_at_once(&self) -> bool {
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
    /// Where its calls say what they wait for.
    pub(crate) wait: &'a Rc<Wait>,
}

type Opener = for<'a> fn(&'a Opening<'a>) -> Call<'a, Rc<dyn Store>>;

/// The schemes that this build has.
const BUILT_IN: &[(&str, Opener)] = &[
    #[cfg(feature = "store-sqlite")]
    ("sqlite", sqlite::open),
    #[cfg(feature = "store-etcd")]
    ("etcd", etcd::open),
    #[cfg(feature = "store-etcd-tls")]
    ("etcds", etcd::open),
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
pub(crate) async fn open(opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
    let scheme = scheme(opening.uri);
    if let Some(plugin) = opening.plugins.iter().find(|p| p.scheme == scheme) {
        return plugin.open(opening).await;
    }
    match BUILT_IN.iter().find(|(name, _)| *name == scheme) {
        Some((_, open)) => open(opening).await,
        None => Err(Trouble::new(
            Kind::Schema,
            format!("store = {}: unknown scheme '{scheme}:'", opening.uri),
        )),
    }
}

#[cfg(all(test, feature = "store-sqlite"))]
mod tests;
