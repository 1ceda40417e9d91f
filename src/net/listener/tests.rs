//! Listeners at addresses of each kind, and how binding them fails.

use super::*;
use crate::ffi::DTM_EINVAL;
use crate::net::{Peer, accept};
use std::net::TcpStream;

fn spec(address: &str) -> ListenSpec {
    ListenSpec {
        address: address.into(),
        tag: 7,
        backlog: 0,
        mode: 0,
        used: Use::Service,
    }
}

fn bind(spec: &ListenSpec) -> Result<Listener> {
    Listener::bind(spec, &Inherited::default())
}

#[test]
fn tcp_on_a_free_port() {
    let listener = bind(&spec("127.0.0.1:0")).unwrap();
    assert_ne!(listener.port(), 0);
    assert_eq!(
        (listener.tag, listener.address().to_string().as_str()),
        (7, "127.0.0.1:0")
    );
    let _client = TcpStream::connect(("127.0.0.1", listener.port())).unwrap();
    assert!(matches!(accept(listener.fd()), Ok(Some((_, Peer::V4(..))))));
}

#[test]
fn both_families() {
    let listener = bind(&spec("*:0")).unwrap();
    let _v4 = TcpStream::connect(("127.0.0.1", listener.port())).unwrap();
    let (_, peer) = accept(listener.fd()).unwrap().unwrap();
    assert!(peer.to_string().starts_with("127.0.0.1:"), "{peer}");
    if let Ok(only_v6) = bind(&spec("[::1]:0")) {
        let _v6 = TcpStream::connect(("::1", only_v6.port())).unwrap();
        let (_, peer) = accept(only_v6.fd()).unwrap().unwrap();
        assert!(peer.to_string().starts_with("[::1]:"), "{peer}");
    }
}

#[test]
fn failures_name_the_address() {
    let first = bind(&spec("127.0.0.1:0")).unwrap();
    let taken = format!("127.0.0.1:{}", first.port());
    let error = bind(&spec(&taken)).err().unwrap();
    assert_eq!(error.code, -libc::EADDRINUSE);
    assert_eq!(
        error.text,
        format!("listen {taken}: Address already in use")
    );
    let foreign = bind(&spec("192.0.2.1:0")).err().unwrap();
    assert_eq!(foreign.code, -libc::EADDRNOTAVAIL);
    let mode = ListenSpec {
        mode: 0o1777,
        ..spec("unix:/tmp/x")
    };
    assert_eq!(bind(&mode).err().unwrap().code, DTM_EINVAL);
}

#[test]
fn a_restart_does_not_wait() {
    let first = bind(&spec("127.0.0.1:0")).unwrap();
    let address = format!("127.0.0.1:{}", first.port());
    let client = TcpStream::connect(&address).unwrap();
    let (server, _) = accept(first.fd()).unwrap().unwrap();
    drop((server, first)); // the server's side closes first: TIME_WAIT is ours
    drop(client);
    bind(&spec(&address)).unwrap();
}
