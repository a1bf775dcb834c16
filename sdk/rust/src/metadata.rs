//! Builders for what a plugin says of itself.

use crate::raw::{Claim, Grant, GrantRequest, Metadata, OptionSpec, OptionType};

/// The start of a plugin's description: `publisher/name`, its semver, one line.
pub fn metadata(name: &str, version: &str, summary: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        claims: Vec::new(),
        options: Vec::new(),
        grants: Vec::new(),
    }
}

/// An option that may be left out: its name, one line of help, its type.
pub fn option(name: &str, help: &str, ty: OptionType) -> OptionSpec {
    OptionSpec { name: name.to_owned(), help: help.to_owned(), ty, required: false, default: None }
}

impl Metadata {
    /// Adds a claim.
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }

    /// Adds an option.
    pub fn option(mut self, option: OptionSpec) -> Self {
        self.options.push(option);
        self
    }

    /// Asks for a power, and says why.
    pub fn grant(mut self, request: GrantRequest, reason: &str) -> Self {
        self.grants.push(Grant { request, reason: reason.to_owned() });
        self
    }
}

impl OptionSpec {
    /// The operator must give it.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What it is when the operator does not give it, as an operator would type it.
    pub fn default(mut self, text: &str) -> Self {
        self.default = Some(text.to_owned());
        self
    }
}
