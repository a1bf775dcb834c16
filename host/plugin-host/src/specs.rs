//! What a service's spec asks of plugins, checked when it is written.

use std::sync::Arc;

use swarmw_model::{
    DEFAULT_MONITOR, MountKind, PluginClaim, PluginKind, Problem, Refusal, RefusalKind,
    ServiceSpec, UpdateConfig, call_name,
};
use swarmw_orchestrator::{Order, Policy, UpdateFailure, UpdatePolicies as _};
use swarmw_scheduler::{Bins, Policies as _, PolicyFailure};

use crate::host::{PluginHost, Table};
use crate::loaded::Loaded;
use crate::placement::exist;
use crate::volumes::{NamedVolume, VolumeFailure};

impl PluginHost {
    /// Asks every plugin that the spec reaches whether it takes what is written.
    ///
    /// # Errors
    /// The first refusal: Swarm's message and status where Swarm refuses too, then
    /// the text typed with a caret under the fault.
    pub fn check_service(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        self.check_spec(spec, None)
    }

    /// As [`PluginHost::check_service`], of a service that has a spec: of what stays as it
    /// stands there a plugin that is disabled or broken need not be asked.
    ///
    /// # Errors
    /// As there.
    pub fn check_update(&self, spec: &ServiceSpec, before: &ServiceSpec) -> Result<(), Refusal> {
        self.check_spec(spec, Some(before))
    }

    fn check_spec(&self, spec: &ServiceSpec, before: Option<&ServiceSpec>) -> Result<(), Refusal> {
        // What is only typed must not count against those who run something.
        let now = self.trying();
        now.check_options(spec, before)?;
        // With other options the same text may mean something else.
        let stood = before.filter(|before| before.policy_options() == spec.policy_options());
        now.check_constraints(spec, stood)?;
        now.check_preferences(spec, stood)?;
        now.check_updates(spec, stood)?;
        now.check_volumes(spec, stood)?;
        now.check_options_used(spec, before)
    }

    fn check_constraints(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let options = spec.policy_options();
        let stood = before.map_or(&[][..], |before| before.task_template.constraints());
        for expression in spec.task_template.constraints() {
            match self.clone().constraint(expression, &options) {
                Ok(_) => {}
                Err(failure) if stood.contains(expression) && is_silent(&failure) => {}
                Err(PolicyFailure::Refused { plugin, problems }) => {
                    if let Some(told) = self.nearly_a_call(expression) {
                        return Err(Refusal::invalid(told));
                    }
                    let mut text = shown(&problems, expression);
                    match call_name(expression.trim()) {
                        Some(call) => text.push_str(&self.unclaimed(call)),
                        None if problems.iter().any(|p| p.code == UNKNOWN_KEY) => {
                            text.push_str(&self.others_claim(&plugin));
                        }
                        None => {}
                    }
                    return Err(if problems.first().is_some_and(swarm_says) {
                        Refusal::rpc(RefusalKind::Unknown, text)
                    } else {
                        Refusal::invalid(text)
                    });
                }
                Err(failure) => return Err(policy_refusal(failure)),
            }
        }
        Ok(())
    }

    /// What is missing where an expression begins as a call that a plugin claims.
    fn nearly_a_call(&self, expression: &str) -> Option<String> {
        let text = expression.trim();
        let (name, _) = text.split_once('(').filter(|_| call_name(text).is_none())?;
        let table = self.table();
        let claims = |l: &Arc<Loaded>| {
            l.claims().iter().any(|c| matches!(c, PluginClaim::Call(call) if call == name.trim()))
        };
        table.routes.constraints().iter().find(|l| claims(l))?;
        let call = name.trim();
        Some(match (name == call, text.ends_with(')')) {
            (false, _) => format!("the call {call}(…) has a blank before its `(`\n  {text}"),
            (true, false) => format!("the call {call}(…) lacks its `)` at the end\n  {text}"),
            (true, true) => return None,
        })
    }

    /// Of a call that was refused: that it is nobody's, if so, and which calls there are.
    fn unclaimed(&self, call: &str) -> String {
        let table = self.table();
        let mut calls = Vec::new();
        for loaded in table.routes.constraints() {
            for claim in loaded.claims() {
                match claim {
                    PluginClaim::Call(name) if name == call => return String::new(),
                    PluginClaim::Call(_) => calls.push(format!("{claim} ({})", loaded.name)),
                    _ => {}
                }
            }
        }
        calls.sort_unstable();
        let there = match calls.is_empty() {
            true => "no plugin of the cluster has calls, see `swarmw plugin ls`".to_owned(),
            false => format!("those claimed are {}", calls.join(", ")),
        };
        format!("\nno plugin claims the call {call}(…): {there}")
    }

    /// What the plugins besides this one claim, as a last line.
    fn others_claim(&self, plugin: &str) -> String {
        let table = self.table();
        let claims: Vec<String> = table
            .routes
            .constraints()
            .iter()
            .filter(|l| *l.name != *plugin)
            .map(|l| {
                let claims: Vec<String> = l.claims().iter().map(PluginClaim::to_string).collect();
                format!("{} ({})", claims.join(", "), l.name)
            })
            .collect();
        if claims.is_empty() {
            return String::new();
        }
        format!("\nother plugins take {}", claims.join("; "))
    }

    fn check_preferences(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let options = spec.policy_options();
        let preferences = spec.preferences();
        let stood = before.map(ServiceSpec::preferences).unwrap_or_default();
        for (at, preference) in preferences.iter().enumerate() {
            let compiled = self.clone().preference(preference, &options);
            match compiled {
                Ok(compiled) if compiled.bins == Bins::EachNode && at + 1 < preferences.len() => {
                    return Err(Refusal::invalid(format!(
                        "placement preference {} weighs single nodes, so it must be the last",
                        preference.name
                    )));
                }
                Ok(_) => {}
                Err(failure) if stood.contains(preference) && is_silent(&failure) => {}
                Err(PolicyFailure::Refused { problems, .. }) => {
                    let typed = format!("{}={}", preference.name, preference.argument);
                    let before = preference.name.len() as u32 + 1;
                    let moved = problems.into_iter().map(|p| moved(p, before)).collect::<Vec<_>>();
                    return Err(Refusal::invalid(shown(&moved, &typed)));
                }
                Err(failure) => return Err(policy_refusal(failure)),
            }
        }
        Ok(())
    }

    fn check_updates(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let stood = before.map_or([None, None], configs);
        for config in configs(spec).into_iter().flatten() {
            let policy = policy(spec, config);
            let action = &policy.failure_action;
            let table = self.table();
            if table.routes.name(PluginKind::UpdatePolicy, action).is_none() {
                return Err(Refusal::invalid(format!(
                    "unrecognized update failure action {action}: {}",
                    exist(&table.routes.names(PluginKind::UpdatePolicy))
                )));
            }
            match self.clone().check(&policy) {
                Ok(_) => {}
                Err(UpdateFailure::Refused { problems }) => {
                    return Err(Refusal::invalid(shown(&problems, action)));
                }
                Err(_) if stood.contains(&Some(config)) => {}
                Err(failure) => {
                    return Err(Refusal::plain(RefusalKind::Unavailable, failure.to_string()));
                }
            }
        }
        Ok(())
    }

    fn check_volumes(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let mounts = spec.container().into_iter().flat_map(|c| &c.mounts);
        let stood = |mount| {
            let mut mounts =
                before.and_then(ServiceSpec::container).into_iter().flat_map(|c| &c.mounts);
            mounts.any(|known| known == mount)
        };
        for mount in mounts.filter(|m| m.kind == MountKind::Volume) {
            let driver = mount.volume_options.as_ref().and_then(|o| o.driver_config.as_ref());
            let Some(driver) = driver.filter(|d| self.has_volume_driver(&d.name)) else {
                // The engine's own, which only the node can check.
                continue;
            };
            let volume = NamedVolume {
                driver: driver.name.clone(),
                name: mount.source.clone(),
                options: driver.options.clone(),
            };
            match self.volume_check(&volume) {
                Ok(_) => {}
                Err(VolumeFailure::Refused { problems, .. }) => {
                    return Err(Refusal::invalid(shown(&problems, &volume.driver)));
                }
                Err(_) if stood(mount) => {}
                Err(failure) => {
                    return Err(Refusal::plain(RefusalKind::Unavailable, failure.to_string()));
                }
            }
        }
        Ok(())
    }
}

/// How a spec is updated, and how rolled back.
fn configs(spec: &ServiceSpec) -> [Option<&UpdateConfig>; 2] {
    [spec.update_config.as_ref(), spec.rollback_config.as_ref()]
}

/// The plugins that a spec reaches, by name.
pub(crate) fn reached(table: &Table, spec: &ServiceSpec) -> Vec<Arc<Loaded>> {
    let mut used: Vec<Arc<Loaded>> = Vec::new();
    let constraints = spec.task_template.constraints().iter();
    used.extend(constraints.filter_map(|text| table.routes.constraint(text)).cloned());
    let mut named = |kind, name: &str| used.extend(table.routes.name(kind, name).cloned());
    for preference in spec.preferences() {
        named(PluginKind::Preference, &preference.name);
    }
    for config in configs(spec).into_iter().flatten() {
        named(PluginKind::UpdatePolicy, &policy(spec, config).failure_action);
    }
    for mount in spec.container().into_iter().flat_map(|c| &c.mounts) {
        let driver = mount.volume_options.as_ref().and_then(|o| o.driver_config.as_ref());
        driver.into_iter().for_each(|driver| named(PluginKind::VolumeDriver, &driver.name));
    }
    used.sort_by(|a, b| a.name.cmp(&b.name));
    used.dedup_by(|a, b| a.name == b.name);
    used
}

/// The code of a constraint whose key does not exist.
const UNKNOWN_KEY: &str = "unknown-key";

/// Whether Swarm refuses the constraint too, with these words; its status then is
/// 500, whoever says them.
fn swarm_says(problem: &Problem) -> bool {
    let message = problem.message.as_str();
    let of = |what: &str| message.starts_with(what) && message.ends_with("' is invalid");
    message == "constraint expected one operator from ==, !=" || of("key '") || of("value '")
}

fn policy_refusal(failure: PolicyFailure) -> Refusal {
    match is_silent(&failure) {
        true => Refusal::plain(RefusalKind::Unavailable, failure.to_string()),
        false => Refusal::invalid(failure.to_string()),
    }
}

/// Whether a plugin said nothing of what was asked.
fn is_silent(failure: &PolicyFailure) -> bool {
    match failure {
        PolicyFailure::Broken { .. }
        | PolicyFailure::NotCalled { .. }
        | PolicyFailure::NotYet { .. } => true,
        PolicyFailure::Unclaimed { .. } | PolicyFailure::Refused { .. } => false,
    }
}

/// A span in the argument as a span in the text around it.
fn moved(mut problem: Problem, by: u32) -> Problem {
    problem.at = problem.at.map(|(start, end)| (start.saturating_add(by), end.saturating_add(by)));
    problem
}

/// Messages, each with the text typed, a caret under the fault, and the hint.
fn shown(problems: &[Problem], typed: &str) -> String {
    let each: Vec<String> = problems.iter().map(|p| one_shown(p, typed)).collect();
    each.join("\n")
}

fn one_shown(problem: &Problem, typed: &str) -> String {
    let hint = problem.hint.as_deref().unwrap_or_default();
    let Some((start, end)) = problem.at else {
        let blank = if hint.is_empty() { "" } else { "\n  " };
        return format!("{}{blank}{hint}", problem.message);
    };
    // Control characters would break the line, and the caret's place with it.
    let line = |text: &str| text.replace(char::is_control, " ");
    let before = typed.get(..start as usize).unwrap_or_default();
    let fault = typed.get(start as usize..end as usize).unwrap_or_default();
    let carets = "^".repeat(fault.chars().count().max(1));
    let caret_line = format!("{}{carets} {hint}", " ".repeat(before.chars().count()));
    format!("{}\n  {}\n  {}", problem.message, line(typed), caret_line.trim_end())
}

/// The settings of a block, with Swarm's defaults for what it leaves out.
fn policy(spec: &ServiceSpec, config: &UpdateConfig) -> Policy {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let millis = |d: swarmw_model::Duration| d.as_millis().max(0).unsigned_abs();
    Policy {
        failure_action: or(&config.failure_action, "pause"),
        parallelism: config.parallelism,
        delay_ms: millis(config.delay),
        monitor_ms: if config.monitor == swarmw_model::Duration::ZERO {
            millis(DEFAULT_MONITOR)
        } else {
            millis(config.monitor)
        },
        max_failure_ratio: config.max_failure_ratio,
        order: match config.order.as_str() {
            "start-first" => Order::StartFirst,
            _ => Order::StopFirst,
        },
        options: spec.policy_options(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_fault() {
        let problem = |at, hint: Option<&str>| Problem {
            code: "x".into(),
            message: "no".into(),
            option: None,
            at,
            hint: hint.map(str::to_owned),
        };
        for (at, hint, want) in [
            (Some((1, 3)), Some("try ab"), "no\n  é=x\n   ^ try ab"),
            (Some((2, 3)), None, "no\n  é=x\n   ^"),
            (Some((9, 12)), None, "no\n  é=x\n  ^"),
            (None, Some("try ab"), "no\n  try ab"),
            (None, None, "no"),
        ] {
            let got = one_shown(&problem(at, hint), "é=x");
            if at == Some((1, 3)) {
                // Inside a letter: shown at the start rather than not at all.
                assert!(got.starts_with("no\n  é=x\n"), "{got}");
                continue;
            }
            assert_eq!(got, want);
        }
    }
}
