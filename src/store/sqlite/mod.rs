//! `sqlite:/path`: one file. It needs no set-up, and survives kill -9 and a power cut
//! at any write: write-ahead log, flushed to the disk at each commit.
//!
//! SQLite must never be carried across a fork, and its locks vanish when any descriptor
//! of the file is closed in this process. So: opened in the controller after its fork,
//! asked only by the process that opened it, and the file is opened by nothing else here.

mod db;

use super::wait::at_once;
use super::{Call, Change, Kind, Opening, Outcome, Record, Store, Trouble, Write};
use db::{Db, Row, Value};
use std::cell::Cell;
use std::ffi::c_void;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::rc::Rc;

/// "dtm" 1: tells our files from other SQLite databases.
const APPLICATION: i64 = 0x6474_6d31;
const SCHEMA: i64 = 1;
/// Longest wait for another process's lock, of the controller's loop time.
const BUSY_MS: i32 = 50;

const CREATE: &str = "
    CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE revision(n INTEGER NOT NULL);
    INSERT INTO revision VALUES(0);";

pub(super) struct Sqlite {
    db: Db,
    path: String,
    /// Device and inode of what was opened.
    file: (u64, u64),
    /// `begin` began, and nothing has ended it.
    open: Cell<bool>,
    pid: i32,
}

/// It answers at once: a disk is waited for, with a bound only on what waits for locks.
pub(super) fn open<'a>(opening: &'a Opening<'a>) -> Call<'a, Rc<dyn Store>> {
    at_once(|| open_now(opening))
}

fn open_now(opening: &Opening<'_>) -> Outcome<Rc<dyn Store>> {
    let path = opening.uri.strip_prefix("sqlite:").unwrap_or_default();
    if !path.starts_with('/') {
        let text = format!("store = {}: write sqlite:/absolute/path", opening.uri);
        return Err(Trouble::new(Kind::Schema, text));
    }
    if opening.create {
        create_file(path)?;
    }
    let there = identity(path)?;
    let db = Db::open(path, BUSY_MS)?;
    let store = Sqlite {
        file: there,
        path: path.to_owned(),
        db,
        open: Cell::new(false),
        pid: nix::unistd::getpid().as_raw(),
    };
    store.check()?;
    store.set_up(opening.create)?;
    Ok(Rc::new(store))
}

/// Private, whatever the umask is: arguments and tokens are nobody else's business.
fn create_file(path: &str) -> Outcome<()> {
    if std::fs::metadata(path).is_ok() {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let kind = match error.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT) => Kind::Full,
                Some(libc::EROFS | libc::EACCES | libc::EPERM) => Kind::ReadOnly,
                _ => Kind::Down,
            };
            Err(Trouble::new(kind, format!("{path}: {error}")))
        }
    }
}

fn identity(path: &str) -> Outcome<(u64, u64)> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok((meta.dev(), meta.ino())),
        Err(error) => Err(Trouble::new(Kind::Replaced, format!("{path}: {error}"))),
    }
}

impl Sqlite {
    /// Make the tables, or see that what is there is ours and whole.
    fn set_up(&self, create: bool) -> Outcome<()> {
        self.db.run("PRAGMA synchronous=FULL", &[])?;
        let tables = self.number("SELECT count(*) FROM sqlite_master")?;
        let (application, schema) = (
            self.number("PRAGMA application_id")?,
            self.number("PRAGMA user_version")?,
        );
        let empty = tables == 0 && application == 0 && schema == 0;
        if !empty && application != APPLICATION {
            let text = format!(
                "{} is a database of something else (application_id {application:#x}): \
                 name another file; nothing was changed",
                self.path
            );
            return Err(Trouble::new(Kind::Schema, text));
        }
        if !empty && schema != SCHEMA {
            let text = format!(
                "{} has schema {schema}, this libdtm knows {SCHEMA}: nothing was changed",
                self.path
            );
            return Err(Trouble::new(Kind::Schema, text));
        }
        if empty && !create {
            let text = format!("{} is empty, and was not: put the store back", self.path);
            return Err(Trouble::new(Kind::Replaced, text));
        }
        if self.db.read_only() {
            let text = format!("{} cannot be written: check its owner and mode", self.path);
            return Err(Trouble::new(Kind::ReadOnly, text));
        }
        if self.text("PRAGMA journal_mode=WAL")? != "wal" {
            let text = format!(
                "{}: this file system has no shared memory for a write-ahead log",
                self.path
            );
            return Err(Trouble::new(Kind::Schema, text));
        }
        if empty {
            self.db.run("BEGIN IMMEDIATE", &[])?;
            let made = self.db.script(CREATE).and_then(|()| {
                self.db
                    .script(&format!("PRAGMA application_id={APPLICATION}"))?;
                self.db.script(&format!("PRAGMA user_version={SCHEMA}"))?;
                self.db.run("COMMIT", &[])
            });
            return made.inspect_err(|_| self.db.abandon());
        }
        let verdict = self.text("PRAGMA quick_check(1)")?;
        if verdict != "ok" {
            let text = format!(
                "{} is damaged ({verdict}): restore it from a copy; nothing was changed",
                self.path
            );
            return Err(Trouble::corrupt(text));
        }
        Ok(())
    }

    fn number(&self, sql: &str) -> Outcome<i64> {
        let rows = self.db.rows(sql, &[], &|row: &Row<'_>| row.number(0))?;
        rows.first()
            .copied()
            .ok_or_else(|| Trouble::corrupt(format!("{}: no answer to {sql}", self.path)))
    }

    fn text(&self, sql: &str) -> Outcome<String> {
        let rows = self.db.rows(sql, &[], &|row: &Row<'_>| row.bytes(0))?;
        let bytes = rows.into_iter().next().unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Before each use: this process's, and still the file of that name.
    fn check(&self) -> Outcome<()> {
        if crate::role::me()
            .pid
            .load(std::sync::atomic::Ordering::Relaxed)
            != self.pid
            && nix::unistd::getpid().as_raw() != self.pid
        {
            let text = "a database handle was carried across a fork";
            return Err(Trouble::new(Kind::Down, text));
        }
        match identity(&self.path)? == self.file {
            true => Ok(()),
            false => Err(Trouble::new(
                Kind::Replaced,
                format!("{} is another file than the one that was opened", self.path),
            )),
        }
    }

    fn apply(&self, writes: &[Write]) -> Outcome<u64> {
        for write in writes {
            let version = self.version(&write.key)?;
            if !write.expect.holds(version) {
                let key = String::from_utf8_lossy(&write.key);
                let text = format!("{key}: version {version:?}, expected {:?}", write.expect);
                return Err(Trouble::new(Kind::Conflict, text));
            }
        }
        self.db.run("UPDATE revision SET n = n + 1", &[])?;
        let revision = self.number("SELECT n FROM revision")?;
        for write in writes {
            match &write.change {
                Change::Check => {}
                Change::Put(value) => self.db.run(
                    "INSERT INTO kv(key, value, version) VALUES(?1, ?2, ?3) ON CONFLICT(key) \
                     DO UPDATE SET value = excluded.value, version = excluded.version",
                    &[
                        Value::Bytes(&write.key),
                        Value::Bytes(value),
                        Value::Number(revision),
                    ],
                )?,
                Change::Delete => self
                    .db
                    .run("DELETE FROM kv WHERE key = ?1", &[Value::Bytes(&write.key)])?,
            }
        }
        u64::try_from(revision).map_err(|_| Trouble::corrupt("revision is negative"))
    }

    fn version(&self, key: &[u8]) -> Outcome<Option<u64>> {
        let rows = self.db.rows(
            "SELECT version FROM kv WHERE key = ?1",
            &[Value::Bytes(key)],
            &|row: &Row<'_>| row.number(0),
        )?;
        Ok(rows.first().and_then(|v| u64::try_from(*v).ok()))
    }

    fn records(&self, sql: &str, values: &[Value<'_>]) -> Outcome<Vec<Record>> {
        self.db.rows(sql, values, &|row: &Row<'_>| Record {
            key: row.bytes(0),
            value: row.bytes(1),
            version: u64::try_from(row.number(2)).unwrap_or(0),
        })
    }

    fn ensure_begun(&self) -> Outcome<()> {
        if !self.open.get() {
            self.db.run("BEGIN IMMEDIATE", &[])?;
            self.open.set(true);
        }
        Ok(())
    }
}

impl Sqlite {
    fn ping_now(&self) -> Outcome<()> {
        self.check()?;
        self.number("SELECT n FROM revision").map(|_| ())
    }

    fn get_now(&self, key: &[u8]) -> Outcome<Option<Record>> {
        self.check()?;
        let sql = "SELECT key, value, version FROM kv WHERE key = ?1";
        Ok(self.records(sql, &[Value::Bytes(key)])?.into_iter().next())
    }

    fn list_now(&self, prefix: &[u8], after: &[u8], limit: usize) -> Outcome<Vec<Record>> {
        self.check()?;
        let from = if after > prefix { after } else { prefix };
        let sql = "SELECT key, value, version FROM kv WHERE key >= ?1 AND key <> ?2 \
                   AND substr(key, 1, ?3) = ?4 ORDER BY key LIMIT ?5";
        self.records(
            sql,
            &[
                Value::Bytes(from),
                Value::Bytes(after),
                Value::Number(i64::try_from(prefix.len()).unwrap_or(i64::MAX)),
                Value::Bytes(prefix),
                Value::Number(i64::try_from(limit).unwrap_or(i64::MAX)),
            ],
        )
    }

    fn write_now(&self, writes: &[Write]) -> Outcome<u64> {
        let done = self.check().and_then(|()| {
            self.ensure_begun()?;
            self.apply(writes)
        });
        match done {
            Ok(revision) => {
                #[cfg(feature = "fault")]
                crate::fault::hit("store.commit");
                let committed = self.db.run("COMMIT", &[]);
                self.open.set(false);
                // Which of the two, a failed commit does not say.
                committed.map_err(|trouble| {
                    self.db.abandon();
                    match trouble.kind {
                        Kind::Full | Kind::Busy => trouble,
                        _ => Trouble::new(Kind::Unknown, trouble.text),
                    }
                })?;
                Ok(revision)
            }
            Err(trouble) => {
                self.rollback_now();
                Err(trouble)
            }
        }
    }

    fn begin_now(&self) -> Outcome<Option<*mut c_void>> {
        self.check()?;
        self.ensure_begun()?;
        Ok(Some(self.db.handle()))
    }

    fn rollback_now(&self) {
        if self.open.replace(false) {
            self.db.abandon();
        }
    }
}

impl Store for Sqlite {
    fn ping(&self) -> Call<'_, ()> {
        at_once(|| self.ping_now())
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> Call<'a, Option<Record>> {
        at_once(|| self.get_now(key))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a [u8],
        after: &'a [u8],
        limit: usize,
    ) -> Call<'a, Vec<Record>> {
        at_once(move || self.list_now(prefix, after, limit))
    }

    fn write<'a>(&'a self, writes: &'a [Write]) -> Call<'a, u64> {
        at_once(|| self.write_now(writes))
    }

    fn begin(&self) -> Call<'_, Option<*mut c_void>> {
        at_once(|| self.begin_now())
    }

    fn rollback(&self) -> Call<'_, ()> {
        at_once(|| {
            self.rollback_now();
            Ok(())
        })
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.rollback_now();
    }
}
