//! Lines that are rewritten on a terminal, and follow one another elsewhere.

use std::collections::HashMap;
use std::io;

use super::machine::{Kind, Message, Share};
use crate::io::Io;

/// Terminals up to this width have no bars.
const NO_BAR_COLUMNS: u16 = 110;
const BAR_CELLS: u64 = 50;

/// Where the lines of a wait stand.
pub(super) struct Display {
    look: Look,
    /// Row of each id, counted from the first.
    rows: HashMap<String, usize>,
    /// What was last written of each id.
    last: HashMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Quiet,
    Lines,
    Terminal { bars: bool },
}

// === impl Display ===

impl Display {
    pub(super) fn new(quiet: bool, io: &Io) -> Self {
        let look = match (quiet, io.is_tty) {
            (true, _) => Look::Quiet,
            (false, false) => Look::Lines,
            (false, true) => Look::Terminal { bars: io.columns > NO_BAR_COLUMNS },
        };
        Self { look, rows: HashMap::new(), last: HashMap::new() }
    }

    /// Shows one line.
    pub(super) fn show(&mut self, message: &Message, io: &mut Io) -> io::Result<()> {
        let head = match message.id.as_str() {
            "" => String::new(),
            id => format!("{id}: "),
        };
        match (self.look, message.kind) {
            (Look::Quiet, _) => Ok(()),
            (_, Kind::Plain) => {
                // Rows above a line that stays are not counted any more.
                self.rows.clear();
                io.text(&format!("{head}{}\n", message.text))
            }
            // Without a terminal a bar says nothing that the sum does not.
            (Look::Lines, Kind::Bar(_)) => Ok(()),
            (Look::Lines, Kind::Action | Kind::Sum(_)) => {
                let before = self.last.insert(message.id.clone(), message.text.clone());
                // Polling says the same many times; a log needs it once.
                if before.as_ref() == Some(&message.text) {
                    return Ok(());
                }
                io.text(&format!("{head}{}\n", message.text))
            }
            (Look::Terminal { bars }, kind) => {
                let bar = match kind {
                    Kind::Bar(share) | Kind::Sum(share) if bars => bar(share),
                    _ => String::new(),
                };
                let up = self.row(&message.id, io)?;
                io.text(&format!("\x1b[{up}A\x1b[2K\r{head}{} {bar}\r\x1b[{up}B", message.text))
            }
        }
    }

    /// How many lines above the cursor the id's row is; a new id makes a row.
    fn row(&mut self, id: &str, io: &mut Io) -> io::Result<usize> {
        let count = self.rows.len();
        if !self.rows.contains_key(id) {
            self.rows.insert(id.to_owned(), count);
            io.text("\n")?;
        }
        Ok(self.rows.len() - self.rows[id])
    }
}

fn bar(share: Share) -> String {
    let percent = (share.done * 100).checked_div(share.of).unwrap_or(0);
    let filled = (percent / 2).min(BAR_CELLS) as usize;
    let empty = BAR_CELLS as usize - filled;
    format!("[{}>{}] ", "=".repeat(filled), " ".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Captured;

    fn shown(tty: bool, columns: u16, messages: &[Message]) -> String {
        let captured = Captured::default();
        let mut io = captured.io(tty, columns);
        let mut display = Display::new(false, &io);
        for message in messages {
            display.show(message, &mut io).expect("memory takes all");
        }
        captured.stdout()
    }

    #[test]
    fn a_terminal_rewrites_the_row_of_an_id() {
        let messages = [
            Message::action("overall progress", "0 out of 1 tasks"),
            Message::bar("1/1", "running  ", Share { done: 9, of: 9 }),
            Message::action("overall progress", "1 out of 1 tasks"),
        ];
        assert_eq!(
            shown(true, 80, &messages),
            "\n\x1b[1A\x1b[2K\roverall progress: 0 out of 1 tasks \r\x1b[1B\
             \n\x1b[1A\x1b[2K\r1/1: running   \r\x1b[1B\
             \x1b[2A\x1b[2K\roverall progress: 1 out of 1 tasks \r\x1b[2B"
        );
    }

    #[test]
    fn wide_terminals_have_bars_of_fifty_cells() {
        let starting = Message::bar("1/1", "starting ", Share { done: 8, of: 9 });
        let text = shown(true, 111, std::slice::from_ref(&starting));
        let bar = format!("1/1: starting  [{}>{}] ", "=".repeat(44), " ".repeat(6));
        assert!(text.contains(&bar), "{text}");
        let text = shown(true, 110, &[starting]);
        assert!(!text.contains('['.to_string().as_str()) || !text.contains("=="), "{text}");
    }

    #[test]
    fn elsewhere_each_new_message_is_a_line() {
        let messages = [
            Message::action("overall progress", "0 out of 1 tasks"),
            Message::bar("1/1", "running  ", Share { done: 9, of: 9 }),
            Message::action("overall progress", "0 out of 1 tasks"),
            Message::action("overall progress", "1 out of 1 tasks"),
            Message::plain("", "Operation continuing in background."),
        ];
        assert_eq!(
            shown(false, 200, &messages),
            "overall progress: 0 out of 1 tasks\noverall progress: 1 out of 1 tasks\n\
             Operation continuing in background.\n"
        );
    }
}
