//! What every plugin of a kind must keep, whatever it decides: the host relies on
//! it, and a cluster that sees it broken stops calling the plugin.

mod constraint;
mod hostile;
mod preference;
mod update;
mod volume;

use anyhow::Result;
use swarmw_model::PluginKind;
use swarmw_sdk::testing::{CaseFile, Failure};

use crate::random::Random;
use crate::subject::Component;

/// A law, and how it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Law {
    /// In a few words.
    pub name: &'static str,
    /// Questions asked for it.
    pub asked: usize,
    /// The first that broke it.
    pub broken: Option<String>,
}

impl Law {
    fn new(name: &'static str) -> Self {
        Self { name, asked: 0, broken: None }
    }

    /// One more question; the first that breaks the law is kept.
    fn ask(&mut self, kept: bool, told: impl FnOnce() -> String) {
        self.asked += 1;
        if !kept && self.broken.is_none() {
            self.broken = Some(told());
        }
    }
}

/// Plays the laws of a kind with the expressions of the author's cases, and with
/// hostile ones.
pub fn play(
    kind: PluginKind,
    files: &[CaseFile],
    random: &mut Random,
    component: &mut Component<'_>,
) -> Result<Vec<Law>> {
    match kind {
        PluginKind::Constraint => constraint::laws(files, random, component),
        PluginKind::Preference => preference::laws(files, random, component),
        PluginKind::UpdatePolicy => update::laws(files, random, component),
        PluginKind::VolumeDriver => volume::laws(files, component),
    }
}

/// What an answer that is none says.
fn told<T>(answer: &Result<T, Failure>) -> Option<String> {
    match answer {
        Err(Failure::Broken(text)) => Some(text.clone()),
        _ => None,
    }
}
