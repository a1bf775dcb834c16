//! What a plugin wrote to its log, and what the host wrote about it: the last lines
//! of each, on this manager.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use swarmw_model::{LineLevel, PluginLine, Time};

/// Lines that a plugin may write in a second; more are dropped and counted.
const LINES_PER_SECOND: u32 = 100;
/// Bytes of one line; the rest of a longer one is dropped.
const LINE_MAX: usize = 4 << 10;
/// Lines kept of a plugin; the oldest go first.
const LINES_KEPT: usize = 1_000;
/// Bytes of lines kept of a plugin.
const BYTES_KEPT: usize = 256 << 10;

/// The lines of one plugin.
pub struct Journal {
    plugin: String,
    /// Of a trial: the daemon's log has nothing of it, for it would read as if the plugin
    /// that serves had written it.
    is_quiet: bool,
    state: Mutex<State>,
}

struct State {
    lines: VecDeque<PluginLine>,
    bytes: usize,
    last: u64,
    /// When the second began in which lines are counted.
    second: Instant,
    in_second: u32,
    dropped: u64,
}

// === impl Journal ===

impl Journal {
    /// An empty one.
    pub fn new(plugin: &str) -> Self {
        let state = State {
            lines: VecDeque::new(),
            bytes: 0,
            last: 0,
            second: Instant::now(),
            in_second: 0,
            dropped: 0,
        };
        Self { plugin: plugin.to_owned(), is_quiet: false, state: Mutex::new(state) }
    }

    /// An empty one that the daemon's log has nothing of.
    pub fn quiet(plugin: &str) -> Self {
        Self { is_quiet: true, ..Self::new(plugin) }
    }

    /// A line of the plugin's own.
    pub fn write(&self, level: LineLevel, message: &str) {
        let mut state = self.state();
        if state.second.elapsed() >= Duration::from_secs(1) {
            let dropped = std::mem::take(&mut state.dropped);
            (state.second, state.in_second) = (Instant::now(), 0);
            if dropped > 0 {
                let text = format!("{dropped} lines were dropped: {LINES_PER_SECOND} a second");
                self.put(&mut state, LineLevel::Warn, text);
            }
        }
        if state.in_second >= LINES_PER_SECOND {
            state.dropped += 1;
            return;
        }
        state.in_second += 1;
        self.put(&mut state, level, one_line(message));
    }

    /// A line of the host's about the plugin.
    pub fn note(&self, level: LineLevel, message: &str) {
        self.put(&mut self.state(), level, one_line(message));
    }

    /// The kept lines after the one of this number, oldest first.
    pub fn after(&self, number: u64) -> Vec<PluginLine> {
        self.state().lines.iter().filter(|line| line.number > number).cloned().collect()
    }

    fn put(&self, state: &mut State, level: LineLevel, text: String) {
        let plugin = self.plugin.as_str();
        match level {
            _ if self.is_quiet => tracing::debug!(plugin, trial = true, "{text}"),
            LineLevel::Debug => tracing::debug!(plugin, "{text}"),
            LineLevel::Info => tracing::info!(plugin, "{text}"),
            LineLevel::Warn => tracing::warn!(plugin, "{text}"),
            LineLevel::Error => tracing::error!(plugin, "{text}"),
        }
        state.last += 1;
        state.bytes += text.len();
        let number = state.last;
        state.lines.push_back(PluginLine { number, at: now(), level, text });
        while state.lines.len() > LINES_KEPT || state.bytes > BYTES_KEPT {
            let Some(oldest) = state.lines.pop_front() else { break };
            state.bytes -= oldest.text.len();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present time; before 1970 it is 1970.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Cut to [`LINE_MAX`], without control characters: a terminal must not obey it.
pub fn one_line(message: &str) -> String {
    let mut end = message.len().min(LINE_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].chars().map(|c| if misleads(c) { ' ' } else { c }).collect()
}

/// Whether a terminal would obey a character, or show what follows in another order.
pub fn misleads(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let journal = Journal::new("a/b");
        for _ in 0..1_000 {
            journal.write(LineLevel::Info, &"x\n\u{1b}[2J".repeat(10_000));
        }
        let lines = journal.after(0);
        assert!(lines.len() <= LINES_PER_SECOND as usize * 2, "{}", lines.len());
        assert!(lines.iter().map(|l| l.text.len()).sum::<usize>() <= BYTES_KEPT);
        assert!(lines.iter().all(|l| !l.text.contains(char::is_control)));
        assert!(journal.state().dropped > 0);
    }

    #[test]
    fn the_last_lines_are_kept_and_numbered() {
        let journal = Journal::new("a/b");
        for n in 0..LINES_KEPT + 5 {
            journal.note(LineLevel::Info, &n.to_string());
        }
        let lines = journal.after(0);
        assert_eq!((lines.len(), lines[0].number, lines[0].text.as_str()), (LINES_KEPT, 6, "5"));
        assert_eq!(journal.after(LINES_KEPT as u64 + 4).len(), 1);
    }
}
