//! What cases are played against.

use std::collections::BTreeMap;

use crate::raw::volume::{Node, Scope, Step};
use crate::raw::{constraint, preference, update};
use crate::{ColumnRef, Problem};

/// Options as an operator types them.
pub type Texts = BTreeMap<String, String>;

/// Distinct combinations of values, as texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The columns.
    pub reads: Vec<ColumnRef>,
    /// Row by row, one value per column.
    pub values: Vec<Vec<Option<String>>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The plugin refuses what the operator typed.
    Refused(Vec<Problem>),
    /// It trapped, took too long, or its answer breaks a rule.
    Broken(String),
}

/// The settings of a rollout as the host gets them.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyText {
    /// The name of the policy.
    pub name: String,
    /// The `--update-*` values.
    pub settings: crate::Settings,
    /// The plugin's own options.
    pub options: Texts,
}

/// A plugin that is asked: the code itself, or its component in a host. It answers
/// for its kind; what another kind is asked fails as broken.
#[allow(missing_docs, unused_variables)]
pub trait Subject {
    /// What is asked from here on belongs to this case: `FILE:LINE TITLE`.
    fn next_case(&mut self, case: &str) {}

    fn constraint(
        &mut self,
        expression: &str,
        options: &Texts,
    ) -> Result<constraint::Compiled, Failure> {
        Err(other("constraint"))
    }

    fn test(
        &mut self,
        expression: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<bool>, Failure> {
        Err(other("constraint"))
    }

    fn preference(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
    ) -> Result<preference::Compiled, Failure> {
        Err(other("preference"))
    }

    fn classify(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<preference::Class>, Failure> {
        Err(other("preference"))
    }

    fn allocate(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        ask: &preference::Questions,
    ) -> Result<preference::Allocation, Failure> {
        Err(other("preference"))
    }

    fn check(&mut self, policy: &PolicyText) -> Result<update::Needs, Failure> {
        Err(other("update policy"))
    }

    fn begin(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        targets: &[update::TargetInfo],
        view: &update::View,
    ) -> Result<update::Outcome, Failure> {
        Err(other("update policy"))
    }

    fn step(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        state: &[u8],
        view: &update::View,
    ) -> Result<update::Outcome, Failure> {
        Err(other("update policy"))
    }

    fn volume(&mut self, volume: &VolumeText) -> Result<Scope, Failure> {
        Err(other("volume driver"))
    }

    fn plan(
        &mut self,
        volume: &VolumeText,
        node: &Node,
        plan: PlanOf,
    ) -> Result<Vec<Step>, Failure> {
        Err(other("volume driver"))
    }
}

fn other(kind: &str) -> Failure {
    Failure::Broken(format!("it is no {kind}, which this case asks"))
}

/// Of a rollout that is played.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutFacts {
    /// The service.
    pub service_name: String,
    /// Targets.
    pub total: u32,
    /// Milliseconds since 1970.
    pub started_ms: u64,
}

/// A volume as an operator names it.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeText {
    /// As typed.
    pub driver: String,
    /// As typed.
    pub name: String,
    /// As typed.
    pub options: Texts,
}

/// Which plan of a volume driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanOf {
    /// `plan-create`.
    Create,
    /// `plan-mount`, for reading and writing.
    Mount,
    /// `plan-remove`.
    Remove,
}
