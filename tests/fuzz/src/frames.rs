//! What processes say to each other over their channels. What is taken for a frame is one:
//! written again, it is the same bytes.

#[path = "../../../src/channel/clients.rs"]
mod clients;
#[path = "../../../src/channel/frame.rs"]
mod frame;
#[path = "../../../src/channel/life.rs"]
mod life;

use clients::Clients;
use frame::{Frame, HEAD};
use life::Life;

pub fn check(data: &[u8]) {
    if let Ok(frame) = Frame::decode(data) {
        let mut head = frame.encode_head().expect("it was short enough to be read");
        head[20..24].copy_from_slice(&data[20..24]); // reserved: whatever it says
        assert_eq!((&head[..], frame.payload), data.split_at(HEAD));
    }
    if let Some(clients) = Clients::decode(data) {
        let written = clients.encode();
        assert_eq!(Clients::decode(&written).expect("ours").encode(), written);
    }
    if let Some((life, text)) = Life::decode(data) {
        let written = life.encode(&text);
        assert_eq!(Life::decode(&written).expect("ours").0, life);
    }
}
