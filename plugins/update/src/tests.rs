//! The specification, on a simulated host.

use super::*;
use swarmw_sdk::raw::update::{Action, Change, Counts, EndedTask, Order, TargetState};
use swarmw_sdk::raw::{OptionEntry, OptionValue};

/// A host that knows the states of targets and carries out what it is told.
struct Host {
    rollout: Rollout,
    targets: Vec<TargetState>,
    changed: Vec<Change>,
    ended: Vec<EndedTask>,
    state: Vec<u8>,
    seq: u64,
    now: u64,
    /// What the last call asked for besides replacements.
    last: Vec<Action>,
    /// Targets ordered by the last call.
    ordered: u32,
}

const START: u64 = 1_000_000;

fn policy(action: &str, settings: &[(&str, OptionValue)]) -> Policy {
    Policy {
        failure_action: action.into(),
        settings: settings
            .iter()
            .map(|(name, value)| OptionEntry { name: (*name).into(), value: value.clone() })
            .collect(),
        options: Vec::new(),
    }
}

fn int(value: i64) -> OptionValue {
    OptionValue::Integer(value)
}

impl Host {
    /// Begins a rollout over `total` targets.
    fn begin(action: &str, settings: &[(&str, OptionValue)], total: u32) -> Self {
        Self::begin_as(action, settings, total, false)
    }

    fn begin_as(
        action: &str,
        settings: &[(&str, OptionValue)],
        total: u32,
        rolling_back: bool,
    ) -> Self {
        let mut host = Self {
            rollout: Rollout {
                service_id: "s".into(),
                service_name: "web".into(),
                policy: policy(action, settings),
                rolling_back,
                total,
                started_ms: START,
            },
            targets: vec![TargetState::Outdated; total as usize],
            changed: Vec::new(),
            ended: Vec::new(),
            state: Vec::new(),
            seq: 0,
            now: START,
            last: Vec::new(),
            ordered: 0,
        };
        host.call();
        host
    }

    fn moves(&mut self, target: usize, now: TargetState) {
        let was = std::mem::replace(&mut self.targets[target], now);
        self.changed.push(Change { target: target as u32, was, now, at_ms: self.now });
    }

    /// The target's new task runs.
    fn runs(&mut self, target: usize) -> &mut Self {
        self.moves(target, TargetState::Running);
        self.call()
    }

    /// The target's new task ends; `ran` is how long it had run, if it had.
    fn ends(&mut self, target: usize, ran: Option<u64>, restarted: bool) -> &mut Self {
        self.moves(target, TargetState::Down);
        self.ended.push(EndedTask {
            target: target as u32,
            task_id: format!("t{target}"),
            restarted,
            ordered: false,
            ran_ms: ran.map(|ran| self.now - ran),
            ended_ms: self.now,
            exit_code: Some(0),
        });
        self.call()
    }

    fn after(&mut self, ms: u64) -> &mut Self {
        self.now += ms;
        self.call()
    }

    fn call(&mut self) -> &mut Self {
        self.seq += 1;
        let count = |state| self.targets.iter().filter(|t| **t == state).count() as u32;
        let view = View {
            seq: self.seq,
            now_ms: self.now,
            counts: Counts {
                outdated: count(TargetState::Outdated),
                replacing: count(TargetState::Replacing),
                running: count(TargetState::Running),
                down: count(TargetState::Down),
                gone: count(TargetState::Gone),
            },
            changed: std::mem::take(&mut self.changed),
            ended: std::mem::take(&mut self.ended),
            answers: Vec::new(),
        };
        let outcome = if self.seq == 1 {
            SwarmUpdate::begin(&self.rollout, &[], &view)
        } else {
            SwarmUpdate::step(&self.rollout, &self.state, &view)
        }
        .expect("an outcome");
        self.state = outcome.state;
        self.last = outcome.actions;
        self.ordered = 0;
        for action in self.last.clone() {
            let Action::ReplaceNext(next) = action else {
                continue;
            };
            for _ in 0..next.count {
                let at = self.targets.iter().position(|t| *t == TargetState::Outdated);
                let Some(at) = at else { break };
                self.moves(at, TargetState::Replacing);
                self.ordered += 1;
            }
        }
        self
    }

    fn wakes_after(&self) -> Option<u64> {
        self.last.iter().find_map(|a| match a {
            Action::WakeAt(at) => Some(at - self.now),
            _ => None,
        })
    }
}

#[test]
fn one_at_a_time_is_the_default() {
    let mut host = Host::begin("pause", &[], 3);
    assert_eq!(host.ordered, 1);
    assert_eq!(host.after(60_000).ordered, 0, "waits without limit");
    assert_eq!(host.runs(0).ordered, 1);
    assert_eq!(host.runs(1).ordered, 1);
}

#[test]
fn parallelism_zero_takes_all_at_once() {
    let host = Host::begin("pause", &[("parallelism", int(0))], 7);
    assert_eq!(host.ordered, 7);
}

#[test]
fn each_worker_rests_for_itself() {
    let settings = [("parallelism", int(2)), ("delay", int(10_000))];
    let mut host = Host::begin("pause", &settings, 5);
    assert_eq!(host.ordered, 2);
    host.now += 1_000;
    assert_eq!(host.runs(0).ordered, 0);
    assert_eq!(host.wakes_after(), Some(10_000));
    host.now += 4_000;
    assert_eq!(host.runs(1).ordered, 0);
    assert_eq!(host.wakes_after(), Some(6_000));
    assert_eq!(host.after(6_000).ordered, 1, "the first worker is up, the second rests");
    assert_eq!(host.wakes_after(), Some(4_000));
    assert_eq!(host.after(4_000).ordered, 1);
}

#[test]
fn completes_a_monitor_period_after_the_last_rest() {
    let settings = [("delay", int(2_000)), ("monitor", int(7_000))];
    let mut host = Host::begin("pause", &settings, 1);
    host.now += 500;
    host.runs(0);
    assert_eq!(host.wakes_after(), Some(9_000), "the delay runs after the last target too");
    assert_eq!(host.after(8_999).wakes_after(), Some(1));
    assert_eq!(host.after(1).last, [Action::Complete]);
}

#[test]
fn a_monitor_no_longer_than_the_delay_is_the_delay_and_a_second() {
    let settings = [("delay", int(10_000)), ("monitor", int(10_000))];
    let mut host = Host::begin("pause", &settings, 1);
    host.runs(0);
    assert_eq!(host.wakes_after(), Some(10_000 + 11_000));
}

#[test]
fn any_failure_pauses_by_default() {
    let mut host = Host::begin("pause", &[], 3);
    let text = "update paused due to failure or early termination of task t0";
    assert_eq!(host.ends(0, None, false).last, [Action::Pause(text.into())]);
}

#[test]
fn an_early_end_is_a_failure_even_with_exit_code_0() {
    let mut host = Host::begin("pause", &[], 2);
    host.runs(0);
    host.now += 5_000;
    assert!(matches!(host.ends(0, Some(5_000), false).last[..], [Action::Pause(_)]));
}

#[test]
fn a_late_end_and_the_end_of_a_restart_are_no_failures() {
    let mut host = Host::begin("pause", &[], 2);
    host.runs(0);
    host.now += 5_001;
    assert!(!matches!(host.ends(0, Some(5_001), false).last[..], [Action::Pause(_)]));
    assert!(!matches!(host.ends(0, None, true).last[..], [Action::Pause(_)]));
}

#[test]
fn the_ratio_is_over_the_targets_at_the_start_and_strict() {
    let settings = [("parallelism", int(0)), ("max-failure-ratio", OptionValue::Number(0.5))];
    let mut host = Host::begin("pause", &settings, 4);
    assert!(!matches!(host.ends(0, None, false).last[..], [Action::Pause(_)]));
    assert!(!matches!(host.ends(1, None, false).last[..], [Action::Pause(_)]), "2 of 4 is 0.5");
    assert!(matches!(host.ends(2, None, false).last[..], [Action::Pause(_)]));
}

#[test]
fn a_failed_task_frees_its_worker() {
    let settings = [("max-failure-ratio", OptionValue::Number(1.0))];
    let mut host = Host::begin("pause", &settings, 2);
    assert_eq!(host.ends(0, None, false).ordered, 1);
}

#[test]
fn a_target_that_leaves_frees_its_worker() {
    let mut host = Host::begin("pause", &[], 2);
    host.moves(0, TargetState::Gone);
    assert_eq!(host.call().ordered, 1);
}

#[test]
fn continue_does_not_look_at_failures() {
    let mut host = Host::begin("continue", &[], 2);
    assert_eq!(host.ends(0, None, false).ordered, 1);
    host.ends(1, None, false);
    assert_eq!(host.after(5_000).last, [Action::Complete]);
}

#[test]
fn rollback_goes_back_once() {
    let mut host = Host::begin("rollback", &[], 2);
    let Action::RollbackTo(call) = &host.ends(0, None, false).last[0] else {
        panic!("a rollback");
    };
    assert_eq!(call.version, None);
    let text = "update rolled back due to failure or early termination of task t0";
    assert_eq!(call.reason, text);

    let mut host = Host::begin_as("rollback", &[], 2, true);
    let text = "rollback paused due to failure or early termination of task t0";
    assert_eq!(host.ends(0, None, false).last, [Action::Pause(text.into())]);
}

#[test]
fn failures_count_while_the_last_are_watched() {
    let mut host = Host::begin("rollback", &[], 1);
    host.runs(0);
    host.now += 3_000;
    assert!(matches!(host.ends(0, Some(3_000), false).last[..], [Action::RollbackTo(_)]));
}

#[test]
fn the_order_is_passed_on() {
    let settings = [("order", OptionValue::Text("start-first".into()))];
    let host = Host::begin("pause", &settings, 1);
    let Action::ReplaceNext(next) = &host.last[0] else {
        panic!("a replacement");
    };
    assert_eq!(next.order, Order::StartFirst);
}

#[test]
fn ten_thousand_workers_at_rest_fit_in_the_state() {
    let settings = [("parallelism", int(0)), ("delay", int(60_000))];
    let mut host = Host::begin("pause", &settings, 10_000);
    for target in 0..10_000 {
        host.now += 1;
        host.moves(target, TargetState::Running);
    }
    host.call();
    assert!(host.state.len() <= 64 << 10, "{}", host.state.len());
    let progress = Progress::read(&host.state).expect("a state");
    assert_eq!(progress.resting(), 10_000);
}

#[test]
fn a_damaged_state_is_an_error() {
    for state in [&[][..], &[9], &[1, 0], &[1; 14]] {
        assert!(Progress::read(state).is_err(), "{state:?}");
    }
}

#[test]
fn unknown_names_are_refused() {
    let problems = SwarmUpdate::check(&policy("explode", &[])).expect_err("refused");
    assert_eq!(problems[0].message, "unrecognized update failure action explode");
}
