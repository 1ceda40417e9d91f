//! What a dying process says of itself. Made in a signal handler: no allocation, nothing
//! that could wait.

use super::put;
use crate::ffi::dtm_report_t;
use crate::shm::Doing;

pub(crate) const FRAMES: usize = 40;
pub(crate) const LABEL: usize = 48;
pub(crate) const PEER: usize = 64;

/// All of it is plain numbers without gaps: it is sent as it lies in memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    pub(crate) address: u64,
    /// Where it was when the signal came.
    pub(crate) pc: u64,
    pub(crate) client: u64,
    pub(crate) tag: u64,
    pub(crate) signal: i32,
    pub(crate) code: i32,
    pub(crate) fd: i32,
    pub(crate) listener: i32,
    /// A `Doing`.
    pub(crate) doing: u32,
    /// How many of `frames` count.
    pub(crate) depth: u32,
    pub(crate) label: [u8; LABEL],
    pub(crate) peer: [u8; PEER],
    pub(crate) frames: [u64; FRAMES],
}

pub(crate) const SIZE: usize = size_of::<Raw>();
const _: () = assert!(SIZE == 4 * 8 + 6 * 4 + LABEL + PEER + FRAMES * 8);

impl Raw {
    pub(crate) const fn new() -> Self {
        Self {
            address: 0,
            pc: 0,
            client: 0,
            tag: 0,
            signal: 0,
            code: 0,
            fd: -1,
            listener: -1,
            doing: 0,
            depth: 0,
            label: [0; LABEL],
            peer: [0; PEER],
            frames: [0; FRAMES],
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; SIZE] {
        // SAFETY: numbers only, without padding, as asserted above.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }

    /// A message's payload; whatever it says is only shown.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        // SAFETY: as long as a Raw, for which any bytes are valid.
        Some(unsafe { std::ptr::from_ref(bytes).cast::<Self>().read_unaligned() })
    }

    /// The return addresses, from where the signal came on.
    pub(crate) fn stack(&self) -> &[u64] {
        let depth = usize::try_from(self.depth).unwrap_or(0).min(FRAMES);
        let frames = &self.frames[..depth];
        let start = frames.iter().position(|ip| *ip == self.pc && *ip != 0);
        &frames[start.unwrap_or(0)..]
    }
}

impl Raw {
    /// Put what the process says into its report.
    pub(crate) fn fill(&self, report: &mut dtm_report_t) {
        (report.signal, report.code, report.address) = (self.signal, self.code, self.address);
        (report.client, report.fd) = (self.client, self.fd);
        (report.listener, report.tag) = (self.listener, self.tag);
        put(
            &mut report.step,
            Doing::name(u8::try_from(self.doing).unwrap_or(u8::MAX)),
        );
        put(&mut report.label, &field(&self.label));
        put(&mut report.peer, &field(&self.peer));
        if self.depth > 0 {
            put(&mut report.stack, &super::stack::names(self.stack()));
        }
    }
}

/// The text in a field, up to its end.
fn field(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_sent_is_what_arrives() {
        let mut raw = Raw::new();
        (raw.pc, raw.depth, raw.frames[2]) = (7, 4, 7);
        raw.frames[3] = 9;
        let other = Raw::of_bytes(raw.bytes()).unwrap();
        assert_eq!(other.bytes(), raw.bytes());
        assert_eq!(other.stack(), [7, 9]);
        assert!(Raw::of_bytes(&raw.bytes()[1..]).is_none());
    }

    proptest! {
        /// A process may send anything under this name.
        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), SIZE)) {
            let raw = Raw::of_bytes(&bytes).unwrap();
            prop_assert!(raw.stack().len() <= FRAMES);
            prop_assert!(field(&raw.label).len() <= 3 * LABEL);
        }
    }
}
