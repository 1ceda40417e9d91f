//! Requests of scrapers: more bytes change nothing of a request that was whole, or wrong.

#[path = "../../../src/console/http.rs"]
mod parser;

use parser::{Head, parse};

pub fn check(data: &[u8]) {
    let whole = parse(data);
    if let Head::Request(request) = &whole {
        assert!(request.len <= data.len());
    }
    let first = (0..=data.len())
        .map(|len| parse(&data[..len]))
        .find(|head| *head != Head::More);
    match first {
        Some(first) => assert_eq!(first, whole),
        None => assert_eq!(whole, Head::More),
    }
}
