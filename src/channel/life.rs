//! A life event on its way from the master to the controller. Pure.

/// `dtm_event_t` with its text beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Life {
    /// DTM_EVENT_*, or one of the console's own.
    pub(crate) kind: u32,
    pub(crate) role: u32,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) spawn: u64,
    pub(crate) pid: i32,
    pub(crate) status: i32,
}

const HEAD: usize = 32;
/// So much of the text goes along: a line for people.
const TEXT: usize = 1024;

impl Life {
    /// An event of the service itself.
    pub(crate) fn of_service(kind: u32, generation: u32) -> Self {
        Self {
            kind,
            generation,
            slot: u32::MAX,
            ..Self::default()
        }
    }

    pub(crate) fn encode(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + text.len());
        for half in [self.kind, self.role, self.slot, self.generation] {
            bytes.extend(half.to_ne_bytes());
        }
        bytes.extend(self.spawn.to_ne_bytes());
        bytes.extend(self.pid.to_ne_bytes());
        bytes.extend(self.status.to_ne_bytes());
        bytes.extend(&text.as_bytes()[..text.len().min(TEXT)]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, String)> {
        let (head, text) = bytes.split_first_chunk::<HEAD>()?;
        let half = |i: usize| u32::from_ne_bytes(std::array::from_fn(|b| head[i * 4 + b]));
        let life = Self {
            kind: half(0),
            role: half(1),
            slot: half(2),
            generation: half(3),
            spawn: u64::from_ne_bytes(std::array::from_fn(|b| head[16 + b])),
            pid: half(6).cast_signed(),
            status: half(7).cast_signed(),
        };
        Some((life, String::from_utf8_lossy(text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_survive_encoding(n: [u32; 4], spawn: u64, pid: i32, status: i32, text in ".{0,80}") {
            let [kind, role, slot, generation] = n;
            let life = Life { kind, role, slot, generation, spawn, pid, status };
            prop_assert_eq!(Life::decode(&life.encode(&text)), Some((life, text)));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = Life::decode(&bytes);
        }
    }
}
