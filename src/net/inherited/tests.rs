//! Sockets that are open already, as systemd or a predecessor passes them.

use super::*;
use crate::net::{ListenSpec, Listener, Use};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

fn spec(address: &str) -> ListenSpec {
    ListenSpec {
        address: address.into(),
        tag: 0,
        backlog: 0,
        mode: 0,
        used: Use::Service,
    }
}

fn lent(fd: impl Into<OwnedFd>, name: &str) -> Inherited {
    use std::os::fd::IntoRawFd;
    let fd: OwnedFd = fd.into();
    Inherited(RefCell::new(vec![Socket {
        fd: Fd::Lent(fd.into_raw_fd()),
        name: name.into(),
        from: From::Systemd {
            stored: name.starts_with(STORED),
        },
        doors: Vec::new(),
    }]))
}

#[test]
fn found_by_address_and_taken_once() {
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
        let Ok(socket) = TcpListener::bind(format!("{host}:0")) else {
            continue;
        };
        let port = socket.local_addr().unwrap().port();
        let any = host == "[::]" || host == "0.0.0.0";
        let address = format!("{}:{port}", if any { "*" } else { host });
        let inherited = lent(socket, "x");
        let listener = Listener::bind(&spec(&address), &inherited).unwrap();
        assert_eq!(listener.port(), port);
        assert!(inherited.0.borrow().is_empty());
        let to = if host.contains(':') {
            "::1"
        } else {
            "127.0.0.1"
        };
        let _client = TcpStream::connect((to, port)).unwrap();
        assert!(matches!(crate::net::accept(listener.fd()), Ok(Some(_))));
    }
}

#[test]
fn its_file_is_systemds() {
    let path = std::env::temp_dir().join(format!("dtm-passed-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let inherited = lent(UnixListener::bind(&path).unwrap(), "x");
    let address = format!("unix:{}", path.display());
    drop(Listener::bind(&spec(&address), &inherited).unwrap());
    assert!(path.exists());
    std::fs::remove_file(path).unwrap();
}

/// What an earlier process has stored is ours, with its file; without it, it is of no use.
#[test]
fn stored_ones_are_ours() {
    let path = std::env::temp_dir().join(format!("dtm-stored-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let address = format!("unix:{}", path.display());
    let name = fd_name(&address);
    let inherited = lent(UnixListener::bind(&path).unwrap(), &name);
    let mut listener = Listener::bind(&spec(&address), &inherited).unwrap();
    listener.own_file(true);
    drop(listener);
    assert!(!path.exists());
    let inherited = lent(UnixListener::bind(&path).unwrap(), &name);
    std::fs::remove_file(&path).unwrap();
    drop(Listener::bind(&spec(&address), &inherited).unwrap());
    assert_eq!(inherited.0.borrow().len(), 1);
}

#[test]
fn found_by_name() {
    let inherited = lent(TcpListener::bind("127.0.0.1:0").unwrap(), "web");
    let error = Listener::bind(&spec("systemd:ftp"), &inherited)
        .err()
        .unwrap();
    assert!(error.text.contains("there are: web"), "{error}");
    assert_eq!(error.code, -libc::ENOENT);
    Listener::bind(&spec("systemd:web"), &inherited).unwrap();
    let error = Listener::bind(&spec("systemd:web"), &inherited)
        .err()
        .unwrap();
    assert!(error.text.contains("passed none"), "{error}");
}

#[test]
fn what_is_no_listener_is_refused() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let inherited = lent(socket, "dns");
    for _ in 0..2 {
        let error = Listener::bind(&spec("systemd:dns"), &inherited)
            .err()
            .unwrap();
        assert!(error.text.contains("no listening"), "{error}");
    }
}

/// A reload that fails after it has claimed a socket of systemd's does not lose it.
#[test]
fn what_is_not_to_be_after_all_can_be_claimed_again() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let inherited = lent(socket, "web");
    for _ in 0..2 {
        let listener = Listener::prepare(&spec("systemd:web"), &inherited).unwrap();
        assert_eq!(listener.port(), port);
        listener.undo(&inherited);
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}

/// Port 0 of the predecessor is its port again; control and service are two things.
#[test]
fn found_by_the_words_of_the_predecessor() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let inherited = Inherited::default();
    let from = From::Predecessor {
        file: false,
        used: Use::Control,
    };
    inherited.add(socket.into(), "127.0.0.1:0", from);
    assert_ne!(
        Listener::bind(&spec("127.0.0.1:0"), &inherited)
            .unwrap()
            .port(),
        port
    );
    let control = ListenSpec {
        used: Use::Control,
        ..spec("127.0.0.1:0")
    };
    assert_eq!(Listener::bind(&control, &inherited).unwrap().port(), port);
}
