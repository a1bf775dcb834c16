//! What a plugin did on the manager that leads, since that loaded it. Never stored:
//! a new leader counts anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;

/// What a release of a plugin did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginUse {
    /// Digest of the release.
    pub digest: String,
    /// Since when it is counted.
    pub since: Time,
    /// By name of the function, such as `compile`.
    pub calls: BTreeMap<String, CallUse>,
    /// Verdicts and classes that the scheduler needed, and those for which it had to
    /// ask.
    pub rows: RowUse,
    /// Whether it is called.
    pub breaker: Breaker,
    /// What went wrong last, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<Fault>,
}

/// Calls of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallUse {
    /// How many.
    pub count: u64,
    /// CPU time in all, in nanoseconds.
    pub nanos: u64,
    /// CPU time of the longest, in nanoseconds.
    pub longest: u64,
    /// Those that trapped.
    pub traps: u64,
    /// Those that ran out of time.
    pub late: u64,
    /// Those whose answer broke a rule.
    pub invalid: u64,
}

/// How often an answer was known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RowUse {
    /// Answers needed, one per node and expression.
    pub needed: u64,
    /// Rows that the component was asked about.
    pub asked: u64,
}

/// The state of a breaker: what a plugin fails at too often is set aside for a while, and
/// one that fails too much is not called at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Breaker {
    /// Whether it is open: nothing is asked.
    pub open: bool,
    /// Faults lately that count.
    pub faults: u32,
    /// Questions that failed so often that they are not asked for now.
    #[serde(default)]
    pub set_aside: u32,
    /// When it closes again, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Time>,
    /// When the first of the questions that are set aside may be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside_until: Option<Time>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fault {
    /// When.
    pub at: Time,
    /// The function that was called.
    pub call: String,
    /// What it did; completes the sentence that the plugin's name begins.
    pub message: String,
}

/// A line that a plugin wrote to its log, or that the host wrote about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginLine {
    /// Counts the plugin's lines, from 1.
    pub number: u64,
    /// When.
    pub at: Time,
    /// How grave.
    pub level: LineLevel,
    /// One line without control characters.
    pub text: String,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineLevel {
    /// For the author.
    Debug,
    /// For whoever looks.
    Info,
    /// For the operator.
    Warn,
    /// For the operator, soon.
    Error,
}

// === impl PluginUse ===

impl PluginUse {
    /// All calls.
    pub fn count(&self) -> u64 {
        self.calls.values().map(|c| c.count).sum()
    }

    /// CPU time of all calls, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.calls.values().map(|c| c.nanos).sum()
    }

    /// Calls that went wrong.
    pub fn faults(&self) -> u64 {
        self.calls.values().map(|c| c.traps + c.late + c.invalid).sum()
    }
}

// === impl RowUse ===

impl RowUse {
    /// The share of answers that were known, from 0 to 1; none were needed: nothing.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.needed > 0).then(|| 1.0 - self.asked.min(self.needed) as f64 / self.needed as f64)
    }
}

// === impl LineLevel ===

impl LineLevel {
    /// As logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}
