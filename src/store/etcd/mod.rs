//! `etcd://host:port[,host:port...][/prefix]`: a store of many hosts, by etcd's v3 JSON
//! gateway (3.4 and later); over TLS as `etcds://`, see `tls`. One write is one etcd
//! transaction; versions are revisions.
//!
//! Numbers of 64 bits come as strings, and what is false, zero or empty is left out.

mod connection;
mod http;
mod json;
mod stream;
#[cfg(feature = "store-etcd-tls")]
mod tls;

use super::{Call, Change, Expect, Kind, Opening, Outcome, Record, Store, Trouble, Write};
use connection::Security;
use http::{Failed, Http};
use json::{Json, encode};
use std::cell::Cell;
use std::ffi::c_void;
use std::rc::Rc;

struct Etcd {
    http: Http,
    prefix: Vec<u8>,
    /// etcd's number of the lease that was granted last.
    lease: Cell<u64>,
}

pub(super) fn open<'a>(opening: &'a Opening<'a>) -> Call<'a, Rc<dyn Store>> {
    Box::pin(connect(opening))
}

async fn connect(opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
    let wrong = |why: &str| {
        let text = format!("store = {}: {why}", opening.uri);
        Trouble::new(Kind::Schema, text)
    };
    let (rest, query) = match opening.uri.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (opening.uri, None),
    };
    let (rest, security) = match (rest.strip_prefix("etcds://"), query) {
        (Some(rest), query) => {
            let security = Security::tls(query.unwrap_or_default());
            (rest, security.map_err(|why| wrong(&why))?)
        }
        (None, Some(_)) => return Err(wrong("what stands behind ? is for etcds://")),
        (None, None) => (
            rest.strip_prefix("etcd://").unwrap_or_default(),
            Security::Plain,
        ),
    };
    let (servers, prefix) = rest.split_once('/').unwrap_or((rest, "dtm"));
    let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
    if servers.iter().any(|s| !s.contains(':') || s.ends_with(':')) {
        return Err(wrong("write etcd://HOST:PORT[/PREFIX]"));
    }
    let store = Etcd {
        http: Http::new(servers, security, opening.timeout_ms, opening.wait),
        prefix: format!("{}/", prefix.trim_end_matches('/')).into_bytes(),
        lease: Cell::new(0),
    };
    store.ping().await?;
    Ok(Rc::new(store))
}

/// The first key behind all that begin with this.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

impl Etcd {
    /// `writes`: whether an answer that does not come leaves something open.
    async fn ask(&self, path: &str, body: &str, writes: bool) -> Outcome<Json> {
        let unsure = if writes { Kind::Unknown } else { Kind::Down };
        let answer = self.http.post(path, body).await;
        let (status, body) = answer.map_err(|failed| match failed {
            Failed::Before(text) => Trouble::new(Kind::Down, format!("etcd: {text}")),
            Failed::Unsure(text) => Trouble::new(unsure, format!("etcd: {text}")),
        })?;
        let json = Json::parse(&body).ok_or_else(|| {
            Trouble::new(
                unsure,
                format!("etcd: status {status}, and no JSON: is it etcd?"),
            )
        })?;
        if status == 200 {
            return Ok(json);
        }
        let message = json.get("message").or_else(|| json.get("error"));
        let message = message.and_then(Json::text).unwrap_or("no message");
        let text = format!("etcd: status {status}: {message}");
        Err(Trouble::new(kind_of(status, message, unsure), text))
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    fn record(&self, kv: &Json) -> Option<Record> {
        Some(Record {
            key: kv.bytes("key")?.strip_prefix(&self.prefix[..])?.to_vec(),
            value: kv.bytes("value")?,
            version: kv.number("mod_revision"),
        })
    }

    async fn range(&self, body: &str) -> Outcome<Vec<Record>> {
        let json = self.ask("/v3/kv/range", body, false).await?;
        let records = json.items("kvs").iter().map(|kv| self.record(kv));
        records
            .collect::<Option<_>>()
            .ok_or_else(|| Trouble::new(Kind::Corrupt, "etcd: an answer without key or value"))
    }

    async fn transaction(&self, compare: &[String], success: &[String]) -> Outcome<u64> {
        let body = format!(
            r#"{{"compare":[{}],"success":[{}]}}"#,
            compare.join(","),
            success.join(",")
        );
        let json = self.ask("/v3/kv/txn", &body, true).await?;
        if json.get("succeeded") != Some(&Json::Bool(true)) {
            return Err(Trouble::new(Kind::Conflict, "etcd: a version is another"));
        }
        let revision = json.get("header").map_or(0, |h| h.number("revision"));
        match revision {
            0 => Err(Trouble::new(
                Kind::Unknown,
                "etcd: an answer without revision",
            )),
            revision => Ok(revision),
        }
    }

    fn put(&self, key: &[u8], value: &[u8], lease: u64) -> String {
        let (key, value) = (encode(&self.key(key)), encode(value));
        format!(r#"{{"requestPut":{{"key":"{key}","value":"{value}","lease":"{lease}"}}}}"#)
    }

    fn compare(&self, key: &[u8], expect: Expect) -> Option<String> {
        let key = encode(&self.key(key));
        match expect {
            Expect::Any => None,
            Expect::Absent => Some(format!(
                r#"{{"key":"{key}","target":"CREATE","createRevision":"0"}}"#
            )),
            Expect::Version(version) => Some(format!(
                r#"{{"key":"{key}","target":"MOD","modRevision":"{version}"}}"#
            )),
        }
    }

    /// Renew it, for as many seconds as it was granted for. 0: it has run out, and its key is
    /// gone.
    async fn keep_alive(&self, lease: u64) -> Outcome<u64> {
        let body = format!(r#"{{"ID":"{lease}"}}"#);
        let json = self.ask("/v3/lease/keepalive", &body, false).await?;
        Ok(json.get("result").map_or(0, |r| r.number("TTL")))
    }

    fn change(&self, write: &Write) -> Option<String> {
        match &write.change {
            Change::Check => None,
            Change::Put(value) => Some(self.put(&write.key, value, 0)),
            Change::Delete => {
                let key = encode(&self.key(&write.key));
                Some(format!(r#"{{"requestDeleteRange":{{"key":"{key}"}}}}"#))
            }
        }
    }

    async fn acquire(&self, name: &[u8], owner: &[u8], ttl_ms: u32) -> Outcome<()> {
        let lost = || Trouble::new(Kind::Busy, "etcd: the lease has just run out");
        if self.lease.get() != 0 {
            if self.keep_alive(self.lease.get()).await? > 0 {
                return Ok(());
            }
            self.lease.set(0);
            return Err(lost());
        }
        let wanted = u64::from(ttl_ms.div_ceil(1_000));
        let mut expect = Expect::Absent;
        // Ours already, from a controller before this one?
        if let Some(record) = self.get(name).await? {
            let text = String::from_utf8_lossy(&record.value).into_owned();
            let (id, holder) = text.split_once(' ').unwrap_or(("0", ""));
            if holder.as_bytes() != owner {
                let text = format!(
                    "etcd: {} is held by {holder}",
                    String::from_utf8_lossy(name)
                );
                return Err(Trouble::new(Kind::Taken, text));
            }
            let id = id.parse().unwrap_or(0);
            match self.keep_alive(id).await? {
                0 => return Err(lost()),
                granted if granted == wanted => {
                    self.lease.set(id);
                    return Ok(());
                }
                // `fleet_lease` is another since. What is given up for it runs out.
                _ => expect = Expect::Version(record.version),
            }
        }
        let body = format!(r#"{{"TTL":"{wanted}"}}"#);
        let granted = self.ask("/v3/lease/grant", &body, false).await?;
        let id = granted.number("ID");
        let value = [format!("{id} ").as_bytes(), owner].concat();
        let compare: Vec<String> = self.compare(name, expect).into_iter().collect();
        self.transaction(&compare, &[self.put(name, &value, id)])
            .await?;
        self.lease.set(id);
        Ok(())
    }
}

fn kind_of(status: u16, message: &str, unsure: Kind) -> Kind {
    match message {
        m if m.contains("space exceeded") => Kind::Full,
        m if m.contains("permission denied") => Kind::ReadOnly,
        m if m.contains("user name is empty") || m.contains("invalid auth") => Kind::ReadOnly,
        m if m.contains("too many operations") || m.contains("too large") => Kind::Schema,
        _ if status == 404 => Kind::Schema,
        _ => unsure,
    }
}

impl Store for Etcd {
    fn ping(&self) -> Call<'_, ()> {
        Box::pin(async { self.get(b"owner").await.map(|_| ()) })
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Call<'a, Option<Record>> {
        Box::pin(async move {
            let body = format!(r#"{{"key":"{}"}}"#, encode(&self.key(key)));
            Ok(self.range(&body).await?.into_iter().next())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a [u8],
        after: &'a [u8],
        limit: usize,
    ) -> Call<'a, Vec<Record>> {
        Box::pin(async move {
            let mut from = self.key(prefix);
            if after >= prefix && !after.is_empty() {
                from = self.key(after);
                from.push(0);
            }
            let body = format!(
                r#"{{"key":"{}","range_end":"{}","limit":"{limit}"}}"#,
                encode(&from),
                encode(&behind(&self.key(prefix)))
            );
            self.range(&body).await
        })
    }

    fn write<'a>(&'a self, writes: &'a [Write]) -> Call<'a, u64> {
        Box::pin(async move {
            let compare = writes.iter().filter_map(|w| self.compare(&w.key, w.expect));
            let compare: Vec<String> = compare.collect();
            let success: Vec<String> = writes.iter().filter_map(|w| self.change(w)).collect();
            self.transaction(&compare, &success).await
        })
    }

    /// Writes are all that there is.
    fn begin(&self) -> Call<'_, Option<*mut c_void>> {
        Box::pin(async { Ok(None) })
    }

    fn rollback(&self) -> Call<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn lease<'a>(&'a self, name: &'a [u8], owner: &'a [u8], ttl_ms: u32) -> Call<'a, ()> {
        Box::pin(self.acquire(name, owner, ttl_ms))
    }

    fn unlease<'a>(&'a self, _name: &'a [u8], _owner: &'a [u8]) -> Call<'a, ()> {
        Box::pin(async {
            let id = self.lease.replace(0);
            if id != 0 {
                let body = format!(r#"{{"ID":"{id}"}}"#);
                self.ask("/v3/lease/revoke", &body, false).await?;
            }
            Ok(())
        })
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[cfg(all(test, feature = "store-etcd-tls"))]
mod tests;
