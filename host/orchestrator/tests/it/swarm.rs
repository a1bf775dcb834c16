//! Swarm's update rules without WebAssembly, and a check of every call: what the
//! policy is told must follow from what it was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{Duration, TaskId, Time};
use swarmw_orchestrator::*;
use swarmw_state::TargetState;

/// The policies `pause`, `continue` and `rollback`, and those that a test adds.
#[derive(Default)]
pub struct Swarm {
    /// Calls since the last `begin`, this one included.
    pub calls: usize,
    /// Rollouts begun.
    pub begun: usize,
    /// Every task whose end was told.
    pub ended: Vec<EndedTask>,
    /// Cannot be called yet.
    pub compiling: bool,
    /// Fails each call with this.
    pub broken: Option<String>,
    /// Answers in the place of the rules, where it answers.
    pub script: Option<Script>,
    /// A later release that serves now.
    pub later: Option<Later>,
    /// The first release cannot be called any more.
    pub first_is_gone: bool,
    /// Calls of the later release, and attempts to take over.
    pub later_calls: usize,
    pub migrations: usize,
    /// What was told by the call of each number.
    told: BTreeMap<u64, Told>,
}

/// A release after the first one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// Takes over rollouts under way.
    pub adopts: bool,
    /// Knows what to make of the first one's bytes.
    pub migrates: bool,
}

/// Says what a policy of the test's own wants.
pub type Script = Box<dyn FnMut(&View) -> Vec<Action>>;

#[derive(Clone, Default)]
struct Told {
    states: Vec<TargetState>,
    ended: BTreeSet<TaskId>,
    now: Time,
}

/// What the rules remember.
#[derive(Default)]
struct Progress {
    failures: u32,
    rested: i64,
    resting: Vec<i64>,
}

impl UpdatePolicies for Swarm {
    fn component(&self, failure_action: &str) -> Option<Component> {
        let known = ["pause", "continue", "rollback", "script"].contains(&failure_action);
        let (digest, version) = if self.later.is_some() { ("e", "2") } else { ("d", "1") };
        known.then(|| Component {
            plugin: "test/swarm".into(),
            digest: digest.into(),
            version: version.into(),
            adopts: self.later.is_some_and(|later| later.adopts),
        })
    }

    fn has(&self, component: &str) -> bool {
        match component {
            "d" => !self.first_is_gone,
            _ => component == "e" && self.later.is_some(),
        }
    }

    fn migrate(
        &mut self,
        component: &str,
        writer: &str,
        state: &[u8],
    ) -> Result<Vec<u8>, UpdateFailure> {
        assert_eq!((component, writer), ("e", "1"));
        self.migrations += 1;
        let migrates = self.later.is_some_and(|later| later.migrates);
        let failure = || UpdateFailure::Broken {
            plugin: "test/swarm".into(),
            message: "does not go on from 1".into(),
        };
        migrates.then(|| state.to_vec()).ok_or_else(failure)
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
        self.begun += 1;
        self.calls = 0;
        self.told.clear();
        assert_eq!(view.seq, 1);
        assert_eq!(view.counts, Counts { outdated: rollout.total, ..Counts::default() });
        let states = vec![TargetState::Outdated; rollout.total as usize];
        self.told.insert(1, Told { states, ended: BTreeSet::new(), now: view.now });
        let rested = rollout.started_at.as_nanos();
        self.decide(rollout, Progress { rested, ..Progress::default() }, view)
    }

    fn step(
        &mut self,
        component: &str,
        rollout: &RolloutFacts,
        state: &[u8],
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        assert!(self.has(component), "{component} was called");
        self.later_calls += usize::from(component == "e");
        self.listen(view);
        self.decide(rollout, Progress::read(state), view)
    }
}

impl Swarm {
    /// Checks a view against the one before.
    fn listen(&mut self, view: &View) {
        let mut told = self.told.get(&(view.seq - 1)).expect("numbers rise by one").clone();
        assert!(view.now >= told.now, "the clock went back");
        told.now = view.now;
        for moved in &view.changed {
            let state = &mut told.states[moved.target as usize];
            assert_eq!(moved.was, *state, "a move from where the target was not");
            assert_ne!(moved.was, moved.now, "a move that is none");
            *state = moved.now;
        }
        for task in &view.ended {
            assert!(told.ended.insert(task.task), "the end of {} told twice", task.task);
            assert!(task.ran.is_none_or(|ran| ran <= task.ended), "ended before it ran");
        }
        self.ended.extend(view.ended.iter().cloned());
        let count = |state| told.states.iter().filter(|s| **s == state).count() as u32;
        let counts = Counts {
            outdated: count(TargetState::Outdated),
            replacing: count(TargetState::Replacing),
            running: count(TargetState::Running),
            down: count(TargetState::Down),
            gone: count(TargetState::Gone),
        };
        assert_eq!(view.counts, counts, "counts and moves disagree");
        self.told.insert(view.seq, told);
    }

    fn decide(
        &mut self,
        rollout: &RolloutFacts,
        mut progress: Progress,
        view: &View,
    ) -> Result<StepOutcome, UpdateFailure> {
        if self.compiling {
            return Err(UpdateFailure::NotYet { plugin: "test/swarm".into() });
        }
        self.calls += 1;
        if let Some(message) = &self.broken {
            let plugin = Arc::from("test/swarm");
            return Err(UpdateFailure::Broken { plugin, message: message.clone() });
        }
        let actions = match &mut self.script {
            Some(script) if rollout.policy.failure_action == "script" => script(view),
            _ => rules(rollout, &mut progress, view),
        };
        Ok(StepOutcome { state: progress.write(), actions })
    }
}

fn rules(rollout: &RolloutFacts, progress: &mut Progress, view: &View) -> Vec<Action> {
    let policy = &rollout.policy;
    let span = |ms: u64| Duration::from_millis(ms as i64);
    let (delay, monitor) = (span(policy.delay_ms), span(policy.monitor_ms));
    let monitor = if monitor <= delay { delay + Duration::from_secs(1) } else { monitor };
    for task in view.ended.iter().filter(|_| policy.failure_action != "continue") {
        let early = task.ran.is_none_or(|ran| task.ended.since(ran) <= monitor);
        if task.restarted || !early {
            continue;
        }
        progress.failures += 1;
        if f64::from(progress.failures) / f64::from(rollout.total) > policy.max_failure_ratio {
            return vec![failed(rollout, task.task)];
        }
    }
    for moved in &view.changed {
        if moved.was == TargetState::Replacing {
            let until = (moved.at + delay).as_nanos();
            progress.resting.push(until);
            progress.rested = progress.rested.max(until);
        }
    }
    progress.resting.retain(|until| *until > view.now.as_nanos());
    if view.counts.outdated == 0 {
        let watched = Time::from_nanos(progress.rested) + monitor;
        return match () {
            () if view.counts.replacing > 0 => Vec::new(),
            () if view.now >= watched => vec![Action::Complete],
            () => vec![Action::WakeAt(watched)],
        };
    }
    let total = u64::from(rollout.total);
    let workers = if policy.parallelism == 0 { total } else { policy.parallelism.min(total) };
    let busy = u64::from(view.counts.replacing) + progress.resting.len() as u64;
    let count = workers.saturating_sub(busy) as u32;
    let mut actions = Vec::new();
    if count > 0 {
        actions.push(Action::ReplaceNext { count, order: policy.order });
    }
    if let Some(first) = progress.resting.iter().min() {
        actions.push(Action::WakeAt(Time::from_nanos(*first)));
    }
    actions
}

fn failed(rollout: &RolloutFacts, task: TaskId) -> Action {
    let cause = format!("due to failure or early termination of task {task}");
    match rollout.policy.failure_action.as_str() {
        _ if rollout.rolling_back => Action::Pause(format!("rollback paused {cause}")),
        "rollback" => {
            Action::RollbackTo { version: None, reason: format!("update rolled back {cause}") }
        }
        _ => Action::Pause(format!("update paused {cause}")),
    }
}

impl Progress {
    fn write(&self) -> Vec<u8> {
        let head = [i64::from(self.failures), self.rested];
        head.iter().chain(&self.resting).flat_map(|n| n.to_le_bytes()).collect()
    }

    fn read(bytes: &[u8]) -> Self {
        let (numbers, odd) = bytes.as_chunks::<8>();
        assert!(odd.is_empty(), "the state came back damaged");
        let numbers: Vec<_> = numbers.iter().map(|n| i64::from_le_bytes(*n)).collect();
        Self { failures: numbers[0] as u32, rested: numbers[1], resting: numbers[2..].to_vec() }
    }
}
