//! Plugins: components that decide placement, updates and volumes.

mod consent;
mod consent_error;
mod grant;
mod metadata;
mod offer;
mod report;
mod routing;
mod usage;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use consent::{Asked, Before, Consent, Powers};
pub use consent_error::ConsentError;
pub use grant::{GrantRequest, InvalidGrant, PluginGrant};
pub use metadata::*;
pub use offer::{PluginAct, PluginOffer};
pub use report::*;
pub use routing::{Routing, answers_to, call_name};
pub use usage::*;

use crate::{PluginId, Time, Version};

/// The interface that plugins of the first release were built for.
const FIRST_INTERFACE: &str = "0.1";

/// A plugin that the cluster has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plugin {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: PluginId,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// `publisher/name`, unique; built-ins are `swarmw/…`.
    pub name: String,
    /// What it decides.
    pub kind: PluginKind,
    /// Whether it came with the binary.
    #[serde(default)]
    pub built_in: bool,
    /// Whether it is called, and why not.
    #[serde(default)]
    pub status: PluginStatus,
    /// The release that serves.
    #[serde(flatten)]
    pub release: PluginRelease,
    /// A release beside the one that serves: it waits for consent, or runs in the
    /// shadow of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<PluginCandidate>,
}

/// One version of a plugin: all that an upgrade replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginRelease {
    /// The component's bytes, by content.
    pub blob: Blob,
    /// What it says of itself.
    pub metadata: PluginMetadata,
    /// The version of our interface that it was built for, such as `0.1`.
    #[serde(default = "first_interface")]
    pub interface: String,
    /// The powers it has: what the operator approved of those it asks for.
    #[serde(default)]
    pub granted: Vec<GrantRequest>,
    /// Where it came from, when that was a registry: a reference with its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whose signature on it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Whether an update policy takes over the updates that an earlier release drives,
    /// by its `migrate`; otherwise those end as they began.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopt: bool,
}

/// A release that does not serve yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginCandidate {
    /// What it waits for.
    pub state: CandidateState,
    /// Since when.
    pub since: Time,
    /// The release.
    pub release: PluginRelease,
}

/// What a candidate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateState {
    /// The operator's consent to powers that the present release has not.
    Consent,
    /// Promotion: it runs beside the present release, and differences are told.
    Shadow,
}

/// Whether a plugin is called, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginStatus {
    /// Whether it is called.
    pub state: PluginState,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When its breaker opened last, unless it was enabled or upgraded since. What is only
    /// set aside is known to the manager that asked, see [`PluginUse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<PluginTrouble>,
    /// Index of the write that last enabled it: what it did wrong before is
    /// forgiven.
    #[serde(default)]
    pub enabled: u64,
}

/// Whether a plugin is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It is.
    #[default]
    Enabled,
    /// Not: the operator's wish.
    Disabled,
    /// Not: it was caught lying.
    Quarantined,
}

/// What went wrong so often that a plugin is not called for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginTrouble {
    /// When the breaker opened.
    pub at: Time,
    /// The last fault: which call, and what it did.
    pub message: String,
}

/// What a plugin decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// `--constraint`.
    Constraint,
    /// `--placement-pref`.
    Preference,
    /// `--update-failure-action`.
    UpdatePolicy,
    /// `volume-driver=`.
    VolumeDriver,
}

/// Content-addressed bytes that a majority of managers holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// What is said of a plugin that serves as soon as it is compiled, after its name.
pub const NOT_YET: &str = "is still being compiled on this node: try again soon";

// === impl Plugin ===

impl Plugin {
    /// An enabled plugin that nobody has dated yet.
    pub fn new(id: PluginId, name: String, kind: PluginKind, release: PluginRelease) -> Self {
        Self {
            id,
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            name,
            kind,
            built_in: false,
            status: PluginStatus::default(),
            release,
            candidate: None,
        }
    }

    /// The plugin as it would be with its candidate in place.
    pub fn with_candidate(&self) -> Option<Self> {
        let release = self.candidate.as_ref()?.release.clone();
        Some(Self { release, candidate: None, ..self.clone() })
    }
}

// === impl PluginRelease ===

impl PluginRelease {
    /// A release of the first interface, from a file, without powers.
    pub fn new(blob: Blob, metadata: PluginMetadata) -> Self {
        let interface = first_interface();
        Self {
            blob,
            metadata,
            interface,
            granted: Vec::new(),
            source: None,
            signer: None,
            adopt: false,
        }
    }
}

// The shape that serde asks for.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

fn first_interface() -> String {
    FIRST_INTERFACE.to_owned()
}

// === impl PluginState ===

impl PluginState {
    /// The word users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl PluginKind ===

impl PluginKind {
    /// The word users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Preference => "preference",
            Self::UpdatePolicy => "update-policy",
            Self::VolumeDriver => "volume-driver",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
