//! A connection, plain or over TLS.

use super::stream::Stream;
#[cfg(feature = "store-etcd-tls")]
use super::tls::{Tls, TlsStream};
use std::io::Result;

/// How connections are made.
pub(super) enum Security {
    Plain,
    #[cfg(feature = "store-etcd-tls")]
    Tls(Tls),
}

pub(super) enum Connection {
    Plain(Stream),
    #[cfg(feature = "store-etcd-tls")]
    Tls(Box<TlsStream>),
}

impl Security {
    /// `query`: what stands behind the URI's `?`.
    #[cfg(feature = "store-etcd-tls")]
    pub(super) fn tls(query: &str) -> std::result::Result<Self, String> {
        Tls::new(query).map(Self::Tls)
    }

    #[cfg(not(feature = "store-etcd-tls"))]
    pub(super) fn tls(_query: &str) -> std::result::Result<Self, String> {
        Err("this libdtm has no TLS: build it with the feature store-etcd-tls".into())
    }

    pub(super) async fn greet(&self, stream: Stream, _server: &str) -> Result<Connection> {
        match self {
            Self::Plain => Ok(Connection::Plain(stream)),
            #[cfg(feature = "store-etcd-tls")]
            Self::Tls(tls) => {
                let stream = tls.greet(stream, _server).await?;
                Ok(Connection::Tls(Box::new(stream)))
            }
        }
    }
}

impl Connection {
    /// For another request, until then.
    pub(super) fn until(self, until: u64) -> Self {
        match self {
            Self::Plain(stream) => Self::Plain(stream.until(until)),
            #[cfg(feature = "store-etcd-tls")]
            Self::Tls(stream) => Self::Tls(Box::new(stream.until(until))),
        }
    }

    /// Nothing has come since the last answer, not even the end: it can be used again.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_idle(),
            #[cfg(feature = "store-etcd-tls")]
            Self::Tls(stream) => stream.is_idle(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain(stream) => stream.send(bytes).await,
            #[cfg(feature = "store-etcd-tls")]
            Self::Tls(stream) => stream.send(bytes).await,
        }
    }

    /// Some more; 0: that was all.
    pub(super) async fn receive(&mut self, into: &mut Vec<u8>) -> Result<usize> {
        match self {
            Self::Plain(stream) => stream.receive(into).await,
            #[cfg(feature = "store-etcd-tls")]
            Self::Tls(stream) => stream.receive(into).await,
        }
    }
}
