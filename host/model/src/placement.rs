//! Where tasks may and should run.

use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};

/// Where the tasks of a service may and should run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Placement {
    /// Expressions that a node must satisfy, all of them.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Docker's preferences, outermost first. Preferences of other plugins are
    /// in [`crate::SwarmwOptions::preferences`].
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// The most tasks of the service on one node; 0 for no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_replicas: u64,
    /// What the image runs on; empty for anything.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
}

/// One of Docker's placement preferences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlacementPreference {
    /// The only one that Docker knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadOver>,
}

/// Spread over the values of a node attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadOver {
    /// `node.labels.K` or `engine.labels.K`.
    pub spread_descriptor: String,
}

/// A preference as typed, `NAME=ARGUMENT`: `spread=node.labels.rack`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Preference {
    /// The plugin's claimed name.
    pub name: String,
    /// The rest, the plugin's own.
    pub argument: String,
}

/// A platform: what an image is built for and a node runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Platform {
    /// As the kernel or the image says it: `x86_64`, `amd64`, `wasm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// `linux`, `wasip2`.
    #[serde(rename = "OS", skip_serializing_if = "String::is_empty")]
    pub os: String,
}

// === impl Platform ===

impl Platform {
    /// Whether a node of platform `self` runs an image built for `image`: an
    /// empty field stands for anything, and the two spellings of the common
    /// architectures are one.
    pub fn runs(&self, image: &Platform) -> bool {
        let same = |a: &str, b: &str| a.is_empty() || b.is_empty() || a.eq_ignore_ascii_case(b);
        same(&self.os, &image.os) && same(normal(&self.architecture), normal(&image.architecture))
    }
}

fn normal(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
