//! Listen addresses as people write them. Pure.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `127.0.0.1:80`, `[::1]:80`
    Inet(SocketAddr),
    /// `*:80`: all of IPv4 and IPv6
    Any(u16),
    /// `unix:/path`
    Path(String),
    /// `unix:@name`: Linux's names without a file
    Abstract(String),
    /// `systemd:name`: the socket that systemd passes under this name
    Systemd(String),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Err(Error::invalid(format!("listen {text}: {why}")));
        if text.contains('\0') {
            return wrong("a NUL byte");
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return match name {
                "" => wrong("the name after systemd: is missing"),
                name if name.contains(':') => wrong("a name has no colon"),
                name => Ok(Address::Systemd(name.into())),
            };
        }
        if let Some(name) = text.strip_prefix("unix:") {
            return match name.strip_prefix('@') {
                Some("") => wrong("the name after unix:@ is missing"),
                Some(name) if name.len() > 107 => wrong("the name is longer than 107 bytes"),
                Some(name) => Ok(Address::Abstract(name.into())),
                None if !name.starts_with('/') => wrong("unix: needs an absolute path or @name"),
                None if name.ends_with('/') => wrong("this is a folder, not a socket file"),
                None => Ok(Address::Path(name.into())),
            };
        }
        if let Some(port) = text.strip_prefix("*:") {
            return number(port).map_or_else(
                || wrong("the port must be 0..65535"),
                |p| Ok(Address::Any(p)),
            );
        }
        if let Ok(address) = text.parse() {
            return Ok(Address::Inet(address));
        }
        wrong(match text.rsplit_once(':') {
            None => "the port is missing: write ADDRESS:PORT or unix:/path",
            Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
                "an IPv6 address is written in brackets: [::1]:PORT"
            }
            Some((_, port)) if number(port).is_none() => "the port must be 0..65535",
            Some(("", _)) => "the address is missing: * stands for all of them",
            Some(_) => "not an IP address (names are not looked up): write 127.0.0.1, [::1] or *",
        })
    }

    /// The same place where there is no IPv6.
    pub(super) fn without_ipv6(port: u16) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
    }
}

/// A port, without the sign that `u16::from_str` would take.
fn number(text: &str) -> Option<u16> {
    text.bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Any(port) => write!(f, "*:{port}"),
            Address::Path(path) => write!(f, "unix:{path}"),
            Address::Abstract(name) => write!(f, "unix:@{name}"),
            Address::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::DTM_EINVAL;
    use proptest::prelude::*;

    #[test]
    fn good_ones_come_back() {
        for text in [
            "127.0.0.1:80",
            "[::1]:0",
            "0.0.0.0:65535",
            "*:7000",
            "unix:/a b",
            "unix:@x:y",
            "systemd:web",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_ones_say_why() {
        let cases = [
            ("localhost:80", "names are not looked up"),
            ("127.0.0.1", "port is missing"),
            ("", "port is missing"),
            ("::1:80", "brackets"),
            ("*:+80", "0..65535"),
            ("*:65536", "0..65535"),
            ("1.2.3.4:x", "0..65535"),
            (":80", "* stands for all"),
            ("unix:rel", "absolute"),
            ("unix:", "absolute"),
            ("unix:/run/", "folder"),
            ("unix:@", "missing"),
            ("systemd:", "missing"),
            ("systemd:a:b", "no colon"),
            ("unix:/a\0b", "NUL"),
        ];
        for (text, why) in cases {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.code, DTM_EINVAL);
            assert!(
                error.text.starts_with("listen ") && error.text.contains(why),
                "{}",
                error.text
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
