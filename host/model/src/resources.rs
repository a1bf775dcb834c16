//! CPU and memory: what tasks reserve, are held to, and nodes have.

use serde::{Deserialize, Serialize};

use crate::GenericResource;
use crate::json::{is_default, null_as_default};

/// An amount of resources, as reserved by a task or owned by a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// Billionths of a CPU.
    #[serde(rename = "NanoCPUs", skip_serializing_if = "is_default")]
    pub nano_cpus: i64,
    /// Bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: i64,
    /// Countable things of other kinds.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// The most that a task may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Limit {
    /// Billionths of a CPU.
    #[serde(rename = "NanoCPUs", skip_serializing_if = "is_default")]
    pub nano_cpus: i64,
    /// Bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: i64,
    /// Processes; 0 for no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub pids: i64,
}

/// What a task reserves and is held to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResourceRequirements {
    /// Upper bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limit>,
    /// What the scheduler sets aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Resources>,
    /// Bytes of swap beside the memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<i64>,
    /// 0–100; kept as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<i64>,
}

// === impl Resources ===

impl Resources {
    /// Whether these are among its generic resources: each name, and of what is counted no
    /// more than there is.
    pub fn include(&self, given: &[GenericResource]) -> bool {
        let there = &self.generic_resources;
        let count = |kind: &str| -> i64 {
            there
                .iter()
                .filter(|r| r.name().is_empty() && r.kind() == kind)
                .map(|r| r.count())
                .sum()
        };
        given.iter().all(|one| match one {
            GenericResource::Named { .. } => there.contains(one),
            GenericResource::Discrete { kind, count: given } => count(kind) >= *given,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_generic_resources;

    #[test]
    fn what_was_given_is_looked_for_by_name_and_by_number() {
        let of = |text: &str| parse_generic_resources(text.split_whitespace()).expect("resources");
        let node = Resources { generic_resources: of("gpu=a gpu=b ssd=2"), ..Default::default() };
        for (given, there) in [
            ("", true),
            ("gpu=b ssd=2", true),
            ("gpu=c", false),
            ("ssd=3", false),
            ("gpu=1", false),
            ("fpga=1", false),
        ] {
            assert_eq!(node.include(&of(given)), there, "{given}");
        }
    }
}
