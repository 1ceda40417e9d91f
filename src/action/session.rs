//! A store that this controller has opened and claimed: load, and save behind the fence.

use super::book::Book;
use super::instance::Instance;
use super::known::{Known, Seen};
use super::owner::{Claim, Owner, unique};
use super::wall_ms;
use crate::store::{
    self, Expect, Kind, Opening, Outcome, Record, Scoped, Store, Trouble, Wait, Write,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Lines of history that an instance keeps: enough to see what it did last; one that
/// asks again every second for days does not fill the store.
const LINES: u64 = 64;
/// Records read at a time.
const BATCH: usize = 512;

/// Whose records they are, in a store that many share.
pub(super) struct Place<'a> {
    pub(super) service: &'a str,
    pub(super) host: &'a str,
    pub(super) lease_ms: u32,
}

fn lease_key(host: &str) -> Vec<u8> {
    format!("/lease/{host}").into_bytes()
}

pub(crate) struct Session {
    pub(super) store: Rc<dyn Store>,
    wait: Rc<Wait>,
    /// The store's own name, for tokens.
    pub(super) name: String,
    /// The version of `owner` that is ours: the fence.
    fence: u64,
    seen: RefCell<Seen>,
    pub(super) host: String,
    run: String,
    /// When it was asked for last, and how long it holds, in ms.
    lease: Cell<(u64, u64)>,
    /// When to look at the fleet's records.
    pub(super) look_at: Cell<u64>,
    /// The fleet's actions that are over, and this host's part of them, too.
    pub(super) settled: RefCell<BTreeSet<u64>>,
    /// The last id given, and its record's version.
    pub(super) last: Cell<(u64, Expect)>,
}

pub(super) fn instance_key(id: u64) -> Vec<u8> {
    format!("i/{id:016x}").into_bytes()
}

pub(super) fn line_key(id: u64, line: u64) -> Vec<u8> {
    format!("l/{id:016x}/{line:016x}").into_bytes()
}

pub(super) fn data_key(key: &[u8]) -> Vec<u8> {
    [b"d/", key].concat()
}

fn number(record: &Record) -> Outcome<u64> {
    let text = std::str::from_utf8(&record.value).ok();
    text.and_then(|t| t.trim().parse().ok()).ok_or_else(|| {
        let key = String::from_utf8_lossy(&record.key);
        Trouble::corrupt(format!("record {key} is no number"))
    })
}

impl Session {
    /// Open, claim, and read everything.
    pub(super) async fn open(
        opening: &Opening<'_>,
        me: &Owner,
        place: &Place<'_>,
        known: Option<&Known>,
    ) -> Outcome<(Self, Book)> {
        let store = Scoped::wrap(store::open(opening).await?, place.service, place.host);
        let asked = crate::sys::now_ms();
        // No phase begins with less than store_timeout of the lease left.
        if store.is_shared() && place.lease_ms <= opening.timeout_ms {
            let text = format!(
                "fleet_lease ({} ms) must be longer than store_timeout ({} ms)",
                place.lease_ms, opening.timeout_ms
            );
            return Err(Trouble::new(Kind::Schema, text));
        }
        let key = lease_key(place.host);
        store.lease(&key, me.run.as_bytes(), place.lease_ms).await?;
        let name = store.get(b"store").await?.map(|r| r.value);
        if let Some(known) = known {
            known.check(&*store, name.as_deref()).await?;
        }
        let fence = claim(&*store, me).await?;
        let name = match name {
            Some(name) => String::from_utf8(name)
                .map_err(|_| Trouble::corrupt("record store cannot be read"))?,
            None => christen(&*store, fence).await?,
        };
        let last = match store.get(b"sequence").await? {
            Some(record) => (number(&record)?, Expect::Version(record.version)),
            None => (0, Expect::Absent),
        };
        let session = Self {
            store,
            wait: Rc::clone(opening.wait),
            name,
            fence,
            seen: RefCell::new(Seen {
                version: fence,
                key: b"owner".to_vec(),
            }),
            host: place.host.to_owned(),
            run: me.run.clone(),
            lease: Cell::new((asked, u64::from(place.lease_ms))),
            look_at: Cell::new(0),
            settled: RefCell::default(),
            last: Cell::new(last),
        };
        let book = session.load().await?;
        Ok((session, book))
    }

    async fn load(&self) -> Outcome<Book> {
        let mut book = Book::default();
        let (wall, now) = (wall_ms(), crate::sys::now_ms());
        for record in self.list_all(b"i/").await? {
            let instance = Instance::decode(&record.value)
                .filter(|i| instance_key(i.id) == record.key)
                .ok_or_else(|| {
                    let key = String::from_utf8_lossy(&record.key);
                    Trouble::corrupt(format!("record {key} cannot be read"))
                })?;
            book.put(Rc::new(instance), record.version, wall, now);
        }
        Ok(book)
    }

    /// However many there are, some at a time.
    pub(super) async fn list_all(&self, prefix: &[u8]) -> Outcome<Vec<Record>> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let after = all.last().map_or(Vec::new(), |last| last.key.clone());
            let part = self.store.list(prefix, &after, BATCH).await?;
            if !follow(&after, &part) {
                let text = "what list() gives is not in the order of the keys, each behind `after`";
                return Err(Trouble::corrupt(text));
            }
            let is_last = part.len() < BATCH;
            all.extend(part);
            if is_last {
                return Ok(all);
            }
        }
    }

    fn fence(&self) -> Write {
        Write::check(*b"owner", Expect::Version(self.fence))
    }

    /// Asked for at a third of its time, the lease may be missed twice.
    pub(super) fn must_renew(&self, now: u64) -> bool {
        let (asked, ms) = self.lease.get();
        self.store.is_shared() && now.saturating_sub(asked) >= ms / 3
    }

    /// Keep the lease.
    pub(super) async fn renew(&self) -> Outcome<()> {
        let now = crate::sys::now_ms();
        if !self.must_renew(now) {
            return Ok(());
        }
        let (_, ms) = self.lease.get();
        let ttl = u32::try_from(ms).unwrap_or(u32::MAX);
        let key = lease_key(&self.host);
        self.store.lease(&key, self.run.as_bytes(), ttl).await?;
        // It holds from before the question on, at the least.
        self.lease.set((now, ms));
        Ok(())
    }

    /// A phase begins only while the lease holds for as long again as a write may take:
    /// who cannot reach the store stops before others take it for dead.
    pub(super) fn may_act(&self, margin_ms: u64) -> Outcome<()> {
        let (asked, ms) = self.lease.get();
        let now = crate::sys::now_ms();
        match !self.store.is_shared() || now + margin_ms < asked + ms {
            true => Ok(()),
            false => Err(Trouble::new(Kind::Down, "the lease is about to run out")),
        }
    }

    /// At the end of the process: for as long as one call may take.
    pub(super) fn give_back(&self) {
        if self.store.is_shared() {
            let key = lease_key(&self.host);
            let call = self.store.unlease(&key, self.run.as_bytes());
            // Not given back, it runs out.
            let _ = self.wait.finish(call);
        }
    }

    /// Read one key while the callback of a phase waits for it, and everything else with it.
    pub(super) fn get_now(&self, key: &[u8]) -> Outcome<Option<Record>> {
        self.wait.finish(self.store.get(key))
    }

    /// Somebody else's write came first: is it only that?
    pub(super) async fn check_fence(&self) -> Outcome<()> {
        match self.store.get(b"owner").await? {
            Some(record) if record.version == self.fence => Ok(()),
            _ => Err(Trouble::new(
                Kind::Conflict,
                "another controller has taken over",
            )),
        }
    }

    /// Behind the fence.
    pub(super) async fn write(&self, mut writes: Vec<Write>) -> Outcome<u64> {
        writes.insert(0, self.fence());
        let key = Seen::key_of(&mut writes);
        let version = self.store.write(&writes).await?;
        self.seen.replace(Seen { version, key });
        Ok(version)
    }

    /// What the next opening must find.
    pub(super) fn known(&self) -> Known {
        Known {
            name: self.name.clone(),
            seen: self.seen.borrow().clone(),
        }
    }

    /// The record itself.
    pub(super) fn keep(instance: &Instance, version: Expect) -> Write {
        Write::put(instance_key(instance.id), version, instance.encode())
    }

    /// The last id given.
    pub(super) fn last_id(id: u64, version: Expect) -> Write {
        Write::put(*b"sequence", version, id.to_string())
    }

    /// One more line of its history, counted in the record. Call before keep().
    pub(super) fn note(instance: &mut Instance, what: &str) -> Vec<Write> {
        instance.lines += 1;
        let line = instance.lines;
        let i = &*instance;
        let text = format!(
            "{} {} {} phase {} step {} attempt {}: {what}{}{}",
            i.changed,
            i.state.name(),
            i.stage.name(),
            i.phase,
            i.step,
            i.attempt,
            if i.text.is_empty() { "" } else { ": " },
            i.text
        );
        let mut writes = vec![Write::put(line_key(i.id, line), Expect::Any, text)];
        if line > LINES {
            writes.push(Write::delete(line_key(i.id, line - LINES), Expect::Any));
        }
        writes
    }

    pub(super) async fn history(&self, id: u64) -> Outcome<Vec<String>> {
        let prefix = format!("l/{id:016x}/");
        let records = self.store.list(prefix.as_bytes(), b"", BATCH).await?;
        let text = |r: &Record| String::from_utf8_lossy(&r.value).into_owned();
        Ok(records.iter().map(text).collect())
    }

    /// A finished instance that is too old to be kept.
    pub(super) async fn erase(&self, instance: &Instance, version: u64) -> Outcome<()> {
        let key = instance_key(instance.id);
        let mut writes = vec![Write::delete(key, Expect::Version(version))];
        let oldest = instance.lines.saturating_sub(LINES) + 1;
        let lines = oldest..=instance.lines;
        writes.extend(lines.map(|l| Write::delete(line_key(instance.id, l), Expect::Any)));
        self.write(writes).await.map(|_| ())
    }
}

/// Is each record behind the one before it? Who gives the same ones again would never end.
fn follow(after: &[u8], part: &[Record]) -> bool {
    let keys = part.iter().map(|r| r.key.as_slice());
    std::iter::once(after)
        .chain(keys)
        .is_sorted_by(|a, b| a < b)
}

/// From now on this controller acts, and nobody before it.
async fn claim(store: &dyn Store, me: &Owner) -> Outcome<u64> {
    let old = store.get(b"owner").await?;
    if let Some(record) = &old {
        let owner = Owner::decode(&record.value)
            .ok_or_else(|| Trouble::corrupt("record owner cannot be read"))?;
        match me.claim(&owner, Owner::runs) {
            Claim::Allowed => {}
            Claim::Taken => {
                let text = format!(
                    "it is in use by another service, whose controller has pid {}: give each \
                     service a store of its own",
                    owner.pid
                );
                return Err(Trouble::new(Kind::Taken, text));
            }
            Claim::Fenced => {
                let text = format!("a later controller acts (epoch {})", owner.epoch);
                return Err(Trouble::new(Kind::Fenced, text));
            }
        }
    }
    let expect = Expect::of(old.as_ref());
    let sign = [Write::put(*b"owner", expect, me.encode())];
    store.write(&sign).await
}

/// Give the store a name, once: tokens of two stores never mean the same.
async fn christen(store: &dyn Store, fence: u64) -> Outcome<String> {
    let name = unique();
    let writes = [
        Write::check(*b"owner", Expect::Version(fence)),
        Write::put(*b"store", Expect::Absent, name.clone()),
    ];
    store.write(&writes).await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_starts_anew_is_noticed() {
        let record = |key: &str| Record {
            key: key.into(),
            value: Vec::new(),
            version: 1,
        };
        let part = [record("i/1"), record("i/2")];
        assert!(follow(b"", &part) && follow(b"i/0", &part) && follow(b"i/0", &[]));
        assert!(!follow(b"i/1", &part) && !follow(b"i/2", &part));
        assert!(!follow(b"", &[record("i/2"), record("i/1")]));
    }
}
