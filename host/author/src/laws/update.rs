//! The laws of update policies.

use anyhow::Result;
use swarmw_sdk::raw::update::{Needs, Outcome, TargetInfo, View};
use swarmw_sdk::testing::{
    CaseFile, Failure, PolicyText, RolloutFacts, Script, Subject, What, play_rollout,
};

use super::{Law, fault};
use crate::random::Random;
use crate::subject::Component;

/// Replicas of the rollout that must not take long.
const LARGE: u32 = 10_000;

pub fn laws(
    files: &[CaseFile],
    random: &mut Random,
    component: &mut Component<'_>,
) -> Result<Vec<Law>> {
    let mut repeated = Repeated {
        component,
        again: Law::new("the same answer twice"),
        fresh: Law::new("the same answer of a fresh instance"),
        garbage: Law::new("bytes of something else are an error, not fatal"),
        steps: 0,
        random,
    };
    let mut ends = Law::new("a rollout where all goes well ends");
    let mut large = Law::new("a rollout of 10,000 replicas ends in time");
    for (policy, replicas, script) in rollouts(files) {
        // What becomes of it is for the cases to say.
        let _ = play_rollout(&policy, "web", replicas, &script, &mut repeated);
    }
    for (policy, replicas, script) in rollouts(files) {
        let well = Script { tasks: Vec::new(), answers: script.answers.clone() };
        let end = play_rollout(&policy, "web", replicas, &well, repeated.component);
        match &end {
            Ok(end) => ends.ask(end.outcome != "did not end", || {
                format!("{}: {} after {} s", policy.name, end.message, end.at_ms / 1_000)
            }),
            Err(_) => {
                if let Some(fault) = fault(&end) {
                    ends.ask(false, || format!("{}: {fault}", policy.name));
                }
            }
        }
    }
    if let Some((policy, _, script)) = rollouts(files).into_iter().next() {
        let mut policy = policy;
        policy.settings.parallelism = u64::from(LARGE / 10);
        let well = Script { tasks: Vec::new(), answers: script.answers };
        let end = play_rollout(&policy, "web", LARGE, &well, repeated.component);
        // What it refuses is for the cases to say.
        if !matches!(end, Err(Failure::Refused(_))) {
            large.ask(end.is_ok(), || {
                format!("{}: {}", policy.name, fault(&end).unwrap_or_default())
            });
        }
    }
    Ok(vec![repeated.again, repeated.fresh, repeated.garbage, ends, large])
}

fn rollouts(files: &[CaseFile]) -> Vec<(PolicyText, u32, Script)> {
    let mut all = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        if let What::Update { name, replicas, settings, script } = &case.what {
            let policy = PolicyText {
                name: name.clone(),
                settings: settings.clone(),
                options: case.options.clone(),
            };
            all.push((policy, *replicas, script.clone()));
        }
    }
    all
}

/// Steps that are looked at with another instance: each costs a new host.
const FRESH_EVERY: u64 = 8;

/// Asks everything twice.
struct Repeated<'a, 'b> {
    component: &'a mut Component<'b>,
    again: Law,
    fresh: Law,
    garbage: Law,
    steps: u64,
    random: &'a mut Random,
}

impl Repeated<'_, '_> {
    /// States that no version of the plugin wrote.
    fn spoil(&mut self, policy: &PolicyText, facts: &RolloutFacts, state: &[u8], view: &View) {
        let random = &mut *self.random;
        let cut = state[..random.below(state.len() + 1)].to_vec();
        let longer = [state, &[255; 9]].concat();
        let mut flipped = state.to_vec();
        if let Some(byte) = flipped.get_mut(random.below(state.len())) {
            *byte ^= 1 << random.below(8);
        }
        for bytes in [cut, longer, flipped] {
            // An error that the policy gives is no fault, and comes with its own words.
            let answer = self.component.asked(|own| own.step(policy, facts, &bytes, view));
            self.garbage.ask(answer.is_ok(), || {
                let fault = fault(&answer).unwrap_or_default();
                format!("{bytes:?} in place of {state:?}: {fault}")
            });
        }
    }
}

impl Subject for Repeated<'_, '_> {
    fn begin(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<Outcome, Failure> {
        let first = self.component.asked(|own| own.begin(policy, facts, targets, view));
        let second = self.component.asked(|own| own.begin(policy, facts, targets, view));
        self.again.same("begin", &first, &second, || format!("{first:?}, then {second:?}"));
        first.and_then(|answer| answer)
    }

    fn step(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<Outcome, Failure> {
        self.steps += 1;
        let first = self.component.asked(|own| own.step(policy, facts, state, view));
        let second = self.component.asked(|own| own.step(policy, facts, state, view));
        self.again.same("step", &first, &second, || format!("{first:?}, then {second:?}"));
        if self.steps % FRESH_EVERY == 1 {
            self.component.refresh().map_err(|error| Failure::Broken(error.to_string()))?;
            let other = self.component.asked(|own| own.step(policy, facts, state, view));
            self.fresh.same("step", &first, &other, || format!("{first:?}, then {other:?}"));
        }
        self.spoil(policy, facts, state, view);
        first.and_then(|answer| answer)
    }

    fn check(&mut self, policy: &PolicyText) -> Result<Needs, Failure> {
        let first = self.component.asked(|own| own.check(policy));
        let second = self.component.asked(|own| own.check(policy));
        self.again.same("check", &first, &second, || format!("{first:?}, then {second:?}"));
        first.and_then(|answer| answer)
    }
}
