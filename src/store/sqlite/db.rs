//! One SQLite connection: the only place that calls the C library.

use super::super::{Kind, Outcome, Trouble};
use libsqlite3_sys as sql;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;

pub(super) struct Db {
    handle: *mut sql::sqlite3,
    path: String,
}

pub(super) enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

/// The row that a statement stands at.
pub(super) struct Row<'a> {
    statement: *mut sql::sqlite3_stmt,
    _life: std::marker::PhantomData<&'a ()>,
}

impl Row<'_> {
    pub(super) fn number(&self, column: c_int) -> i64 {
        // SAFETY: the statement stands at a row; any column number is allowed.
        unsafe { sql::sqlite3_column_int64(self.statement, column) }
    }

    pub(super) fn bytes(&self, column: c_int) -> Vec<u8> {
        // SAFETY: as above; the blob is valid until the next step, and copied here.
        unsafe {
            let data = sql::sqlite3_column_blob(self.statement, column).cast::<u8>();
            let len = sql::sqlite3_column_bytes(self.statement, column);
            match usize::try_from(len) {
                Ok(len) if !data.is_null() => std::slice::from_raw_parts(data, len).to_vec(),
                _ => Vec::new(),
            }
        }
    }
}

/// A statement that is finalised whatever happens.
struct Statement(*mut sql::sqlite3_stmt);

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: prepared by us, finalised once.
        unsafe { sql::sqlite3_finalize(self.0) };
    }
}

impl Db {
    pub(super) fn open(path: &str, busy_ms: c_int) -> Outcome<Self> {
        let name = CString::new(path)
            .map_err(|_| Trouble::new(Kind::Schema, "the store's path has a NUL in it"))?;
        let mut handle = ptr::null_mut();
        let flags = sql::SQLITE_OPEN_READWRITE;
        // SAFETY: a terminated name; the handle is ours even when opening fails.
        let code =
            unsafe { sql::sqlite3_open_v2(name.as_ptr(), &raw mut handle, flags, ptr::null()) };
        let db = Self {
            handle,
            path: path.to_owned(),
        };
        db.checked(code)?;
        // SAFETY: an open handle.
        unsafe {
            sql::sqlite3_extended_result_codes(db.handle, 1);
            sql::sqlite3_busy_timeout(db.handle, busy_ms);
        }
        Ok(db)
    }

    pub(super) fn handle(&self) -> *mut c_void {
        self.handle.cast()
    }

    /// It was opened for writing, but the file does not allow it.
    pub(super) fn read_only(&self) -> bool {
        // SAFETY: an open handle and a static name.
        unsafe { sql::sqlite3_db_readonly(self.handle, c"main".as_ptr()) == 1 }
    }

    /// One statement without rows.
    pub(super) fn run(&self, text: &str, values: &[Value<'_>]) -> Outcome<()> {
        self.rows(text, values, &|_| ()).map(|_| ())
    }

    /// Several statements without values.
    pub(super) fn script(&self, text: &str) -> Outcome<()> {
        text.split(';')
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .try_for_each(|statement| self.run(statement, &[]))
    }

    pub(super) fn rows<T>(
        &self,
        text: &str,
        values: &[Value<'_>],
        take: &dyn Fn(&Row<'_>) -> T,
    ) -> Outcome<Vec<T>> {
        let statement = self.prepare(text)?;
        for (at, value) in (1..).zip(values) {
            self.bind(&statement, at, value)?;
        }
        let mut rows = Vec::new();
        loop {
            // SAFETY: prepared and bound; what it borrows lives until it is finalised.
            match unsafe { sql::sqlite3_step(statement.0) } {
                sql::SQLITE_ROW => rows.push(take(&Row {
                    statement: statement.0,
                    _life: std::marker::PhantomData,
                })),
                sql::SQLITE_DONE => return Ok(rows),
                code => return self.checked(code).map(|()| rows),
            }
        }
    }

    fn prepare(&self, text: &str) -> Outcome<Statement> {
        let len = c_int::try_from(text.len()).unwrap_or(0);
        let mut statement = ptr::null_mut();
        // SAFETY: text with its length; the tail is not wanted.
        let code = unsafe {
            sql::sqlite3_prepare_v2(
                self.handle,
                text.as_ptr().cast(),
                len,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        let statement = Statement(statement);
        self.checked(code).map(|()| statement)
    }

    fn bind(&self, statement: &Statement, at: c_int, value: &Value<'_>) -> Outcome<()> {
        // SAFETY: SQLITE_STATIC (no destructor): `rows` finalises the statement before
        // the values' borrow ends.
        let code = unsafe {
            match value {
                Value::Number(number) => sql::sqlite3_bind_int64(statement.0, at, *number),
                Value::Bytes(bytes) => {
                    let len = c_int::try_from(bytes.len()).unwrap_or(c_int::MAX);
                    // An empty slice's pointer dangles, and NULL would bind NULL.
                    let data = match bytes.is_empty() {
                        true => c"".as_ptr().cast(),
                        false => bytes.as_ptr().cast(),
                    };
                    sql::sqlite3_bind_blob(statement.0, at, data, len, None)
                }
            }
        };
        self.checked(code)
    }

    /// Roll back, if a transaction is open. What it says is of no use to anybody.
    pub(super) fn abandon(&self) {
        // SAFETY: an open handle.
        if unsafe { sql::sqlite3_get_autocommit(self.handle) } == 0 {
            let _ = self.run("ROLLBACK", &[]);
        }
    }

    fn checked(&self, code: c_int) -> Outcome<()> {
        let kind = match code & 0xff {
            sql::SQLITE_OK => return Ok(()),
            sql::SQLITE_BUSY | sql::SQLITE_LOCKED => Kind::Busy,
            sql::SQLITE_FULL => Kind::Full,
            sql::SQLITE_CORRUPT | sql::SQLITE_NOTADB => Kind::Corrupt,
            sql::SQLITE_READONLY if code == sql::SQLITE_READONLY_DBMOVED => Kind::Replaced,
            sql::SQLITE_READONLY | sql::SQLITE_PERM => Kind::ReadOnly,
            sql::SQLITE_ERROR => Kind::Schema,
            // I/O errors, SQLITE_CANTOPEN, no memory: it may be better another time.
            _ => Kind::Down,
        };
        // SAFETY: the handle may be NULL (no memory); the text is copied at once.
        let message = unsafe {
            let text = sql::sqlite3_errmsg(self.handle);
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        let text = format!("{}: {message} (SQLite {code})", self.path);
        Err(Trouble::new(kind, text))
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // SAFETY: closed once; all statements are finalised.
        unsafe { sql::sqlite3_close(self.handle) };
    }
}
