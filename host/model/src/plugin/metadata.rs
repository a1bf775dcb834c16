//! What a plugin says of itself, in the shapes of `wit/`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::PluginGrant;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginMetadata {
    /// Its own version, semver.
    pub version: String,
    /// One line.
    pub summary: String,
    /// What is routed to it.
    pub claims: Vec<PluginClaim>,
    /// What `--policy-opt` or `volume-opt` may set.
    pub options: Vec<PluginOption>,
    /// Powers it asks for.
    pub grants: Vec<PluginGrant>,
}

/// What is routed to a plugin; see `claim` in `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginClaim {
    /// One whole key.
    Key(String),
    /// Every key that starts so; empty for every key.
    KeyPrefix(String),
    /// Narrows the plugin's keys to expressions with one of its operators.
    Operator(String),
    /// `NAME` for `NAME(…)`.
    Call(String),
    /// A name on the command line.
    Name(String),
}

/// An option of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginOption {
    /// Its name.
    pub name: String,
    /// One line.
    pub help: String,
    /// How the operator's text is read.
    #[serde(rename = "Type")]
    pub ty: OptionType,
    /// Whether it must be given.
    pub required: bool,
    /// As an operator would type it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// How the text of an option is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionType {
    /// As it is.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Within bounds, both included.
    Integer {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// A finite decimal number.
    Number,
    /// `1m30s`; given to the plugin in milliseconds.
    Duration,
    /// `64MiB`; given to the plugin in bytes.
    Size,
    /// One of these.
    Choice(Vec<String>),
    /// The name of a secret.
    Secret,
}

/// One plugin's problem with what an operator typed: see `problem` in
/// `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Problem {
    /// Stable, e.g. `bad-operator`.
    pub code: String,
    /// One line.
    pub message: String,
    /// The option at fault, or none for the expression itself.
    pub option: Option<String>,
    /// Bytes `[start, end)` of the text at fault.
    pub at: Option<(u32, u32)>,
    /// What to type instead.
    pub hint: Option<String>,
}

// === impl PluginClaim ===

impl PluginClaim {
    /// As `--grant claim=…` names it; of a key that its plugin claims with some operators
    /// only, with which of them: `node.labels.* ==`.
    pub fn pattern(&self, operator: Option<&str>) -> String {
        match (self, operator) {
            (Self::Call(name), _) => name.clone(),
            (Self::Operator(operator), _) => format!("* {operator}"),
            (Self::Key(_) | Self::KeyPrefix(_), Some(operator)) => format!("{self} {operator}"),
            (other, _) => other.to_string(),
        }
    }

    /// Whether it claims this name.
    pub fn is_name(&self, name: &str) -> bool {
        matches!(self, Self::Name(claimed) if claimed == name)
    }

    /// The operator, where it narrows keys to one.
    pub fn operator(&self) -> Option<&str> {
        match self {
            Self::Operator(operator) => Some(operator),
            _ => None,
        }
    }
}

/// All that can be agreed to of claims, each as `--grant claim=…` names it.
pub fn claim_patterns(claims: &[PluginClaim]) -> Vec<String> {
    let operators: Vec<&str> = claims.iter().filter_map(PluginClaim::operator).collect();
    let patterns = |claim: &PluginClaim| match claim {
        PluginClaim::Key(_) | PluginClaim::KeyPrefix(_) if !operators.is_empty() => {
            operators.iter().map(|operator| claim.pattern(Some(operator))).collect()
        }
        _ => vec![claim.pattern(None)],
    };
    claims.iter().flat_map(patterns).collect()
}

impl fmt::Display for PluginClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::KeyPrefix(prefix) => write!(f, "{prefix}*"),
            Self::Operator(operator) => write!(f, "operator {operator}"),
            Self::Call(name) => write!(f, "{name}(…)"),
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}
