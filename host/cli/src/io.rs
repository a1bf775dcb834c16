//! Where a command writes, and what it knows of the terminal.

use std::io::{self, BufRead, IsTerminal as _, Write};

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
    /// Where answers to questions come from; `None` where nobody can be asked.
    pub answers: Option<Box<dyn BufRead + Send>>,
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
            answers: io::stdin()
                .is_terminal()
                .then(|| Box::new(io::BufReader::new(io::stdin())) as Box<dyn BufRead + Send>),
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

    /// Asks a question that is answered with yes or no; `None` where nobody can be
    /// asked. All but `y` and `yes` is a no.
    pub(crate) fn confirm(&mut self, question: &str) -> io::Result<Option<bool>> {
        let Some(answers) = &mut self.answers else { return Ok(None) };
        write!(self.stdout, "{question} [y/N] ")?;
        self.stdout.flush()?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(Some(matches!(line.trim().to_lowercase().as_str(), "y" | "yes")))
    }

    /// The same where Docker's client takes an answer from a pipe too; no answer is a no.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<bool> {
        if self.answers.is_none() {
            self.answers = Some(Box::new(io::BufReader::new(io::stdin())));
        }
        Ok(self.confirm(question)?.unwrap_or_default())
    }

    /// Asks for one line that is not shown as it is typed; in a pipe nothing is asked.
    pub(crate) fn secret(&mut self, prompt: &str) -> io::Result<String> {
        let mut line = String::new();
        match &mut self.answers {
            Some(answers) => {
                write!(self.stdout, "{prompt}")?;
                self.stdout.flush()?;
                let unseen = terminal::Unseen::begin();
                answers.read_line(&mut line)?;
                drop(unseen);
                writeln!(self.stdout)?;
            }
            None => {
                io::stdin().read_line(&mut line)?;
            }
        }
        Ok(line.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::testing::Captured;

    #[test]
    fn a_secret_is_asked_for_and_read_without_blanks() {
        let captured = Captured::default();
        let mut io = captured.io(true, 80);
        io.answers = Some(Box::new(Cursor::new(" SWMKEY-1-x \nmore\n")));
        assert_eq!(io.secret("Enter unlock key: ").expect("read"), "SWMKEY-1-x");
        assert_eq!(captured.stdout(), "Enter unlock key: \n");
    }

    #[test]
    fn only_yes_is_a_yes_and_nobody_is_asked_where_nobody_is() {
        for (typed, want) in [
            (Some("y\n"), Some(true)),
            (Some("YES\n"), Some(true)),
            (Some("n\n"), Some(false)),
            (Some("yep\n"), Some(false)),
            (Some(""), Some(false)),
            (None, None),
        ] {
            let captured = Captured::default();
            let mut io = captured.io(true, 80);
            io.answers = typed.map(|text| Box::new(Cursor::new(text)) as _);
            assert_eq!(io.confirm("Do you?").expect("written"), want, "{typed:?}");
            let asked = if typed.is_some() { "Do you? [y/N] " } else { "" };
            assert_eq!(captured.stdout(), asked);
        }
    }
}
