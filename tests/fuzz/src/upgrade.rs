//! What two binaries say to each other in an upgrade: what is understood is written again
//! as the same message.

#[path = "../../../src/upgrade/draining.rs"]
mod draining;
#[path = "../../../src/upgrade/wire.rs"]
mod wire;

use wire::Message;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(message) = Message::decode(&text) {
        assert_eq!(Message::decode(&message.encode()), Some(message));
    }
}
