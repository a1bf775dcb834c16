//! Flags that several commands share.

use crate::docker_config;
use crate::failure::Failure;
use crate::filter::filter;
use crate::parse::boolean;

/// Flags of lists.
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct ListFlags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    pub(crate) filter: Vec<(String, String)>,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Only display IDs
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) quiet: bool,
}

// === impl ListFlags ===

impl ListFlags {
    /// The format that was given, or is configured under `key` for whole lists.
    pub(crate) fn format(&self, key: &str) -> Result<Option<String>, Failure> {
        match self.quiet {
            true => Ok(self.format.clone()),
            false => docker_config::format(self.format.as_deref(), key),
        }
    }
}

/// Flags of `inspect`.
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InspectFlags {
    /// Format output using a custom template: json, or a Go template
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Print the information in a human friendly format
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) pretty: bool,
}

// === impl InspectFlags ===

impl InspectFlags {
    /// Whether it is to be read by people; a format may say so too.
    pub(crate) fn is_pretty(&self) -> bool {
        self.pretty || self.format.as_deref() == Some("pretty")
    }

    /// Only one of the two may be said.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.pretty && self.format.as_deref().is_some_and(|format| !format.is_empty()) {
            true => Err(Failure::new("--format is incompatible with human friendly format")),
            false => Ok(()),
        }
    }
}
