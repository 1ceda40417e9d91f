//! TLS to etcd: `etcds://...?ca=FILE[&cert=FILE&key=FILE][&name=NAME]`, files in PEM. The
//! server must show a certificate of an authority in `ca` for the host of the URI, or for
//! `name`. Whoever has `cert` and `key` shows that, too.

use super::stream::Stream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

/// What the URI says of it.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    ca: String,
    name: Option<String>,
}

pub(super) struct TlsStream {
    raw: Stream,
    session: ClientConnection,
    /// How an error names the authorities.
    ca: String,
}

fn certificates(path: &str) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error| format!("{path}: {error}"))?;
    match found.is_empty() {
        true => Err(format!("{path}: no certificate in PEM is in it")),
        false => Ok(found),
    }
}

impl Tls {
    /// `query`: what stands behind the URI's `?`.
    pub(super) fn new(query: &str) -> std::result::Result<Self, String> {
        let (mut ca, mut cert, mut key, mut name) = (None, None, None, None);
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (what, value) = setting.split_once('=').unwrap_or((setting, ""));
            match what {
                "ca" => ca = Some(value),
                "cert" => cert = Some(value),
                "key" => key = Some(value),
                "name" => name = Some(value.to_owned()),
                _ => return Err(format!("'{what}': ca, cert, key or name")),
            }
        }
        let ca = ca.ok_or("ca=FILE is missing: the authorities that may sign for the server")?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("{ca}: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match (cert, key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let secret = PrivateKeyDer::from_pem_file(key);
                let secret = secret.map_err(|error| format!("{key}: {error}"))?;
                let config = builder.with_client_auth_cert(certificates(cert)?, secret);
                config.map_err(|error| format!("{cert}, {key}: {error}"))?
            }
            _ => return Err("cert and key belong together: one is missing".into()),
        };
        Ok(Self {
            config: Arc::new(config),
            ca: ca.to_owned(),
            name,
        })
    }

    /// `server`: HOST:PORT, as the URI has it.
    pub(super) async fn greet(&self, raw: Stream, server: &str) -> Result<TlsStream> {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.name.as_deref().unwrap_or(host).to_owned();
        let wrong = |error: &dyn std::fmt::Display| Error::other(format!("TLS: {name}: {error}"));
        let server_name = ServerName::try_from(name.clone()).map_err(|error| wrong(&error))?;
        let session = ClientConnection::new(Arc::clone(&self.config), server_name);
        let mut stream = TlsStream {
            raw,
            session: session.map_err(|error| wrong(&error))?,
            ca: self.ca.clone(),
        };
        while stream.session.is_handshaking() {
            stream.flush().await?;
            if stream.session.is_handshaking() {
                stream.feed(&name).await?;
            }
        }
        stream.flush().await?;
        Ok(stream)
    }
}

impl TlsStream {
    pub(super) fn until(self, until: u64) -> Self {
        Self {
            raw: self.raw.until(until),
            ..self
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.raw.is_idle()
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.session.writer().write(rest)?;
            rest = &rest[taken..];
            self.flush().await?;
        }
        Ok(())
    }

    /// Some more; 0: that was all.
    pub(super) async fn receive(&mut self, into: &mut Vec<u8>) -> Result<usize> {
        let mut part = [0; 16 * 1024];
        loop {
            match self.session.reader().read(&mut part) {
                Ok(n) => {
                    into.extend_from_slice(&part[..n]);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.feed("").await?,
                Err(error) => return Err(error),
            }
            self.flush().await?;
        }
    }

    /// What it has to say, on the way.
    async fn flush(&mut self) -> Result<()> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut out)?;
        }
        self.raw.send(&out).await
    }

    /// What the server has said.
    async fn feed(&mut self, name: &str) -> Result<()> {
        let mut input = Vec::new();
        if self.raw.receive(&mut input).await? == 0 {
            // The end without a farewell, which counts as one: the length of an answer is
            // known from its head.
            self.session.read_tls(&mut std::io::empty())?;
            if self.session.is_handshaking() {
                return Err(Error::other("TLS: the server hung up: does it speak TLS?"));
            }
        }
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            self.session.read_tls(&mut rest)?;
            let processed = self.session.process_new_packets();
            processed.map_err(|error| Error::other(explain(&error, name, &self.ca)))?;
        }
        Ok(())
    }
}

/// In words that an operator can act on.
fn explain(error: &rustls::Error, name: &str, ca: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("TLS: no authority in {ca} has signed the server's certificate")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("TLS: the server's certificate is not for {name}: {error}"),
        other => format!("TLS: {other}"),
    }
}
