//! Lines that are drawn over those before them in a terminal, and follow them where the output goes elsewhere.

use std::io::{self, IsTerminal, Write};

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    /// What was drawn last, and is still the last that was printed.
    drawn: Vec<String>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            is_terminal: io::stdout().is_terminal(),
            drawn: Vec::new(),
        }
    }

    /// Draws lines in place of those drawn last, or nothing if they are the same. They must be narrower than a terminal
    /// is wide.
    pub(crate) fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        if lines == self.drawn {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.is_terminal && !self.drawn.is_empty() {
            // Up to the first line drawn, and clear from there.
            write!(out, "\x1b[{}A\x1b[J", self.drawn.len())?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.drawn = lines;
        out.flush()
    }

    /// Prints a line that stays.
    pub(crate) fn print(&mut self, line: &str) -> io::Result<()> {
        self.drawn.clear();
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
