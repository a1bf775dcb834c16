//! Placement by `node.labels.KEY==VALUE`, and an update policy that replaces one by one.

use std::sync::Arc;

use swarmw_model::Preference;
use swarmw_orchestrator::{
    Action, Component, Needs, Order, Policy, RolloutFacts, StepOutcome, TargetInfo, UpdateFailure,
    UpdatePolicies, View,
};
use swarmw_scheduler::{
    Allocation, Class, ColumnRef, ColumnType, CompiledPreference, Constraint, Plan, Policies,
    PolicyFailure, Questions, RawOptions, Tuples,
};

pub struct Places;

fn nobody<T>(what: &str) -> Result<T, PolicyFailure> {
    Err(PolicyFailure::Unclaimed { message: format!("no plugin claims {what}") })
}

impl Policies for Places {
    fn generation(&self) -> u64 {
        1
    }

    fn constraint(
        &mut self,
        expression: &str,
        _: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        let Some((key, _)) = expression.split_once("==") else { return nobody(expression) };
        Ok(Arc::new(Constraint {
            id: expression.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte)),
            plugin: expression.into(),
            plan: Plan::Ask,
            reads: vec![ColumnRef { name: key.to_owned(), read_as: ColumnType::Text }],
            reason: "scheduling constraints not satisfied".into(),
        }))
    }

    fn test(
        &mut self,
        constraint: &Constraint,
        batch: &Tuples,
    ) -> Result<Vec<bool>, PolicyFailure> {
        let wanted = constraint.plugin.split_once("==").map(|(_, value)| value);
        Ok(batch.columns[0].values.iter().map(|text| text.as_deref() == wanted).collect())
    }

    fn preference(
        &mut self,
        preference: &Preference,
        _: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        nobody(&preference.name)
    }

    fn classify(
        &mut self,
        preference: &CompiledPreference,
        _: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure> {
        nobody(&preference.preference.name)
    }

    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        _: &Questions,
    ) -> Result<Allocation, PolicyFailure> {
        nobody(&preference.preference.name)
    }
}

/// Replaces one, waits for the delay, and replaces the next; or stops at once.
#[derive(Default)]
pub struct OneByOne {
    pub pauses: bool,
}

impl OneByOne {
    fn next(&self, rollout: &RolloutFacts, view: &View) -> StepOutcome {
        let counts = view.counts;
        let actions = if self.pauses {
            vec![Action::Pause("not on a Friday".to_owned())]
        } else if counts.replacing > 0 || counts.down > 0 {
            Vec::new()
        } else if counts.outdated == 0 {
            vec![Action::Complete]
        } else {
            let done = i64::from(rollout.total - counts.outdated);
            let delay = i64::try_from(rollout.policy.delay_ms).expect("short") * 1_000_000 * done;
            let at = rollout.started_at + swarmw_model::Duration::from_nanos(delay);
            match view.now < at {
                true => vec![Action::WakeAt(at)],
                false => vec![Action::ReplaceNext { count: 1, order: Order::StopFirst }],
            }
        };
        StepOutcome { state: Vec::new(), actions }
    }
}

impl UpdatePolicies for OneByOne {
    fn component(&self, _: &str) -> Option<Component> {
        Some(Component {
            plugin: "test/one-by-one".into(),
            digest: "d".into(),
            version: "1".into(),
            adopts: false,
        })
    }

    fn check(&mut self, _: &Policy) -> Result<Needs, UpdateFailure> {
        Ok(Needs::default())
    }

    fn begin(
        &mut self,
        _: &str,
        rollout: &RolloutFacts,
        _: &[TargetInfo],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        Ok(self.next(rollout, view))
    }

    fn has(&self, _: &str) -> bool {
        true
    }

    fn migrate(&mut self, _: &str, _: &str, state: &[u8]) -> Result<Vec<u8>, UpdateFailure> {
        Ok(state.to_vec())
    }

    fn step(
        &mut self,
        _: &str,
        rollout: &RolloutFacts,
        _: &[u8],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        Ok(self.next(rollout, view))
    }
}
