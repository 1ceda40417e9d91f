//! As much of HTTP/1.1 as a scraper and a health check need: GET and HEAD, no body,
//! connections that stay. Pure.

/// Longest request head: what scrapers send is below 1 KiB.
pub(super) const LONGEST: usize = 8 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    More,
    Request(Request),
    /// With this status, and then hung up.
    Bad(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    /// HEAD: everything but the body.
    pub(super) head_only: bool,
    pub(super) keep: bool,
    /// Bytes that it took.
    pub(super) len: usize,
}

/// The request that these bytes begin with.
pub(super) fn parse(bytes: &[u8]) -> Head {
    let Some(end) = bytes
        .windows(4)
        .take(LONGEST)
        .position(|w| w == b"\r\n\r\n")
    else {
        return if bytes.len() > LONGEST {
            Head::Bad("431 Request Header Fields Too Large")
        } else {
            Head::More
        };
    };
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        return Head::Bad("400 Bad Request");
    };
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or("").split(' ').collect();
    let [method, target, version] = words[..] else {
        return Head::Bad("400 Bad Request");
    };
    let mut keep = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Head::Bad("505 HTTP Version Not Supported"),
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Head::Bad("400 Bad Request");
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        match name.as_str() {
            "connection" if value == "close" => keep = false,
            "content-length" if value != "0" => return Head::Bad("413 Content Too Large"),
            "transfer-encoding" => return Head::Bad("413 Content Too Large"),
            _ => {}
        }
    }
    if !matches!(method, "GET" | "HEAD") {
        return Head::Bad("405 Method Not Allowed");
    }
    let path = target.split('?').next().unwrap_or("").to_owned();
    Head::Request(Request {
        path,
        head_only: method == "HEAD",
        keep,
        len: end + 4,
    })
}

/// A whole response.
pub(super) fn response(
    status: &str,
    kind: &str,
    body: &str,
    head_only: bool,
    keep: bool,
) -> Vec<u8> {
    let connection = if keep { "keep-alive" } else { "close" };
    let allow = if status.starts_with("405") {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n{allow}Connection: {connection}\r\n\r\n",
        body.len()
    );
    if head_only {
        head.into_bytes()
    } else {
        (head + body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bad(bytes: &str) -> &'static str {
        match parse(bytes.as_bytes()) {
            Head::Bad(status) => &status[..3],
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn requests() {
        let bytes = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nGET";
        let request = Request {
            path: "/metrics".into(),
            head_only: false,
            keep: true,
            len: bytes.len() - 3,
        };
        assert_eq!(parse(bytes), Head::Request(request));
        for (bytes, keep) in [
            ("HEAD / HTTP/1.0\r\n\r\n", false),
            ("HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n", false),
            ("HEAD / HTTP/1.1\r\nconnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert!(
                matches!(parse(bytes.as_bytes()), Head::Request(r) if r.head_only && r.keep == keep)
            );
        }
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost"), Head::More);
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(bad("POST / HTTP/1.1\r\n\r\n"), "405");
        assert_eq!(bad("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), "413");
        assert_eq!(
            bad("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "413"
        );
        assert_eq!(bad("GET / HTTP/2\r\n\r\n"), "505");
        assert_eq!(bad("GET /\r\n\r\n"), "400");
        assert_eq!(bad("GET / HTTP/1.1\r\nno colon\r\n\r\n"), "400");
        assert_eq!(bad(&"x".repeat(LONGEST + 4)), "431");
    }

    #[test]
    fn a_response() {
        let text =
            String::from_utf8(response("200 OK", "text/plain", "ok\n", false, true)).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok\n"),
            "{text}"
        );
        assert!(text.contains("Content-Length: 3\r\n") && text.contains("keep-alive"));
        let head =
            String::from_utf8(response("405 No", "text/plain", "ok\n", true, false)).unwrap();
        assert!(
            head.ends_with("\r\n\r\n") && head.contains("Allow: GET, HEAD"),
            "{head}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }
    }
}
