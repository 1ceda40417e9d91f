//! JSON of etcd's gateway, and base64: any bytes are read or refused.

#[path = "../../../src/store/etcd/json.rs"]
mod reader;

use reader::{Json, decode, encode};

pub fn check(data: &[u8]) {
    let _ = Json::parse(data);
    assert_eq!(decode(&encode(data)).as_deref(), Some(data));
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = decode(text);
    }
}
