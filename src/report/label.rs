//! The states that a service gives its clients by dtm_client_set_state(): few texts, told
//! apart by a number that fits into a client's entry.

use super::raw::LABEL;
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering::*};

/// 0 is no state.
const MAX: usize = 255;

type Texts = [[u8; LABEL]; MAX];

/// Made at the first use in a process. A signal handler reads it: what is counted stays.
static TEXTS: AtomicPtr<Texts> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicU8 = AtomicU8::new(0);

/// The number of a text: a new one, if it is new. Only the runtime's own thread.
pub(crate) fn number(text: &[u8]) -> Result<u8> {
    let mut cut = [0; LABEL];
    let room = text.len().min(LABEL - 1);
    cut[..room].copy_from_slice(&text[..room]);
    let count = usize::from(COUNT.load(Relaxed));
    let known = texts().and_then(|texts| texts[..count].iter().position(|t| *t == cut));
    if let Some(at) = known {
        return Ok(number_of(at));
    }
    if count == MAX {
        let text = format!("more than {MAX} different states in one process");
        return Err(Error::new(-libc::ENOSPC, text));
    }
    let mut texts = TEXTS.load(Relaxed);
    if texts.is_null() {
        texts = Box::into_raw(Box::new([[0; LABEL]; MAX]));
        TEXTS.store(texts, Release);
    }
    // SAFETY: made above, never freed; nobody looks behind COUNT, and `count` is below MAX.
    unsafe { (*texts)[count] = cut };
    COUNT.store(number_of(count), Release);
    Ok(number_of(count))
}

fn number_of(at: usize) -> u8 {
    u8::try_from(at + 1).unwrap_or(0)
}

fn texts() -> Option<&'static Texts> {
    // SAFETY: NULL, or made by number() and never freed.
    unsafe { TEXTS.load(Acquire).as_ref() }
}

/// The text behind a number; in a signal handler, too.
pub(crate) fn text(number: u8) -> [u8; LABEL] {
    let at = usize::from(number).wrapping_sub(1);
    match texts() {
        Some(texts) if number != 0 && number <= COUNT.load(Acquire) => texts[at],
        _ => [0; LABEL],
    }
}

/// The same, for people.
pub(crate) fn name(number: u8) -> String {
    let text = text(number);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_number() {
        let (a, b) = (number(b"reading").unwrap(), number(b"writing").unwrap());
        assert_ne!(a, b);
        assert_eq!(number(b"reading").unwrap(), a);
        assert!(text(a).starts_with(b"reading\0"));
        assert_eq!((name(a).as_str(), name(0).as_str()), ("reading", ""));
        assert_eq!((text(0), text(255)), ([0; LABEL], [0; LABEL]));
        let long = number(&[b'x'; 100]).unwrap();
        assert_eq!((text(long)[LABEL - 2], text(long)[LABEL - 1]), (b'x', 0));
    }
}
