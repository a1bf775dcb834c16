//! Flags that several commands share.

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
