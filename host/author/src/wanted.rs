//! What a service asks of placement, and the flags that say it.

use std::collections::BTreeMap;
use std::fmt;

use swarmw_model::Preference;
use swarmw_sdk::testing::{CaseFile, What};

use crate::Built;
use crate::convert::policy_options;

/// What a service asks of placement.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `--constraint`.
    pub constraints: Vec<String>,
    /// `--placement-pref`.
    pub preferences: Vec<Preference>,
    /// `--policy-opt PLUGIN.OPTION`, to its text.
    pub options: BTreeMap<String, String>,
    /// Bytes that each task reserves.
    pub memory: i64,
}

/// The flags of commands that play a cluster.
#[derive(clap::Args, Clone, Debug)]
pub struct WantedFlags {
    /// A constraint of each service; otherwise the first that the cases name
    #[arg(long = "constraint", value_name = "EXPRESSION")]
    constraints: Vec<String>,
    /// A preference of each service; otherwise the first that the cases name
    #[arg(long = "placement-pref", value_name = "NAME=ARGUMENT", value_parser = preference)]
    preferences: Vec<Preference>,
    /// An option of a plugin
    #[arg(long = "policy-opt", value_name = "PLUGIN.OPTION=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// A label of the nodes: its values in turn, or, without values, another on each
    #[arg(long = "label", value_name = "KEY=VALUE,VALUE", value_parser = label)]
    pub labels: Vec<(String, Vec<String>)>,
}

impl WantedFlags {
    /// What the flags ask, or what the first case asks; `None` when neither asks
    /// anything.
    pub fn wanted(&self, built: &Built, files: &[CaseFile]) -> Option<Wanted> {
        let mut wanted = Wanted {
            constraints: self.constraints.clone(),
            preferences: self.preferences.clone(),
            options: self.options.iter().cloned().collect(),
            memory: 0,
        };
        if !wanted.constraints.is_empty() || !wanted.preferences.is_empty() {
            return Some(wanted);
        }
        for case in files.iter().flat_map(|file| &file.cases) {
            match &case.what {
                What::Constraint { expression } => wanted.constraints.push(expression.clone()),
                What::Preference { name, argument, .. } => {
                    let (name, argument) = (name.clone(), argument.clone());
                    wanted.preferences.push(Preference { name, argument });
                }
                _ => continue,
            }
            wanted.options.extend(policy_options(&built.inspected.name, &case.options));
            return Some(wanted);
        }
        None
    }
}

/// As flags of `service create`.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constraints = self.constraints.iter().map(|c| format!("--constraint '{c}'"));
        let preferences =
            self.preferences.iter().map(|p| format!("--placement-pref {}={}", p.name, p.argument));
        f.write_str(&constraints.chain(preferences).collect::<Vec<_>>().join(" "))
    }
}

/// `KEY=V1,V2`, or `KEY` alone.
fn label(text: &str) -> Result<(String, Vec<String>), String> {
    let (key, values) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("a label is KEY=VALUE,VALUE or, another on each node, KEY".to_owned());
    }
    let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned);
    Ok((key.to_owned(), values.collect()))
}

/// `NAME=ARGUMENT`.
fn preference(text: &str) -> Result<Preference, String> {
    let (name, argument) = text.split_once('=').ok_or("a preference is NAME=ARGUMENT")?;
    Ok(Preference { name: name.to_owned(), argument: argument.to_owned() })
}

/// `PLUGIN.OPTION=VALUE`.
fn option(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("an option is PLUGIN.OPTION=VALUE")?;
    Ok((path.to_owned(), value.to_owned()))
}
