//! A component in the real host, as what cases and laws are played against.

use std::time::{Duration, Instant};

use anyhow::Result;
use swarmw_model::{LineLevel, Preference};
use swarmw_orchestrator::UpdatePolicies as _;
use swarmw_plugin_host::volumes::{
    NamedVolume, Node as HostNode, Scope as HostScope, VolumeFailure,
};
use swarmw_plugin_host::{PluginHost, Tightest};
use swarmw_scheduler::Policies as _;
use swarmw_sdk::raw::update::{Needs, Outcome, TargetInfo, View};
use swarmw_sdk::raw::volume::{Node, Scope, Step};
use swarmw_sdk::raw::{constraint, preference};
use swarmw_sdk::testing::{
    Failure, PlanOf, PolicyText, RolloutFacts, Rows, Subject, Texts, VolumeText,
};

use crate::project::Project;
use crate::{Built, Workbench, convert, steps};

/// A component. Every answer is asked for anew: what the host remembers of the one
/// before is forgotten first.
pub struct Component<'a> {
    bench: &'a Workbench,
    project: &'a Project,
    built: &'a Built,
    host: PluginHost,
    digest: String,
    /// The longest that a call took, the host's part included, and what it was.
    pub slowest: (Duration, &'static str),
    /// Of the instances before this one, the call nearest to the end of its budget.
    tightest: Option<Tightest>,
    /// What the first call of each instance took, its making included, and the others.
    pub took: Took,
    /// What instances before this one logged as wrong.
    logged: Vec<String>,
    /// The last fault.
    fault: Option<String>,
}

/// What calls took.
#[derive(Default)]
pub struct Took {
    first: Vec<Duration>,
    later: Vec<Duration>,
    is_fresh: bool,
}

/// How the host begins what it says of a plugin that gave two answers to one question.
const QUARANTINED: &str = "is quarantined: ";
/// What an author does about such a plugin.
pub const IMPURE: &str = "an answer may depend on its arguments alone: look for a static, a \
    clock, a random number, or a HashMap whose order is used (a BTreeMap keeps one)";

/// What the host tells operators of a lie, for the author: the fix is in the code.
fn impure(text: &str) -> String {
    let lie = text.split_once(QUARANTINED).map_or(text, |(_, lie)| lie);
    let lie = lie.split(';').next().unwrap_or(lie);
    format!("{lie}; {IMPURE}")
}

/// What is kept of a component's log: the first lines, where the cause is.
const LOGGED_MAX: usize = 20;

impl<'a> Component<'a> {
    /// The component that was built.
    pub fn new(bench: &'a Workbench, project: &'a Project, built: &'a Built) -> Result<Self> {
        Ok(Self {
            bench,
            project,
            built,
            host: bench.host_alone(project, built)?,
            digest: crate::workbench::digest_of(&built.bytes),
            slowest: (Duration::ZERO, "none"),
            tightest: None,
            took: Took { is_fresh: true, ..Took::default() },
            logged: Vec::new(),
            fault: None,
        })
    }

    /// From here on a fresh instance answers.
    pub fn refresh(&mut self) -> Result<()> {
        self.logged = self.logged();
        self.tightest = self.tightest();
        self.host = self.bench.host_alone(self.project, self.built)?;
        self.took.is_fresh = true;
        Ok(())
    }

    /// The call that came nearest to the end of its budget.
    pub fn tightest(&self) -> Option<Tightest> {
        let both = [self.tightest, self.host.tightest(self.name())];
        both.into_iter().flatten().max_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// What it logged as wrong so far, in its own words and the host's.
    pub fn logged(&self) -> Vec<String> {
        let mut logged = self.logged.clone();
        for line in self.host.lines(self.name(), 0) {
            // What goes wrong each time is told once.
            let is_news = !logged.contains(&line.text) && !line.text.contains(QUARANTINED);
            if line.level >= LineLevel::Warn && is_news {
                logged.push(line.text);
            }
        }
        logged.truncate(LOGGED_MAX);
        logged
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.built.inspected.name
    }

    fn options(&self, texts: &Texts) -> swarmw_scheduler::RawOptions {
        convert::policy_options(self.name(), texts)
    }

    /// Makes one call, with nothing remembered.
    fn call<T>(&mut self, what: &'static str, call: impl FnOnce(&mut PluginHost) -> T) -> T {
        let started = Instant::now();
        let answer = call(&mut self.host);
        let took = started.elapsed();
        self.took.add(took);
        if took > self.slowest.0 {
            self.slowest = (took, what);
        }
        answer
    }

    /// An answer as the cases and laws take it. A fault must not count against what is
    /// asked next, so a fresh instance answers that; and it is told to the author, not to
    /// an operator.
    fn settled<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let lie = match &answer {
            Err(Failure::Broken(text)) if text.contains(QUARANTINED) => Some(impure(text)),
            _ => None,
        };
        let used = self.host.used(self.name()).filter(|used| used.breaker.faults > 0);
        // An update policy that fails is asked again, and may not fail then.
        let fault = used.and_then(|used| used.last_fault);
        let fault = lie.clone().or(fault.map(|fault| format!("{} {}", fault.call, fault.message)));
        if fault.is_some() {
            self.fault = fault;
            self.refresh().map_err(|error| Failure::Broken(format!("{error:#}")))?;
        }
        match lie {
            Some(lie) => Err(Failure::Broken(lie)),
            None => answer,
        }
    }

    /// Asks, and tells a fault from what the plugin says by itself: that it cannot do
    /// something is an answer.
    pub fn asked<T>(
        &mut self,
        ask: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Result<T, Failure>, Failure> {
        self.fault = None;
        let answer = ask(self);
        self.fault.take().map_or(Ok(answer), |fault| Err(Failure::Broken(fault)))
    }

    fn compiled(
        &mut self,
        expression: &str,
        options: &Texts,
    ) -> Result<std::sync::Arc<swarmw_scheduler::Constraint>, Failure> {
        let options = self.options(options);
        self.host.forget_answers();
        let answer = self.call("compile", |host| host.constraint(expression, &options));
        self.settled(answer.map_err(convert::placement_failure))
    }

    fn preferred(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
    ) -> Result<std::sync::Arc<swarmw_scheduler::CompiledPreference>, Failure> {
        let options = self.options(options);
        let wanted = Preference { name: name.to_owned(), argument: argument.to_owned() };
        self.host.forget_answers();
        let answer = self.call("compile", |host| host.preference(&wanted, &options));
        self.settled(answer.map_err(convert::placement_failure))
    }
}

impl Subject for Component<'_> {
    fn constraint(
        &mut self,
        expression: &str,
        options: &Texts,
    ) -> Result<constraint::Compiled, Failure> {
        let compiled = self.compiled(expression, options)?;
        Ok(constraint::Compiled {
            plan: convert::plan(&compiled.plan),
            reads: convert::reads(&compiled.reads),
            reason: compiled.reason.to_string(),
        })
    }

    fn test(
        &mut self,
        expression: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<bool>, Failure> {
        let compiled = self.compiled(expression, options)?;
        let tuples = convert::tuples(rows, &compiled.reads);
        let answer = self.call("test", |host| host.test(&compiled, &tuples));
        self.settled(answer.map_err(convert::placement_failure))
    }

    fn preference(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
    ) -> Result<preference::Compiled, Failure> {
        let compiled = self.preferred(name, argument, options)?;
        Ok(preference::Compiled {
            bins: convert::bins(&compiled.bins),
            reads: convert::reads(&compiled.reads),
            loads: compiled.loads.clone(),
        })
    }

    fn classify(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<preference::Class>, Failure> {
        let compiled = self.preferred(name, argument, options)?;
        let tuples = convert::tuples(rows, &compiled.reads);
        let answer = self.call("classify", |host| host.classify(&compiled, &tuples));
        let classes = self.settled(answer.map_err(convert::placement_failure))?;
        let class =
            |c: swarmw_scheduler::Class| preference::Class { label: c.label, weight: c.weight };
        Ok(classes.into_iter().map(class).collect())
    }

    fn allocate(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        ask: &preference::Questions,
    ) -> Result<preference::Allocation, Failure> {
        let compiled = self.preferred(name, argument, options)?;
        let ask = convert::questions(ask);
        let answer = self.call("allocate", |host| host.allocate(&compiled, &ask));
        self.settled(answer.map(convert::allocation).map_err(convert::placement_failure))
    }

    fn check(&mut self, policy: &PolicyText) -> Result<Needs, Failure> {
        let policy = convert::policy(self.name(), policy);
        let answer = self
            .call("check", |host| host.check(&policy))
            .map(|needs| Needs { targets: needs.targets, group_by: needs.group_by });
        self.settled(answer.map_err(convert::update_failure))
    }

    fn begin(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<Outcome, Failure> {
        let facts = convert::rollout(self.name(), policy, facts);
        let (targets, view) = (convert::targets(targets), convert::view(view));
        let digest = self.digest.clone();
        let answer = self.call("begin", |host| host.begin(&digest, &facts, &targets, &view));
        self.settled(answer.map(convert::outcome).map_err(convert::update_failure))
    }

    fn step(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<Outcome, Failure> {
        let facts = convert::rollout(self.name(), policy, facts);
        let view = convert::view(view);
        let digest = self.digest.clone();
        let answer = self.call("step", |host| host.step(&digest, &facts, state, &view));
        self.settled(answer.map(convert::outcome).map_err(convert::update_failure))
    }

    fn volume(&mut self, volume: &VolumeText) -> Result<Scope, Failure> {
        let volume = named(volume);
        let answer = self.call("check", |host| host.volume_check(&volume));
        let answer = answer.map(|scope| match scope {
            HostScope::Local => Scope::Local,
            HostScope::Cluster => Scope::Cluster,
        });
        self.settled(answer.map_err(volume_failure))
    }

    fn plan(
        &mut self,
        volume: &VolumeText,
        node: &Node,
        plan: PlanOf,
    ) -> Result<Vec<Step>, Failure> {
        let volume = named(volume);
        let node = HostNode { hostname: node.hostname.clone(), engine: node.engine };
        let planned = self.call("plan", |host| match plan {
            PlanOf::Create => host.volume_plan_create(&volume, &node),
            PlanOf::Mount => host.volume_plan_mount(&volume, &node, false),
            PlanOf::Remove => host.volume_plan_remove(&volume, &node),
        });
        self.settled(planned.map(steps::steps).map_err(volume_failure))
    }
}

// === impl Took ===

impl Took {
    fn add(&mut self, took: Duration) {
        let to = if std::mem::take(&mut self.is_fresh) { &mut self.first } else { &mut self.later };
        to.push(took);
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.first.len() + self.later.len()
    }

    /// Medians: of the calls that were an instance's first, and of the others.
    pub fn medians(&self) -> (Duration, Duration) {
        (median(&self.first), median(&self.later))
    }
}

/// The middle one; zero of none.
fn median(all: &[Duration]) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn named(volume: &VolumeText) -> NamedVolume {
    NamedVolume {
        driver: volume.driver.clone(),
        name: volume.name.clone(),
        options: volume.options.clone(),
    }
}

fn volume_failure(failure: VolumeFailure) -> Failure {
    match failure {
        VolumeFailure::Refused { problems, .. } => Failure::Refused(convert::problems(problems)),
        other => Failure::Broken(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_is_told_to_the_author_and_not_to_an_operator() {
        let told = impure(
            "plugin me/a is quarantined: its test answered one question in two ways; upgrade \
             it, or enable it again",
        );
        assert_eq!(told, format!("its test answered one question in two ways; {IMPURE}"));
    }
}
