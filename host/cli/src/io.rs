//! Where a command writes, and what it knows of the terminal.

use std::io::{self, IsTerminal as _, Write};

use crate::terminal;

/// Where a command writes.
pub struct Io {
    /// Results.
    pub stdout: Box<dyn Write + Send>,
    /// Warnings and errors.
    pub stderr: Box<dyn Write + Send>,
    /// Whether `stdout` is a terminal, where lines can be rewritten.
    pub is_tty: bool,
    /// Width of the terminal; task bars need more than 110 columns.
    pub columns: u16,
}

// === impl Io ===

impl Io {
    /// The process's own streams.
    pub fn system() -> Self {
        Self {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            is_tty: io::stdout().is_terminal(),
            columns: terminal::columns(),
        }
    }

    /// Writes one line of results.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Writes results as they stand.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// Writes one line of warning.
    pub(crate) fn warn(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.stderr, "{text}")
    }
}
