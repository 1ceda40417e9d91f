//! Which store a controller has had open, and how far it was: the next opening takes no
//! other one, and no older copy.

use crate::store::{Change, Expect, Kind, Outcome, Store, Trouble, Write};

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(super) name: String,
    pub(super) seen: Seen,
}

/// The last write that was answered.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) version: u64,
    /// A record that it has put, which only a later write of this controller's replaces or
    /// takes away.
    pub(super) key: Vec<u8>,
}

/// Put by writes that put nothing else of that kind.
const MARK: &[u8] = b"mark";

impl Seen {
    /// What such a write will be known by.
    pub(super) fn key_of(writes: &mut Vec<Write>) -> Vec<u8> {
        let stays = |w: &&Write| {
            let put = matches!(w.change, Change::Put(_));
            put && (w.key.starts_with(b"i/") || w.key == b"sequence")
        };
        if let Some(write) = writes.iter().find(stays) {
            return write.key.clone();
        }
        writes.push(Write::put(MARK, Expect::Any, ""));
        MARK.to_vec()
    }
}

impl Known {
    /// `name`: of the store that is open now. Asked before anything is written: a copy that is
    /// refused must not grow newer by it.
    pub(super) async fn check(&self, store: &dyn Store, name: Option<&[u8]>) -> Outcome<()> {
        if name != Some(self.name.as_bytes()) {
            let text = format!("it is not the store {} that was opened before", self.name);
            return Err(Trouble::new(Kind::Replaced, text));
        }
        // Nobody else takes that record away without having claimed the store; a later write
        // of our own, whose answer did not come, has put another of them.
        let mut newest = 0;
        for key in [&self.seen.key[..], b"owner", MARK] {
            let version = store.get(key).await?.map_or(0, |record| record.version);
            if version >= self.seen.version {
                return Ok(());
            }
            newest = newest.max(version);
        }
        let text = format!(
            "it is an older copy (version {newest}, {} was seen): restart the controller to go \
             on from there",
            self.seen.version
        );
        Err(Trouble::new(Kind::Replaced, text))
    }
}

#[cfg(all(test, feature = "store-sqlite"))]
mod tests {
    #![allow(clippy::unwrap_used)] // clippy knows only functions marked #[test] as tests
    use super::super::instance::Instance;
    use super::super::owner::Owner;
    use super::super::session::{Place, Session};
    use super::*;
    use crate::store::{Opening, Wait};
    use std::path::PathBuf;
    use std::rc::Rc;

    struct Host {
        dir: PathBuf,
        wait: Rc<Wait>,
    }

    impl Host {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("dtm-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).unwrap();
            Self {
                dir,
                wait: Rc::default(),
            }
        }

        fn open(&self, epoch: u64, known: Option<&Known>) -> Outcome<Session> {
            let uri = format!("sqlite:{}", self.dir.join("a.db").display());
            let opening = Opening {
                uri: &uri,
                timeout_ms: 1_000,
                create: known.is_none(),
                plugins: &[],
                wait: &self.wait,
            };
            let place = Place {
                service: "x",
                host: "a",
                lease_ms: 10_000,
            };
            let me = Owner::myself("run", epoch);
            let open = Box::pin(Session::open(&opening, &me, &place, known));
            self.wait.finish(open).map(|(session, _)| session)
        }

        fn keep(&self, session: &Session, id: u64) -> u64 {
            let keep = Session::keep(&Instance::new(id, "x", b"", 0, false), Expect::Any);
            self.wait
                .finish(Box::pin(session.write(vec![keep])))
                .unwrap()
        }

        fn erase(&self, session: &Session, id: u64, version: u64) {
            let instance = Instance::new(id, "x", b"", 0, false);
            let erase = Box::pin(session.erase(&instance, version));
            self.wait.finish(erase).unwrap();
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    /// However often it is tried.
    #[test]
    fn an_older_copy_is_never_taken() {
        let host = Host::new("copy");
        let session = host.open(1, None).unwrap();
        host.keep(&session, 1);
        drop(session); // which leaves no log beside the file
        let (file, copy) = (host.dir.join("a.db"), host.dir.join("copy"));
        std::fs::copy(&file, &copy).unwrap();
        let session = host.open(2, None).unwrap();
        host.keep(&session, 1);
        let known = session.known();
        drop(session);
        std::fs::rename(&copy, &file).unwrap();
        for epoch in 2..20 {
            let refused = host.open(epoch, Some(&known)).map(|_| ()).unwrap_err();
            assert_eq!(refused.kind, Kind::Replaced, "{refused}");
            assert!(refused.text.contains("older copy"), "{refused}");
        }
        // The next controller knows nothing of that.
        host.open(20, None).unwrap();
    }

    #[test]
    fn the_same_one_is_taken_whatever_was_written_last() {
        let host = Host::new("same");
        let mut session = host.open(1, None).unwrap();
        let again = |session: Session, epoch| {
            let known = session.known();
            drop(session);
            host.open(epoch, Some(&known)).unwrap()
        };
        session = again(session, 1);
        let version = host.keep(&session, 1);
        session = again(session, 1);
        // What it was known by is gone.
        host.erase(&session, 1, version);
        session = again(session, 1);
        // An answer that did not come, of such a write.
        let version = host.keep(&session, 2);
        let known = session.known();
        host.erase(&session, 2, version);
        drop(session);
        session = host.open(1, Some(&known)).unwrap();
        // Another controller has had it meanwhile, and taken that away.
        let version = host.keep(&session, 3);
        let known = session.known();
        drop(session);
        let other = host.open(2, None).unwrap();
        host.erase(&other, 3, version);
        drop(other);
        host.open(3, Some(&known)).unwrap();
    }
}
