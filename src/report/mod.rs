//! What is kept of a process that crashed or had to be killed: where it stood, for whom,
//! and what the kernel said of it.
//!
//! | file | what it holds |
//! |---|---|
//! | `raw` | what a dying process says of itself: plain numbers, in one message |
//! | `handler` | the signal handler that says it |
//! | `proc` | what /proc says of a process that may not answer |
//! | `stack` | return addresses, and their names |
//! | `ring` | the last reports, in memory that every process reads |
//! | `label` | the states that the service gives its clients |

mod handler;
pub(crate) mod label;
mod proc;
mod raw;
mod ring;
mod stack;

pub(crate) use handler::install;
pub(crate) use proc::{dumps_core, is_traced, memory, status};
pub(crate) use raw::Raw;
pub(crate) use ring::Ring;

use crate::ffi::dtm_report_t;
use std::ffi::c_char;

/// Put a text into a field of a report: cut to fit, always terminated, no line breaks
/// but where the field is a list of lines.
pub(crate) fn put(field: &mut [c_char], text: &str) {
    let room = field.len().saturating_sub(1);
    let bytes = text.bytes().chain(std::iter::repeat(0));
    for (at, (to, byte)) in field.iter_mut().zip(bytes).enumerate() {
        let byte = if at < room { byte } else { 0 };
        *to = c_char::from_ne_bytes([byte]);
    }
}

/// A field's text.
pub(crate) fn text(field: &[c_char]) -> String {
    let bytes = field.iter().map(|c| c.to_ne_bytes()[0]);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One line for people: what it was doing, for whom.
pub(crate) fn describe(report: &dtm_report_t) -> String {
    let mut line = format!("in {}", text(&report.step));
    if report.client != 0 {
        line += &format!(", client {} fd {}", report.client, report.fd);
    }
    for (name, field) in [("peer", &report.peer[..]), ("state", &report.label[..])] {
        if field[0] != 0 {
            line += &format!(", {name} '{}'", text(field));
        }
    }
    for (name, field) in [
        ("process", &report.process[..]),
        ("wchan", &report.wchan[..]),
        ("syscall", &report.syscall[..]),
    ] {
        if field[0] != 0 {
            line += &format!("; {name} {}", text(field));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_terminated() {
        let mut field = [1; 4];
        put(&mut field, "abcdef");
        assert_eq!((text(&field), field[3]), ("abc".into(), 0));
        put(&mut field, "");
        assert_eq!(field, [0; 4]);
    }
}
