//! Our own output: to a terminal with colours and a width, to a pipe plain and whole.

use crate::fail::Result;
use crate::text::Line;
use std::io::{IsTerminal, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone)]
pub(crate) struct Out {
    pub(crate) terminal: bool,
    pub(crate) coloured: bool,
    pub(crate) utf8: bool,
}

impl Out {
    pub(crate) fn new(colours: Colours) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        // https://no-color.org
        let wanted = set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = locale.is_some_and(|name| {
            let name = name.to_string_lossy().to_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        Self {
            terminal,
            coloured: match colours {
                Colours::Auto => terminal && wanted,
                Colours::Always => true,
                Colours::Never => false,
            },
            utf8,
        }
    }

    /// Columns of the terminal; None: no limit.
    pub(crate) fn room(&self) -> Option<usize> {
        self.terminal.then(|| crate::term::size().0)
    }

    pub(crate) fn lines(&self, lines: &[Line]) -> Result<()> {
        let room = self.room();
        for line in lines {
            self.bytes((line.paint(self.coloured, room) + "\n").as_bytes())?;
        }
        Ok(())
    }

    /// Whole, however wide the terminal is.
    pub(crate) fn long(&self, line: &Line) -> Result<()> {
        self.bytes((line.paint(self.coloured, None) + "\n").as_bytes())
    }

    /// As it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut to = std::io::stdout().lock();
        to.write_all(bytes)?;
        Ok(to.flush()?)
    }
}

/// Errors go where they disturb no pipe.
pub(crate) fn complain(text: &str) {
    let text = crate::text::clean(text);
    let _ = writeln!(std::io::stderr().lock(), "dtmctl: {text}");
}
