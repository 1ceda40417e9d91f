//! What a worker tells of its clients, on its way to the controller. Pure.

/// One worker's clients, as it sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Clients {
    pub(crate) open: u32,
    pub(crate) busy: u32,
    /// Other fds that its loop watches.
    pub(crate) watches: u32,
    pub(crate) draining: bool,
    /// Of a drain, in ms; MAX: it has no limit, or there is no drain.
    pub(crate) left_ms: u64,
    /// The busy ones first, the oldest of each kind first; not more than [`MOST`].
    pub(crate) list: Vec<ClientFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientFacts {
    pub(crate) id: u64,
    pub(crate) age_s: u32,
    /// Since the last event.
    pub(crate) quiet_ms: u64,
    pub(crate) busy: bool,
    /// DTM_READ, DTM_WRITE, DTM_HUP.
    pub(crate) interest: u32,
    pub(crate) listener: i32,
    pub(crate) peer: String,
    /// What the service says it is doing, see dtm_client_set_state().
    pub(crate) state: String,
}

/// Told of at most: a page full for people, and with the longest texts below the
/// longest message.
pub(crate) const MOST: usize = 200;
/// Longest peer and state, in bytes.
pub(crate) const TEXT: usize = 100;

const _: () = assert!(MOST * (2 * TEXT + 40) + 32 < crate::ffi::DTM_MESSAGE_MAX);

impl Clients {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.open, self.busy, self.watches, self.draining.into()] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(self.left_ms.to_ne_bytes());
        for client in self.list.iter().take(MOST) {
            out.extend(client.id.to_ne_bytes());
            out.extend(client.quiet_ms.to_ne_bytes());
            for word in [
                client.age_s,
                client.busy.into(),
                client.interest,
                client.listener.cast_unsigned(),
            ] {
                out.extend(word.to_ne_bytes());
            }
            text(&mut out, &client.peer);
            text(&mut out, &client.state);
        }
        out
    }

    /// None: these bytes are none of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let mut clients = Self {
            open: rest.word()?,
            busy: rest.word()?,
            watches: rest.word()?,
            draining: rest.word()? != 0,
            left_ms: rest.long()?,
            list: Vec::new(),
        };
        while !rest.0.is_empty() && clients.list.len() < MOST {
            clients.list.push(ClientFacts {
                id: rest.long()?,
                quiet_ms: rest.long()?,
                age_s: rest.word()?,
                busy: rest.word()? != 0,
                interest: rest.word()?,
                listener: rest.word()?.cast_signed(),
                peer: rest.text()?,
                state: rest.text()?,
            });
        }
        Some(clients)
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let text = crate::text::cut(text, TEXT);
    out.push(u8::try_from(text.len()).unwrap_or(0));
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let [len] = self.take::<1>()?;
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_client() -> impl Strategy<Value = ClientFacts> {
        let numbers = any::<(u64, u32, u64, bool, u32, i32)>();
        (numbers, "[a-z]{0,100}", "[ -~]{0,100}").prop_map(|(n, peer, state)| ClientFacts {
            id: n.0,
            age_s: n.1,
            quiet_ms: n.2,
            busy: n.3,
            interest: n.4,
            listener: n.5,
            peer,
            state,
        })
    }

    /// Found by fuzzing.
    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let client = ClientFacts {
            state: format!("x{}", "é".repeat(TEXT)),
            ..ClientFacts::default()
        };
        let list = vec![client];
        let clients = Clients {
            list,
            ..Clients::default()
        };
        let read = Clients::decode(&clients.encode()).unwrap();
        assert_eq!(read.list[0].state, format!("x{}", "é".repeat(49)));
    }

    proptest! {
        #[test]
        fn they_survive_encoding(list in proptest::collection::vec(any_client(), 0..5), n: (u32, u32, u32, bool, u64)) {
            let (open, busy, watches, draining, left_ms) = n;
            let clients = Clients { open, busy, watches, draining, left_ms, list };
            prop_assert_eq!(Clients::decode(&clients.encode()), Some(clients));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = Clients::decode(&bytes);
        }
    }

    #[test]
    fn the_most_fit_into_a_message() {
        let client = ClientFacts {
            peer: "x".repeat(TEXT + 9),
            state: "y".repeat(TEXT),
            ..ClientFacts::default()
        };
        let clients = Clients {
            list: vec![client; MOST + 1],
            ..Clients::default()
        };
        let bytes = clients.encode();
        assert!(bytes.len() <= crate::ffi::DTM_MESSAGE_MAX);
        let back = Clients::decode(&bytes).unwrap();
        assert_eq!((back.list.len(), back.list[0].peer.len()), (MOST, TEXT));
    }
}
