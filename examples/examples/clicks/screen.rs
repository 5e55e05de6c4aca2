//! Status lines. In a terminal, new lines replace the previous ones; in any other output, new lines are appended.

use std::io::{self, IsTerminal, Write};

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    /// The lines that were drawn last; empty if a line was printed after them.
    drawn: Vec<String>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            is_terminal: io::stdout().is_terminal(),
            drawn: Vec::new(),
        }
    }

    /// Replaces the lines that were drawn last, unless the new lines are equal to them. Each line must fit in the
    /// width of a terminal.
    pub(crate) fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        if lines == self.drawn {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.is_terminal && !self.drawn.is_empty() {
            // Moves up to the first line that was drawn, and clears the screen from there.
            write!(out, "\x1b[{}A\x1b[J", self.drawn.len())?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.drawn = lines;
        out.flush()
    }

    /// Prints a line that later draws do not replace.
    pub(crate) fn print(&mut self, line: &str) -> io::Result<()> {
        self.drawn.clear();
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}
