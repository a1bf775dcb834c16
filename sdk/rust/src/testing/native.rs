//! The plugin's own code as what cases are played against.

use std::marker::PhantomData;

use super::read::{options, tuples};
use super::subject::{Failure, PlanOf, PolicyText, RolloutFacts, Rows, Subject, Texts, VolumeText};
use crate::raw::update::{Needs, Outcome, Policy, Rollout, TargetInfo, View};
use crate::raw::volume::{Node, Scope, Step, Volume, VolumeError};
use crate::raw::{self, Plugin, constraint, preference};
use crate::{OptionEntry, OptionValue, Order};

/// A constraint.
pub struct Constraint<P>(PhantomData<P>);
/// A preference.
pub struct Preference<P>(PhantomData<P>);
/// An update policy.
pub struct UpdatePolicy<P>(PhantomData<P>);
/// A volume driver.
pub struct VolumeDriver<P>(PhantomData<P>);

macro_rules! new {
    ($($kind:ident),*) => { $(
        impl<P> Default for $kind<P> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }
    )* };
}
new!(Constraint, Preference, UpdatePolicy, VolumeDriver);

fn read<P: Plugin>(texts: &Texts) -> Result<raw::Options, Failure> {
    options(&P::describe(), texts).map_err(Failure::Refused)
}

impl<P: Plugin + raw::Constraint> Subject for Constraint<P> {
    fn constraint(
        &mut self,
        expression: &str,
        options: &Texts,
    ) -> Result<constraint::Compiled, Failure> {
        P::compile(expression, &read::<P>(options)?).map_err(Failure::Refused)
    }

    fn test(
        &mut self,
        expression: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<bool>, Failure> {
        Ok(P::test(expression, &read::<P>(options)?, &tuples(rows)))
    }
}

impl<P: Plugin + raw::Preference> Subject for Preference<P> {
    fn preference(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
    ) -> Result<preference::Compiled, Failure> {
        P::compile(name, argument, &read::<P>(options)?).map_err(Failure::Refused)
    }

    fn classify(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<preference::Class>, Failure> {
        Ok(P::classify(name, argument, &read::<P>(options)?, &tuples(rows)))
    }

    fn allocate(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        ask: &preference::Questions,
    ) -> Result<preference::Allocation, Failure> {
        Ok(P::allocate(name, argument, &read::<P>(options)?, ask))
    }
}

impl<P: Plugin + raw::UpdatePolicy> Subject for UpdatePolicy<P> {
    fn check(&mut self, policy: &PolicyText) -> Result<Needs, Failure> {
        P::check(&lower::<P>(policy)?).map_err(Failure::Refused)
    }

    fn begin(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<Outcome, Failure> {
        P::begin(&rollout::<P>(policy, facts)?, targets, view).map_err(Failure::Broken)
    }

    fn step(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<Outcome, Failure> {
        P::step(&rollout::<P>(policy, facts)?, state, view).map_err(Failure::Broken)
    }
}

fn rollout<P: Plugin>(policy: &PolicyText, facts: &RolloutFacts) -> Result<Rollout, Failure> {
    Ok(Rollout {
        service_id: "0123456789abcdefghijklmno".to_owned(),
        service_name: facts.service_name.clone(),
        policy: lower::<P>(policy)?,
        rolling_back: false,
        total: facts.total,
        started_ms: facts.started_ms,
    })
}

fn lower<P: Plugin>(policy: &PolicyText) -> Result<Policy, Failure> {
    let settings = &policy.settings;
    let integer = |n: u64| OptionValue::Integer(n as i64);
    let order = match settings.order {
        Order::StopFirst => "stop-first",
        Order::StartFirst => "start-first",
    };
    let settings = [
        ("delay", integer(settings.delay_ms)),
        ("max-failure-ratio", OptionValue::Number(settings.max_failure_ratio)),
        ("monitor", integer(settings.monitor_ms)),
        ("order", OptionValue::Text(order.to_owned())),
        ("parallelism", integer(settings.parallelism)),
    ];
    let entry = |(name, value): (&str, _)| OptionEntry { name: name.to_owned(), value };
    let own = read::<P>(&policy.options)?;
    Ok(Policy {
        failure_action: policy.name.clone(),
        settings: settings.map(entry).into(),
        options: own.iter().map(|(name, value)| entry((name, value.clone()))).collect(),
    })
}

impl<P: Plugin + raw::VolumeDriver> Subject for VolumeDriver<P> {
    fn volume(&mut self, volume: &VolumeText) -> Result<Scope, Failure> {
        P::check(&named::<P>(volume)?).map_err(Failure::Refused)
    }

    fn plan(
        &mut self,
        volume: &VolumeText,
        node: &Node,
        plan: PlanOf,
    ) -> Result<Vec<Step>, Failure> {
        let volume = named::<P>(volume)?;
        let planned = match plan {
            PlanOf::Create => P::plan_create(&volume, node),
            PlanOf::Mount => P::plan_mount(&volume, node, false),
            PlanOf::Remove => P::plan_remove(&volume, node),
        };
        planned.map_err(|error| match error {
            VolumeError::Invalid(problems) => Failure::Refused(problems),
            VolumeError::Unsupported => Failure::Broken("it cannot do this".to_owned()),
            VolumeError::Retry(ms) => Failure::Broken(format!("it asks to try again in {ms} ms")),
            VolumeError::Failed(text) => Failure::Broken(text),
        })
    }
}

fn named<P: Plugin>(volume: &VolumeText) -> Result<Volume, Failure> {
    let own = read::<P>(&volume.options)?;
    let entry = |(name, value): (&str, &OptionValue)| OptionEntry {
        name: name.to_owned(),
        value: value.clone(),
    };
    Ok(Volume {
        driver: volume.driver.clone(),
        name: volume.name.clone(),
        options: own.iter().map(entry).collect(),
    })
}
