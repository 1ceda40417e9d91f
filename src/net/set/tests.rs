//! Changes of the listeners, made and reverted.

use super::*;
use crate::net::{Inherited, Use};

fn spec(address: &str, tag: u64) -> ListenSpec {
    ListenSpec {
        address: address.into(),
        tag,
        backlog: 0,
        mode: 0,
        used: Use::Service,
    }
}

fn listener(address: &str, tag: u64) -> Listener {
    Listener::prepare(&spec(address, tag), &Inherited::default()).unwrap()
}

fn numbers<'a>(of: impl Iterator<Item = (usize, &'a Listener)>) -> Vec<usize> {
    of.map(|(number, _)| number).collect()
}

/// Two that serve, one that comes; the first goes, the second has another tag.
fn changed() -> Listeners {
    let mut set = Listeners::default();
    for (number, tag, coming) in [(0, 10, false), (1, 11, false), (2, 12, true)] {
        let name = format!("unix:@libdtm-set-{}-{number}", std::process::id());
        let name = format!("{name}-{:?}", std::thread::current().id());
        let mut listener = listener(&name, tag);
        if !coming {
            listener.show().unwrap();
        }
        set.add(number, listener, coming);
    }
    assert!(set.remove(0).unwrap().is_none());
    let address = set.get(1).unwrap().address().clone();
    let again = spec(&address.to_string(), 21);
    assert_eq!(set.keep(&address, &again), Some(1));
    set
}

#[test]
fn a_change_that_is_reverted_leaves_no_trace() {
    let mut set = changed();
    assert_eq!(numbers(set.serving()), [0, 1]);
    assert_eq!(numbers(set.wanted()), [1, 2]);
    assert_eq!(set.tag(1), 21);
    assert_eq!(set.revert(), [2]);
    drop(set.drop_number(2, 7));
    assert_eq!(numbers(set.wanted()), [0, 1]);
    assert_eq!(set.tag(1), 11);
}

#[test]
fn a_change_that_is_in_force() {
    let mut set = changed();
    assert_eq!(set.begin_closing(), [0]);
    let begun = set.begin_new();
    assert_eq!((begun.shown, begun.changed), (vec![2], vec![]));
    assert_eq!(begun.errors.len(), 0);
    assert_eq!(numbers(set.serving()), [1, 2]);
    assert_eq!((set.tag(0), set.tag(1)), (10, 21));
    let closing = set.get(0).unwrap().address().clone();
    assert!(set.closes(&closing));
    assert_eq!(set.keep(&closing, &spec("x", 0)), None);
    assert!(set.remove(0).is_err());
    assert_eq!(set.revert(), Vec::<usize>::new(), "too late");
    assert_eq!(set.tag(1), 21);
}

#[test]
fn what_was_removed_may_be_wanted_after_all() {
    let mut set = changed();
    let address = set.get(0).unwrap().address().clone();
    assert_eq!(set.keep(&address, &spec("x", 10)), Some(0));
    assert_eq!(set.begin_closing(), Vec::<usize>::new());
    assert!(set.remove(2).unwrap().is_some(), "it was not there yet");
}

#[test]
fn a_number_is_used_again_when_nobody_knows_it() {
    let mut set = changed();
    set.begin_closing();
    assert_eq!(set.free_number(1).unwrap(), 3);
    drop(set.drop_number(0, 40));
    assert_eq!(set.free_number(40).unwrap(), 3);
    assert_eq!(set.free_number(41).unwrap(), 0);
    assert_eq!(set.known_to, [40]);
}

#[test]
fn a_child_has_what_is_its_business() {
    let mut set = changed();
    assert_eq!(set.forget_going(false), Vec::<usize>::new());
    assert_eq!(set.forget_going(true), [0]);
    assert!(set.get(0).is_none());
    assert_eq!(set.tag(0), 10);
}

/// A folder for sockets, and what is listened on in it.
struct Folder(std::path::PathBuf, ListenSpec);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dtm-set-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let spec = spec(&format!("unix:{}", path.join("s").display()), 7);
        Self(path, spec)
    }

    fn address(&self) -> Address {
        Address::parse(&self.1.address).unwrap()
    }

    fn prepare(&self) -> Listener {
        Listener::prepare(&self.1, &Inherited::default()).unwrap()
    }

    fn connects(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.0.join("s")).is_ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_cannot_be_shown_does_not_serve_and_is_tried_again() {
    let folder = Folder::new("again");
    let mut set = Listeners::default();
    set.add(0, folder.prepare(), true);
    let away = folder.0.with_extension("away");
    std::fs::rename(&folder.0, &away).unwrap();
    let begun = set.begin_new();
    assert_eq!((begun.shown.len(), begun.errors.len()), (0, 1));
    assert!(begun.errors[0].text.starts_with("listen unix:"));
    std::fs::rename(&away, &folder.0).unwrap();
    assert_eq!(set.keep(&folder.address(), &folder.1), Some(0));
    let begun = set.begin_new();
    assert_eq!((begun.shown, begun.errors.len()), (vec![0], 0));
    assert!(folder.connects());
    assert_eq!(set.begin_new().shown.len(), 0, "once");
}

#[test]
fn what_lost_its_file_before_it_was_shown_is_replaced() {
    let folder = Folder::new("lost");
    let mut set = Listeners::default();
    set.add(0, folder.prepare(), true);
    std::fs::remove_dir_all(&folder.0).unwrap();
    assert_eq!(set.begin_new().errors.len(), 1);
    std::fs::create_dir(&folder.0).unwrap();
    let address = folder.address();
    for reverted in [true, false] {
        set.replace_lost(&address);
        assert_eq!(set.keep(&address, &folder.1), None);
        set.add(1, folder.prepare(), true);
        assert_eq!(set.keep(&address, &folder.1), Some(1));
        if reverted {
            assert_eq!(set.revert(), [1]);
            drop(set.drop_number(1, 7));
            assert_eq!(numbers(set.serving()), [0]);
        }
    }
    assert_eq!(set.begin_closing(), [0]);
    assert_eq!(set.begin_new().shown, [1]);
    assert!(folder.connects());
    set.replace_lost(&address);
    assert_eq!(
        set.keep(&address, &folder.1),
        Some(1),
        "that one is not lost"
    );
}

/// What the host has bound is asked for again before the first fork, with other words.
#[test]
fn before_the_first_fork_a_change_is_in_force_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("start");
    let mut set = Listeners::default();
    set.add(
        0,
        Listener::bind(&folder.1, &Inherited::default()).unwrap(),
        false,
    );
    let again = ListenSpec {
        tag: 9,
        backlog: 33,
        mode: 0o600,
        ..folder.1.clone()
    };
    assert_eq!(set.keep(&folder.address(), &again), Some(0));
    set.settle(0).unwrap();
    let mode = std::fs::metadata(folder.0.join("s")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(set.get(0).unwrap().backlog, 33);
    assert_eq!(set.revert(), Vec::<usize>::new());
    assert_eq!(set.tag(0), 9, "no later load takes it back");
}
