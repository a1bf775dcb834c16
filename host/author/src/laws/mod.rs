//! What every plugin of a kind must keep, whatever it decides: the host relies on
//! it, and a cluster that sees it broken stops calling the plugin.

mod constraint;
mod hostile;
mod preference;
mod rows;
mod update;
mod volume;

use anyhow::Result;
use swarmw_model::PluginKind;
use swarmw_sdk::testing::{CaseFile, Failure};

use crate::random::Random;
use crate::subject::{Component, IMPURE};

/// A law, and how it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Law {
    /// In a few words.
    pub name: &'static str,
    /// Questions asked for it.
    pub asked: usize,
    /// The first that broke it.
    pub broken: Option<String>,
    /// Why there was no question, where there was none.
    pub unasked: &'static str,
}

impl Law {
    fn new(name: &'static str) -> Self {
        Self { name, asked: 0, broken: None, unasked: "no case asks for it" }
    }

    /// With why there may be no question.
    fn unless(self, unasked: &'static str) -> Self {
        Self { unasked, ..self }
    }

    /// One question asked twice: both times there must be an answer, and it the same.
    fn same<T: PartialEq>(
        &mut self,
        asked: &str,
        first: &Result<T, Failure>,
        second: &Result<T, Failure>,
        difference: impl FnOnce() -> String,
    ) {
        match fault(first).or_else(|| fault(second)) {
            Some(fault) => self.ask(false, || format!("{asked}: {fault}")),
            None => {
                self.ask(first == second, || format!("{asked}: {}\n{IMPURE}", difference()));
            }
        }
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
fn fault<T>(answer: &Result<T, Failure>) -> Option<String> {
    match answer {
        Err(Failure::Broken(text)) => Some(text.clone()),
        _ => None,
    }
}
