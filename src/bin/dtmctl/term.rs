//! The terminal: its size, and the mode in which every key counts at once.

use crate::fail::{Code, Fail, Result};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd};

/// Columns and lines; 80 x 24 where nobody knows.
pub(crate) fn size() -> (usize, usize) {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes a winsize.
    let result = unsafe { libc::ioctl(stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    match (result, size.ws_col, size.ws_row) {
        (0, columns, lines) if columns > 0 && lines > 0 => (columns.into(), lines.into()),
        _ => (80, 24),
    }
}

/// Without echo, without line editing, on the second screen. Everything is put back when
/// it is dropped, also by a panic.
pub(crate) struct Screen {
    before: Option<Termios>,
}

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

impl Screen {
    pub(crate) fn enter() -> Result<Self> {
        let before = if stdin().is_terminal() {
            let before = tcgetattr(stdin()).ok();
            if let Some(mut raw) = before.clone() {
                // Ctrl-C stays a signal: it works even if this program hangs.
                raw.local_flags
                    .remove(LocalFlags::ECHO | LocalFlags::ICANON);
                raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
                raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
                // Ctrl-Z would leave the shell on our screen.
                raw.control_chars[SpecialCharacterIndices::VSUSP as usize] = libc::_POSIX_VDISABLE;
                let _ = tcsetattr(stdin(), SetArg::TCSANOW, &raw);
            }
            before
        } else {
            None
        };
        let screen = Self { before };
        write(ENTER)?;
        Ok(screen)
    }

    /// Lines of text, from the top, all at once.
    pub(crate) fn draw(&self, lines: &[String]) -> Result<()> {
        write(&(String::from("\x1b[H") + &lines.join("\x1b[K\r\n") + "\x1b[K\x1b[J"))
    }

    /// Keys come here; None: nobody can press one.
    pub(crate) fn keys(&self) -> Option<std::io::Stdin> {
        self.before.is_some().then(stdin)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, before);
        }
    }
}

fn write(text: &str) -> Result<()> {
    let mut to = stdout().lock();
    to.write_all(text.as_bytes())?;
    Ok(to.flush()?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
}

/// Those that were pressed and not read yet. None: the terminal is gone.
pub(crate) fn read_keys() -> Option<Vec<Key>> {
    let mut room = [0; 64];
    match stdin().lock().read(&mut room) {
        Ok(0) => None,
        Ok(n) => Some(keys(&room[..n])),
        Err(_) => Some(Vec::new()),
    }
}

/// Pure.
fn keys(bytes: &[u8]) -> Vec<Key> {
    const SEQUENCES: &[(&[u8], Key)] = &[
        (b"\x1b[A", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1b[C", Key::Right),
        (b"\x1b[D", Key::Left),
        (b"\x1bOA", Key::Up),
        (b"\x1bOB", Key::Down),
        (b"\x1bOC", Key::Right),
        (b"\x1bOD", Key::Left),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
    ];
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some(&first) = rest.first() {
        let known = SEQUENCES.iter().find(|(bytes, _)| rest.starts_with(bytes));
        match known {
            Some((bytes, key)) => {
                found.push(*key);
                rest = &rest[bytes.len()..];
            }
            None if first == 0x1b => return found, // a key that means nothing here
            None => {
                found.push(Key::Char(char::from(first)));
                rest = &rest[1..];
            }
        }
    }
    found
}

/// A password, typed without being seen.
pub(crate) fn ask_password() -> Result<String> {
    let fail = |what: &str| Fail::new(Code::Usage, format!("--askpass: {what}"));
    let mut tty = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty");
    let tty = tty
        .as_mut()
        .map_err(|_| fail("there is no terminal to ask at"))?;
    let before = tcgetattr(tty.as_fd()).map_err(|e| fail(e.desc()))?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(tty.as_fd(), SetArg::TCSAFLUSH, &quiet).map_err(|e| fail(e.desc()))?;
    let _ = tty.write_all(b"Password: ");
    let mut line = Vec::new();
    let mut byte = [0];
    while matches!(tty.read(&mut byte), Ok(1)) && byte != *b"\n" {
        line.push(byte[0]);
    }
    let _ = tty.write_all(b"\n");
    let _ = tcsetattr(tty.as_fd(), SetArg::TCSAFLUSH, &before);
    String::from_utf8(line).map_err(|_| fail("that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_terminal() {
        assert_eq!(
            keys(b"q\x1b[A\x1bOD5\x1b[6~"),
            [
                Key::Char('q'),
                Key::Up,
                Key::Left,
                Key::Char('5'),
                Key::PageDown
            ]
        );
        assert_eq!(keys(b"a\x1b[99;5uq"), [Key::Char('a')]);
        assert_eq!(keys(b""), []);
    }
}
