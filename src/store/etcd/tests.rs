//! TLS, with a real etcd and authorities of our own. Needs etcd and openssl, the programs.

#![allow(clippy::disallowed_methods)] // the library starts no programs, but this does
#![allow(clippy::unwrap_used)] // clippy knows only functions marked #[test] as tests

use crate::store::{Expect, Kind, Opening, Outcome, Store, Wait, Write, open};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

struct Etcd {
    dir: PathBuf,
    port: u16,
    process: Option<Child>,
    wait: Rc<Wait>,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Etcd {
    /// With two authorities; the first has signed for it and for a client.
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("dtm-tls-{}", free_port()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut etcd = Self {
            dir,
            port: free_port(),
            process: None,
            wait: Rc::default(),
        };
        for authority in ["ca", "stranger"] {
            etcd.certificate(authority, &["-addext", "keyUsage=keyCertSign"]);
        }
        let (ca, ca_key) = (etcd.file("ca.pem"), etcd.file("ca.key"));
        let signed = ["-CA", &ca, "-CAkey", &ca_key];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:store.example"];
        etcd.certificate("server", &[&signed[..], &leaf, &names].concat());
        etcd.certificate("client", &[&signed[..], &leaf].concat());
        let (url, peer) = (
            format!("https://127.0.0.1:{}", etcd.port),
            format!("http://127.0.0.1:{}", free_port()),
        );
        let child = Command::new("etcd")
            .args(["--data-dir", &etcd.file("data"), "--name", "a"])
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("a={peer}")])
            .args(["--cert-file", &etcd.file("server.pem")])
            .args(["--key-file", &etcd.file("server.key")])
            .args(["--client-cert-auth", "--trusted-ca-file", &ca])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        etcd.process = Some(child.unwrap());
        etcd
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn certificate(&self, name: &str, more: &[&str]) {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
            .args(["-keyout", &self.file(&format!("{name}.key"))])
            .args(["-out", &self.file(&format!("{name}.pem"))])
            .args(more)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn uri(&self, ca: &str, client: &str, more: &str) -> String {
        let files = format!(
            "cert={}&key={}",
            self.file("client.pem"),
            self.file("client.key")
        );
        let client = if client.is_empty() { "" } else { &files };
        let (port, ca) = (self.port, self.file(ca));
        format!("etcds://127.0.0.1:{port}/tls?ca={ca}&{client}{more}")
    }

    fn open(&self, uri: &str) -> Outcome<Rc<dyn Store>> {
        let opening = Opening {
            uri,
            timeout_ms: 30_000,
            create: true,
            plugins: &[],
            wait: &self.wait,
        };
        self.wait.finish(Box::pin(open(&opening)))
    }

    /// Why it is not opened.
    fn refusal(&self, uri: &str) -> (Kind, String) {
        let trouble = self.open(uri).map(|_| ()).unwrap_err();
        (trouble.kind, trouble.text)
    }

    /// It takes a moment until it listens.
    fn surely_open(&self, uri: &str) -> Rc<dyn Store> {
        for _ in 0..600 {
            if let Ok(store) = self.open(uri) {
                return store;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.open(uri).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `fleet_lease` was changed, and the controller that had the lease is gone.
#[test]
fn a_lease_is_as_long_as_it_is_asked_for_now() {
    let etcd = Etcd::start();
    let uri = etcd.uri("ca.pem", "client", "");
    etcd.surely_open(&uri);
    let lease = |seconds: u32| {
        let store = etcd.open(&uri).unwrap();
        for _ in 0..2 {
            let lease = store.lease(b"/lease/a", b"me", seconds * 1_000);
            etcd.wait.finish(lease).unwrap();
        }
        let record = etcd.wait.finish(store.get(b"/lease/a")).unwrap().unwrap();
        let text = String::from_utf8(record.value).unwrap();
        let (id, owner) = text.split_once(' ').unwrap();
        assert_eq!(owner, "me");
        id.to_owned()
    };
    let short = lease(60);
    assert_eq!(lease(60), short);
    let long = lease(600);
    assert_ne!(long, short);
    assert_eq!(lease(600), long);
    let store = etcd.open(&uri).unwrap();
    let other = store.lease(b"/lease/a", b"other", 600_000);
    assert_eq!(etcd.wait.finish(other).unwrap_err().kind, Kind::Taken);
}

#[test]
fn it_talks_to_whom_it_knows_only() {
    let etcd = Etcd::start();
    let store = etcd.surely_open(&etcd.uri("ca.pem", "client", ""));
    // More than one record of TLS, both ways.
    for n in 0..20u32 {
        let write = Write::put(format!("k{n:02}"), Expect::Absent, vec![7u8; 16 << 10]);
        etcd.wait.finish(store.write(&[write])).unwrap();
    }
    let found = etcd.wait.finish(store.list(b"k", b"", 100)).unwrap();
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|r| r.value.len() == 16 << 10));
    etcd.open(&etcd.uri("ca.pem", "client", "&name=store.example"))
        .unwrap();

    let (kind, text) = etcd.refusal(&etcd.uri("stranger.pem", "client", ""));
    assert_eq!(kind, Kind::Down);
    assert!(text.contains("stranger.pem has signed"), "{text}");
    let (_, text) = etcd.refusal(&etcd.uri("ca.pem", "client", "&name=other.example"));
    assert!(text.contains("is not for other.example"), "{text}");
    let (_, text) = etcd.refusal(&etcd.uri("ca.pem", "", ""));
    assert!(
        text.contains("TLS"),
        "without a certificate of its own: {text}"
    );

    let (kind, text) = etcd.refusal(&etcd.uri("missing.pem", "client", ""));
    assert!(
        kind == Kind::Schema && text.contains("missing.pem"),
        "{text}"
    );
    let (kind, text) = etcd.refusal(&format!("etcds://127.0.0.1:{}", etcd.port));
    assert!(
        kind == Kind::Schema && text.contains("ca=FILE is missing"),
        "{text}"
    );
    let (_, text) = etcd.refusal(&format!("etcd://127.0.0.1:{}/tls", etcd.port));
    assert!(
        text.contains("hung up") || text.contains("is it etcd?"),
        "plain text to a TLS server: {text}"
    );
}
