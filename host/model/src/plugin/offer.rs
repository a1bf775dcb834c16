//! What operators do with components, beside what they say of powers.

use super::Consent;
use crate::PluginId;

/// How a component is offered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginOffer {
    /// The plugin that it must be another version of; `None` for a new one, and for
    /// one in shadow, which finds its plugin by its name.
    pub upgrades: Option<PluginId>,
    /// It is to run beside the present version, not in its place.
    pub shadow: bool,
    /// It takes over the updates that its plugin drives, not the next ones alone.
    pub adopt: bool,
    /// It may be as large as components can be at all.
    pub large: bool,
    /// What the operator said of its powers.
    pub consent: Consent,
    /// Where it came from, when that was a registry: a reference with its digest.
    pub source: Option<String>,
    /// Whose signature on it was checked.
    pub signer: Option<String>,
}

/// What is done with a plugin that is there, where the operator may say of its powers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginAct {
    /// Its candidate takes its place.
    Promote,
    /// It is enabled, and may take what services use.
    Enable,
    /// It gets other powers.
    Grant,
}
