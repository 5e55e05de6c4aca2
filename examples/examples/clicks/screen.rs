//! Lines that are drawn over those before them in a terminal, and follow them where the output goes elsewhere.

use std::io::{self, IsTerminal, Write};

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    /// Lines to go up by, to draw over what was drawn last.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            is_terminal: io::stdout().is_terminal(),
            drawn: 0,
        }
    }

    /// Draws lines in place of those drawn last. They must be narrower than a terminal is wide.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_terminal && self.drawn > 0 {
            // Up to the first line drawn, and clear from there.
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        self.drawn = lines.len();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Prints a line that stays.
    pub(crate) fn print(&mut self, line: &str) -> io::Result<()> {
        self.drawn = 0;
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
