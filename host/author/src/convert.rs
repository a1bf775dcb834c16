//! Between the words of the SDK, which cases use, and those of the host.

use std::sync::Arc;

use swarmw_model::{Problem, TaskId, Time};
use swarmw_orchestrator as host;
use swarmw_scheduler as placement;
use swarmw_sdk::raw::update as wit;
use swarmw_sdk::raw::{constraint, preference};
use swarmw_sdk::testing::{Failure, PolicyText, RolloutFacts, Rows, Texts};
use swarmw_sdk::{ColumnRef, ColumnType, problem};

pub fn placement_failure(failure: placement::PolicyFailure) -> Failure {
    match failure {
        placement::PolicyFailure::Refused { problems: said, .. } => {
            Failure::Refused(problems(said))
        }
        other => Failure::Broken(other.to_string()),
    }
}

pub fn update_failure(failure: host::UpdateFailure) -> Failure {
    match failure {
        host::UpdateFailure::Refused { problems: said } => Failure::Refused(problems(said)),
        other => Failure::Broken(other.to_string()),
    }
}

pub fn problems(said: Vec<Problem>) -> Vec<swarmw_sdk::Problem> {
    let one = |said: Problem| swarmw_sdk::Problem {
        option_name: said.option,
        at: said.at.map(|(start, end)| swarmw_sdk::raw::Span { start, end }),
        hint: said.hint,
        ..problem(&said.code, said.message)
    };
    said.into_iter().map(one).collect()
}

/// The options of a plugin as `--policy-opt` has them.
pub fn policy_options(plugin: &str, texts: &Texts) -> placement::RawOptions {
    texts.iter().map(|(name, text)| (format!("{plugin}.{name}"), text.clone())).collect()
}

// === placement ===

pub fn plan(plan: &placement::Plan) -> constraint::Plan {
    let wanted = |m: &placement::Match| constraint::Match {
        column: m.column.clone(),
        values: m.values.clone(),
    };
    match plan {
        placement::Plan::Always => constraint::Plan::Always,
        placement::Plan::Never => constraint::Plan::Never,
        placement::Plan::Equals(m) => constraint::Plan::Equals(wanted(m)),
        placement::Plan::NotEquals(m) => constraint::Plan::NotEquals(wanted(m)),
        placement::Plan::Ask => constraint::Plan::Ask,
    }
}

pub fn reads(reads: &[placement::ColumnRef]) -> Vec<ColumnRef> {
    let read = |read: &placement::ColumnRef| ColumnRef {
        name: read.name.clone(),
        read_as: match read.read_as {
            placement::ColumnType::Text => ColumnType::Text,
            placement::ColumnType::Integer => ColumnType::Integer,
            placement::ColumnType::Number => ColumnType::Number,
            placement::ColumnType::Version => ColumnType::Version,
            placement::ColumnType::Ip => ColumnType::Ip,
        },
    };
    reads.iter().map(read).collect()
}

pub fn bins(bins: &placement::Bins) -> preference::Bins {
    match bins {
        placement::Bins::ByColumn(column) => preference::Bins::ByColumn(column.clone()),
        placement::Bins::ByClass => preference::Bins::ByClass,
        placement::Bins::EachNode => preference::Bins::EachNode,
    }
}

/// Rows as the scheduler asks them.
pub fn tuples(rows: &Rows, reads: &[placement::ColumnRef]) -> placement::Tuples {
    let column = |(at, read): (usize, &placement::ColumnRef)| placement::TupleColumn {
        read_as: read.read_as,
        values: rows.values.iter().map(|row| row.get(at)?.as_deref().map(Arc::from)).collect(),
    };
    placement::Tuples {
        rows: rows.values.len(),
        columns: reads.iter().enumerate().map(column).collect(),
    }
}

pub fn questions(q: &preference::Questions) -> placement::Questions {
    placement::Questions {
        first: q.first.clone(),
        tasks: q.tasks.clone(),
        cpu: q.cpu.clone(),
        memory: q.memory.clone(),
        priority: q.priority.clone(),
        room: q.room.clone(),
        service_tasks: q.service_tasks.clone(),
        total_tasks: q.total_tasks.clone(),
        failures: q.failures.clone(),
        weight: q.weight.clone(),
        extra: q.extra.clone(),
    }
}

pub fn allocation(answer: placement::Allocation) -> preference::Allocation {
    let refusal = |(bin, reason)| preference::Refusal { bin, reason };
    preference::Allocation {
        counts: answer.counts,
        refusals: answer.refusals.into_iter().map(refusal).collect(),
    }
}

// === updates ===

fn time(ms: u64) -> Time {
    Time::from_nanos(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

pub fn policy(plugin: &str, text: &PolicyText) -> host::Policy {
    let settings = &text.settings;
    host::Policy {
        failure_action: text.name.clone(),
        parallelism: settings.parallelism,
        delay_ms: settings.delay_ms,
        monitor_ms: settings.monitor_ms,
        max_failure_ratio: settings.max_failure_ratio,
        order: match settings.order {
            wit::Order::StopFirst => host::Order::StopFirst,
            wit::Order::StartFirst => host::Order::StartFirst,
        },
        options: policy_options(plugin, &text.options),
    }
}

pub fn rollout(plugin: &str, text: &PolicyText, facts: &RolloutFacts) -> host::RolloutFacts {
    host::RolloutFacts {
        service_id: "0123456789abcdefghijklmno".to_owned(),
        service_name: facts.service_name.clone(),
        policy: policy(plugin, text),
        rolling_back: false,
        total: facts.total,
        started_at: time(facts.started_ms),
    }
}

pub fn targets(targets: &[wit::TargetInfo]) -> Vec<host::TargetInfo> {
    let target = |t: &wit::TargetInfo| host::TargetInfo {
        id: t.id.clone(),
        name: t.name.clone(),
        node: t.node.clone(),
        group: t.group.clone(),
    };
    targets.iter().map(target).collect()
}

pub fn view(view: &wit::View) -> host::View {
    let state = |state: wit::TargetState| match state {
        wit::TargetState::Outdated => swarmw_state::TargetState::Outdated,
        wit::TargetState::Replacing => swarmw_state::TargetState::Replacing,
        wit::TargetState::Running => swarmw_state::TargetState::Running,
        wit::TargetState::Down => swarmw_state::TargetState::Down,
        wit::TargetState::Gone => swarmw_state::TargetState::Gone,
    };
    host::View {
        seq: view.seq,
        now: time(view.now_ms),
        counts: host::Counts {
            outdated: view.counts.outdated,
            replacing: view.counts.replacing,
            running: view.counts.running,
            down: view.counts.down,
            gone: view.counts.gone,
        },
        changed: view
            .changed
            .iter()
            .map(|c| host::Move {
                target: c.target,
                was: state(c.was),
                now: state(c.now),
                at: time(c.at_ms),
            })
            .collect(),
        ended: view
            .ended
            .iter()
            .map(|task| host::EndedTask {
                target: task.target,
                task: TaskId::from_bits(u128::from(task.ended_ms) << 32 | u128::from(task.target)),
                restarted: task.restarted,
                ordered: task.ordered,
                ran: task.ran_ms.map(time),
                ended: time(task.ended_ms),
                exit_code: task.exit_code,
            })
            .collect(),
        answers: view
            .answers
            .iter()
            .map(|a| host::Answer { id: a.id.clone(), at: time(a.at_ms), value: a.value.clone() })
            .collect(),
    }
}

pub fn outcome(outcome: host::StepOutcome) -> wit::Outcome {
    wit::Outcome {
        state: outcome.state,
        actions: outcome.actions.into_iter().map(action).collect(),
    }
}

fn action(action: host::Action) -> wit::Action {
    let order = |order| match order {
        host::Order::StopFirst => wit::Order::StopFirst,
        host::Order::StartFirst => wit::Order::StartFirst,
    };
    match action {
        host::Action::Replace { targets, order: o } => {
            wit::Action::Replace(wit::ReplaceCall { targets, order: order(o) })
        }
        host::Action::ReplaceNext { count, order: o } => {
            wit::Action::ReplaceNext(wit::ReplaceNextCall { count, order: order(o) })
        }
        host::Action::WakeAt(at) => wit::Action::WakeAt(at.as_millis()),
        host::Action::Observe { id, url, pointer, timeout_ms } => {
            wit::Action::Observe(wit::Query { id, url, pointer, timeout_ms })
        }
        host::Action::Report(text) => wit::Action::Report(text),
        host::Action::Pause(text) => wit::Action::Pause(text),
        host::Action::RollbackTo { version, reason } => {
            wit::Action::RollbackTo(wit::RollbackCall { version, reason })
        }
        host::Action::Complete => wit::Action::Complete,
    }
}
