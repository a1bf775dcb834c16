//! Lines that tasks print, wherever they are kept.

use std::collections::BTreeMap;

use futures::stream::BoxStream;
use swarmw_model::Time;

/// Which output a line came from; the number is Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Output {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was printed.
    pub at: Time,
    /// Where to.
    pub output: Output,
    /// With its line end, if it had one.
    pub text: Vec<u8>,
    /// Of the log driver, where they were asked for.
    pub attributes: BTreeMap<String, String>,
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Go on with new lines until the task has ended.
    pub follow: bool,
    /// Lines from the end; `None` for all.
    pub tail: Option<u64>,
    /// Nothing older.
    pub since: Time,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// With the attributes of the log driver; components have none.
    pub details: bool,
}

/// Lines as they come; an error ends them.
pub type LogStream = BoxStream<'static, Result<Line, crate::executor::TaskError>>;

// === impl Output ===

impl Output {
    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

// === impl LogOptions ===

impl LogOptions {
    /// Whether a line is wanted, but for `tail`.
    pub fn wants(&self, line: &Line) -> bool {
        let output = match line.output {
            Output::Stdout => self.stdout,
            Output::Stderr => self.stderr,
        };
        output && line.at >= self.since
    }
}
