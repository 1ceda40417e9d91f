//! What every store must do, and what is particular to a file.

#![allow(clippy::unwrap_used)] // clippy knows only functions marked #[test] as tests

use super::*;
use std::path::PathBuf;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dtm-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn path(&self) -> String {
        self.0.join("db").to_str().unwrap().to_owned()
    }

    fn open(&self) -> Outcome<Rc<dyn Store>> {
        opened(&format!("sqlite:{}", self.path()))
    }

    fn kind(&self) -> Kind {
        self.open().map(|_| ()).unwrap_err().kind
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn opened(uri: &str) -> Outcome<Rc<dyn Store>> {
    let wait = Rc::default();
    let opening = Opening {
        uri,
        timeout_ms: 1_000,
        create: true,
        plugins: &[],
        wait: &wait,
    };
    wait.finish(Box::pin(open(&opening)))
}

fn now<T>(call: Call<'_, T>) -> Outcome<T> {
    Wait::default().finish(call)
}

fn kind<T>(outcome: Outcome<T>) -> Kind {
    outcome.map(|_| ()).unwrap_err().kind
}

#[test]
fn writes_are_all_or_nothing() {
    let scratch = Scratch::new("whole");
    let store = scratch.open().unwrap();
    let v1 = now(store.write(&[
        Write::put(*b"a", Expect::Absent, *b"1"),
        Write::put(*b"b", Expect::Any, *b"2"),
    ]))
    .unwrap();
    let absent = now(store.write(&[
        Write::put(*b"c", Expect::Absent, *b"3"),
        Write::put(*b"a", Expect::Absent, *b"4"),
    ]));
    assert_eq!(kind(absent), Kind::Conflict);
    assert_eq!(now(store.get(b"c")).unwrap(), None);
    let checked = now(store.write(&[
        Write::check(*b"b", Expect::Version(v1)),
        Write::put(*b"a", Expect::Version(v1), *b""),
    ]));
    let v2 = checked.unwrap();
    assert!(v2 > v1);
    let record = now(store.get(b"a")).unwrap().unwrap();
    assert_eq!((record.value.as_slice(), record.version), (&b""[..], v2));
    let stale = now(store.write(&[Write::delete(*b"a", Expect::Version(v1))]));
    assert_eq!(kind(stale), Kind::Conflict);
    now(store.write(&[Write::delete(*b"a", Expect::Version(v2))])).unwrap();
    assert_eq!(now(store.get(b"a")).unwrap(), None);
}

#[test]
fn keys_are_listed_in_order_by_prefix() {
    let scratch = Scratch::new("list");
    let store = scratch.open().unwrap();
    let writes: Vec<Write> = ["i/2", "i/1", "i0", "h", "i/3"]
        .iter()
        .map(|key| Write::put(key.as_bytes(), Expect::Any, *b"x"))
        .collect();
    now(store.write(&writes)).unwrap();
    let keys = |records: Vec<Record>| -> Vec<String> {
        records
            .into_iter()
            .map(|r| String::from_utf8(r.key).unwrap())
            .collect()
    };
    assert_eq!(
        keys(now(store.list(b"i/", b"", 2)).unwrap()),
        ["i/1", "i/2"]
    );
    assert_eq!(keys(now(store.list(b"i/", b"i/2", 2)).unwrap()), ["i/3"]);
    assert!(now(store.list(b"i/", b"i/3", 2)).unwrap().is_empty());
}

#[test]
fn a_transaction_ends_with_the_write() {
    let scratch = Scratch::new("txn");
    let store = scratch.open().unwrap();
    assert!(now(store.begin()).unwrap().is_some());
    now(store.write(&[Write::put(*b"a", Expect::Absent, *b"1")])).unwrap();
    let other = scratch.open().unwrap();
    assert!(now(other.get(b"a")).unwrap().is_some());
    // G03: somebody else writes.
    now(store.begin()).unwrap();
    assert_eq!(kind(now(other.begin())), Kind::Busy);
    assert_eq!(
        kind(now(other.write(&[Write::put(*b"b", Expect::Any, *b"")]))),
        Kind::Busy
    );
    now(store.rollback()).unwrap();
    assert!(now(other.begin()).is_ok());
}

#[test]
fn what_is_no_store_is_left_alone() {
    let scratch = Scratch::new("strange");
    std::fs::write(
        scratch.path(),
        "this is a letter, not a database, and a long one",
    )
    .unwrap();
    assert_eq!(scratch.kind(), Kind::Corrupt);
    let text = std::fs::read_to_string(scratch.path()).unwrap();
    assert!(text.starts_with("this is a letter"));
    std::fs::remove_file(scratch.path()).unwrap();

    std::fs::create_dir(scratch.path()).unwrap();
    assert!(scratch.open().is_err());
    std::fs::remove_dir(scratch.path()).unwrap();

    assert_eq!(kind(opened("sqlite:relative")), Kind::Schema);
    assert_eq!(kind(opened("nosuch:/x")), Kind::Schema);
    assert!(check("nosuch:/x", &[]).is_err() && check("sqlite:/x", &[]).is_ok());
}

/// G06: bytes of a real store are turned over; it is refused or works, and is never
/// taken for something that it is not.
#[test]
fn a_damaged_file_is_refused_or_read_right() {
    let scratch = Scratch::new("damage");
    {
        let store = scratch.open().unwrap();
        for n in 0..200u32 {
            let key = format!("i/{n:04}");
            now(store.write(&[Write::put(key, Expect::Absent, vec![7u8; 100])])).unwrap();
        }
    }
    let whole = std::fs::read(scratch.path()).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(scratch.path(), &bytes).unwrap();
        match scratch.open() {
            Err(_) => refused += 1,
            Ok(store) => {
                let _ = now(store.list(b"i/", b"", 1_000));
            }
        }
        assert!(std::fs::metadata(scratch.path()).is_ok(), "it was deleted");
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(scratch.path() + end);
        }
    }
    assert!(refused > 3, "only {refused} were noticed");
}

/// G10: a power cut leaves the log cut or wrong anywhere: what had been committed before
/// is there, in order, and nothing else.
#[test]
fn a_torn_log_loses_at_most_its_end() {
    let scratch = Scratch::new("torn");
    let store = scratch.open().unwrap();
    for n in 0..12u32 {
        let key = format!("i/{n:04}");
        now(store.write(&[Write::put(key, Expect::Absent, *b"x")])).unwrap();
    }
    let file = std::fs::read(scratch.path()).unwrap();
    let log = std::fs::read(scratch.path() + "-wal").unwrap();
    assert!(log.len() > 12 * 4_096, "the log is what this is about");
    let copy = Scratch::new("torn-copy");
    let mut most = 0;
    for cut in (0..log.len()).step_by(509).chain([log.len()]) {
        for flip in [false, true] {
            let mut torn = log[..cut].to_vec();
            if flip {
                torn = log.clone();
                if let Some(byte) = torn.get_mut(cut) {
                    *byte ^= 0x55;
                }
            }
            let _ = std::fs::remove_file(copy.path() + "-shm");
            std::fs::write(copy.path(), &file).unwrap();
            std::fs::write(copy.path() + "-wal", torn).unwrap();
            let store = copy.open().unwrap();
            let found = now(store.list(b"i/", b"", 100)).unwrap();
            for (n, record) in found.iter().enumerate() {
                assert_eq!(record.key, format!("i/{n:04}").as_bytes());
            }
            most = most.max(found.len());
        }
    }
    assert_eq!(most, 12);
}

/// G06: deleted or replaced while it is open.
#[test]
fn a_file_that_is_another_is_noticed() {
    let scratch = Scratch::new("replaced");
    let store = scratch.open().unwrap();
    now(store.write(&[Write::put(*b"a", Expect::Any, *b"1")])).unwrap();
    let away = scratch.path() + ".away";
    std::fs::rename(scratch.path(), &away).unwrap();
    assert_eq!(kind(now(store.ping())), Kind::Replaced);
    assert_eq!(
        kind(now(store.write(&[Write::put(*b"a", Expect::Any, *b"2")]))),
        Kind::Replaced
    );
    std::fs::write(scratch.path(), b"").unwrap();
    assert_eq!(kind(now(store.get(b"a"))), Kind::Replaced);
    std::fs::rename(&away, scratch.path()).unwrap();
    assert_eq!(now(store.get(b"a")).unwrap().unwrap().value, b"1");
}
