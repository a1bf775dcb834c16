//! Swarm's update semantics through the component, on a simulated host. The rules
//! themselves are specified beside the plugin; here: that they arrive whole.

use swarmw_model::{Duration, RefusalKind, ServiceSpec, TaskId, Time, UpdateConfig};
use swarmw_orchestrator::{
    Action, Counts, EndedTask, Move, Order, Policy, RolloutFacts, StepOutcome, UpdatePolicies, View,
};
use swarmw_plugin_host::PluginHost;
use swarmw_state::TargetState;

use crate::support::{host, host_with};

const START: Time = Time::from_nanos(1_700_000_000_000_000_000);

struct Simulation {
    host: PluginHost,
    component: String,
    facts: RolloutFacts,
    targets: Vec<TargetState>,
    view: View,
    state: Vec<u8>,
    actions: Vec<Action>,
}

fn policy(action: &str) -> Policy {
    Policy {
        failure_action: action.into(),
        parallelism: 1,
        monitor_ms: 5_000,
        ..Default::default()
    }
}

fn facts(policy: Policy, total: u32) -> RolloutFacts {
    RolloutFacts {
        service_id: "s".into(),
        service_name: "web".into(),
        policy,
        rolling_back: false,
        total,
        started_at: START,
    }
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(n)
}

impl Simulation {
    fn begin(facts: RolloutFacts) -> Self {
        let host = host();
        let component = host.component(&facts.policy.failure_action).expect("a policy");
        let mut simulation = Self {
            component: component.digest.to_string(),
            targets: vec![TargetState::Outdated; facts.total as usize],
            view: View { now: START, ..Default::default() },
            host,
            facts,
            state: vec![],
            actions: vec![],
        };
        simulation.call();
        simulation
    }

    fn moves(&mut self, target: usize, now: TargetState) {
        let was = std::mem::replace(&mut self.targets[target], now);
        self.view.changed.push(Move { target: target as u32, was, now, at: self.view.now });
    }

    fn runs(&mut self, target: usize) {
        self.moves(target, TargetState::Running);
        self.call();
    }

    fn fails(&mut self, target: usize) {
        self.moves(target, TargetState::Down);
        self.view.ended.push(EndedTask {
            target: target as u32,
            task: TaskId::from_bits(target as u128),
            restarted: false,
            ordered: false,
            ran: None,
            ended: self.view.now,
            exit_code: Some(1),
        });
        self.call();
    }

    fn after(&mut self, span: Duration) {
        self.view.now = self.view.now + span;
        self.call();
    }

    fn call(&mut self) {
        self.view.seq += 1;
        let count = |state| self.targets.iter().filter(|t| **t == state).count() as u32;
        self.view.counts = Counts {
            outdated: count(TargetState::Outdated),
            replacing: count(TargetState::Replacing),
            running: count(TargetState::Running),
            down: count(TargetState::Down),
            gone: count(TargetState::Gone),
        };
        let StepOutcome { state, actions } = if self.view.seq == 1 {
            self.host.begin(&self.component, &self.facts, &[], &self.view)
        } else {
            self.host.step(&self.component, &self.facts, &self.state, &self.view)
        }
        .expect("an outcome");
        self.view.changed.clear();
        self.view.ended.clear();
        self.state = state;
        for action in &actions {
            if let Action::ReplaceNext { count, .. } = action {
                for _ in 0..*count {
                    let next = self.targets.iter().position(|t| *t == TargetState::Outdated);
                    let next = next.expect("no more than are outdated");
                    self.targets[next] = TargetState::Replacing;
                }
            }
        }
        self.actions = actions;
    }

    fn replacing(&self) -> usize {
        self.targets.iter().filter(|t| **t == TargetState::Replacing).count()
    }
}

#[test]
fn a_rollout_goes_through_with_parallelism_delay_and_monitor() {
    let policy = Policy {
        parallelism: 2,
        delay_ms: 10_000,
        monitor_ms: 15_000,
        order: Order::StartFirst,
        ..policy("pause")
    };
    let mut rollout = Simulation::begin(facts(policy, 3));
    assert_eq!(rollout.actions, [Action::ReplaceNext { count: 2, order: Order::StartFirst }]);
    rollout.runs(0);
    assert_eq!(rollout.actions, [Action::WakeAt(START + seconds(10))]);
    rollout.after(seconds(10));
    assert_eq!(rollout.replacing(), 2);
    rollout.runs(1);
    rollout.runs(2);
    assert_eq!(rollout.actions, [Action::WakeAt(START + seconds(10 + 10 + 15))]);
    rollout.after(seconds(24));
    assert_eq!(rollout.actions, [Action::WakeAt(START + seconds(35))]);
    rollout.after(seconds(1));
    assert_eq!(rollout.actions, [Action::Complete]);
}

#[test]
fn each_failure_action_does_as_its_name_says() {
    let task = TaskId::from_bits(0).to_string();
    let mut paused = Simulation::begin(facts(policy("pause"), 2));
    paused.fails(0);
    let text = format!("update paused due to failure or early termination of task {task}");
    assert_eq!(paused.actions, [Action::Pause(text)]);

    let mut back = Simulation::begin(facts(policy("rollback"), 2));
    back.fails(0);
    let reason = format!("update rolled back due to failure or early termination of task {task}");
    assert_eq!(back.actions, [Action::RollbackTo { version: None, reason }]);

    let mut on = Simulation::begin(facts(policy("continue"), 2));
    on.fails(0);
    assert_eq!(on.actions[0], Action::ReplaceNext { count: 1, order: Order::StopFirst });

    let rolling_back = RolloutFacts { rolling_back: true, ..facts(policy("rollback"), 2) };
    let mut stuck = Simulation::begin(rolling_back);
    stuck.fails(0);
    let text = format!("rollback paused due to failure or early termination of task {task}");
    assert_eq!(stuck.actions, [Action::Pause(text)]);
}

#[test]
fn the_ratio_bears_what_it_says() {
    let half = Policy { max_failure_ratio: 0.5, parallelism: 0, ..policy("pause") };
    let mut rollout = Simulation::begin(facts(half, 4));
    rollout.fails(0);
    rollout.fails(1);
    assert!(!matches!(rollout.actions[..], [Action::Pause(_)]));
    rollout.fails(2);
    assert!(matches!(rollout.actions[..], [Action::Pause(_)]));
}

#[test]
fn outcomes_beyond_a_bound_fail_after_one_retry() {
    for (name, want) in [
        ("fat", "begin left a state of 65537 bytes; at most 65536"),
        ("many", "begin asked for 1001 actions; at most 1000"),
        ("beyond", "begin asked to replace target 3 of 3"),
        ("ungranted", "begin has no grant to observe http://10.0.0.1/"),
        ("giving-up", "no idea how to go on"),
    ] {
        let mut host = host_with(&["reckless"]);
        let component = host.component(name).expect(name);
        let view = View { seq: 1, now: START, ..Default::default() };
        let failure =
            host.begin(&component.digest, &facts(policy(name), 3), &[], &view).expect_err(name);
        assert_eq!(failure.to_string(), format!("update policy test/reckless: {want}"));
        assert_eq!(host.calls(), 2, "{name} was tried once more");
    }
}

#[test]
fn addresses_that_operators_mistype_stop_no_other_rollout() {
    let mut host = host_with(&["reckless"]);
    let component = host.component("ungranted").expect("there");
    let view = View { seq: 1, now: START, ..Default::default() };
    for service in ["a", "b", "c", "d", "d", "d"] {
        let of_service =
            RolloutFacts { service_id: service.into(), ..facts(policy("ungranted"), 3) };
        let failure = host.begin(&component.digest, &of_service, &[], &view).expect_err(service);
        let want = "update policy test/reckless: begin has no grant to observe http://10.0.0.1/";
        assert_eq!(failure.to_string(), want, "{service}");
    }
}

#[test]
fn a_rollout_that_is_set_aside_goes_on_when_its_settings_are_mended() {
    let mut host = host_with(&["reckless"]);
    let component = host.component("fat").expect("there");
    let view = View { seq: 1, now: START, ..Default::default() };
    let mut begin = |policy: Policy| {
        let facts = facts(policy, 3);
        let failure = host.begin(&component.digest, &facts, &[], &view).expect_err("too fat");
        failure.to_string()
    };
    let fat = || policy("fat");
    for _ in 0..2 {
        begin(fat());
    }
    assert!(begin(fat()).contains("failed 3 times at this"), "it is set aside");
    let mended = Policy { parallelism: 7, ..fat() };
    assert!(begin(mended).contains("left a state of 65537 bytes"), "it is asked");
}

#[test]
fn a_rollout_keeps_the_component_it_began_with() {
    let mut host = host_with(&["reckless"]);
    let component = host.component("giving-up").expect("there");
    host.set_plugins(vec![]);
    assert_eq!(host.component("giving-up"), None);
    let view = View { seq: 1, now: START, ..Default::default() };
    let policy = facts(policy("giving-up"), 1);
    let failure = host.begin(&component.digest, &policy, &[], &view).expect_err("an error");
    assert_eq!(failure.to_string(), "update policy test/reckless: no idea how to go on");
    let gone = host.begin("sha256:00", &policy, &[], &view).expect_err("an error");
    assert!(gone.to_string().contains("is not in the cluster any more"), "{gone}");
}

#[test]
fn an_unknown_failure_action_is_refused_with_those_that_exist() {
    let spec = ServiceSpec {
        update_config: Some(UpdateConfig {
            failure_action: "explode".into(),
            ..UpdateConfig::swarm_default()
        }),
        ..Default::default()
    };
    let refusal = host().check_service(&spec).expect_err("refused");
    assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
    assert_eq!(
        refusal.to_string(),
        "unrecognized update failure action explode: continue, pause and rollback exist"
    );
}
