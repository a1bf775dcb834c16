//! A rollout on a simulated cluster: time jumps from one thing that happens to the
//! next.

use std::collections::BTreeMap;

use super::{Failure, PolicyText, RolloutFacts, Subject};
use crate::raw::update::{
    Action, Answer, Change, Counts, EndedTask, Query, TargetInfo, TargetState, View,
};

/// From a target's order until its new task runs.
pub const START_MS: u64 = 1_000;
/// From the end of a task until the one that replaces it runs.
pub const RESTART_MS: u64 = 5_000;
/// From a query until its answer.
pub const ANSWER_MS: u64 = 100;
/// A rollout that goes on longer, or with more calls, does not end.
const LONGEST_MS: u64 = 24 * 3_600_000;
/// See [`LONGEST_MS`].
const CALLS_MAX: u64 = 20_000;
/// When rollouts begin: 2023-11-14.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// What happens in a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Later lines win.
    pub tasks: Vec<TaskScript>,
    /// From when on, which query, what it is told; later ones win.
    pub answers: Vec<(u64, String, Result<f64, String>)>,
}

/// What becomes of the new tasks of a target, or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskScript {
    /// None: all of them.
    pub target: Option<u32>,
    /// What becomes of them.
    pub fate: Fate,
}

/// What becomes of a new task.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fate {
    /// It runs.
    #[default]
    Runs,
    /// It ends so long after it first ran.
    Fails {
        /// Milliseconds.
        after_ms: u64,
        /// Its exit code.
        exit_code: i32,
    },
    /// It never runs.
    Hangs,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// `completed`, `paused`, `rolled-back`, or why it did not end.
    pub outcome: String,
    /// The status message.
    pub message: String,
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// What was done, in order: milliseconds after the start, and the words.
    pub story: Vec<Told>,
    /// When each order went out, and how many targets were ordered by then.
    pub ordered: Vec<(u64, u32)>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// Such as `replaces 2`.
    pub what: String,
}

/// What is going to happen to a target.
enum Due {
    Runs { target: u32, restarted: bool },
    Ends { target: u32, restarted: bool, ran_ms: u64, exit_code: i32 },
    Answered(Query),
}

struct Play<'a> {
    script: &'a Script,
    now: u64,
    states: Vec<TargetState>,
    /// By time, then by order of making.
    due: BTreeMap<(u64, u64), Due>,
    made: u64,
    tasks: u64,
    changed: Vec<Change>,
    ended: Vec<EndedTask>,
    answers: Vec<Answer>,
    wake: Option<u64>,
    story: Vec<Told>,
    ordered: Vec<(u64, u32)>,
}

/// Plays a rollout of so many targets.
///
/// # Errors
/// The policy refused the settings, failed, or gave an answer that breaks a rule.
pub fn play(
    policy: &PolicyText,
    service: &str,
    replicas: u32,
    script: &Script,
    subject: &mut dyn Subject,
) -> Result<End, Failure> {
    let needs = subject.check(policy)?;
    let facts =
        RolloutFacts { service_name: service.to_owned(), total: replicas, started_ms: EPOCH_MS };
    let targets: Vec<TargetInfo> = (1..=replicas)
        .filter(|_| needs.targets)
        .map(|slot| TargetInfo {
            id: slot.to_string(),
            name: format!("{service}.{slot}"),
            node: format!("node-{slot}"),
            group: String::new(),
        })
        .collect();
    let mut play = Play::new(script, replicas);
    let mut state = Vec::new();
    for seq in 1..=CALLS_MAX {
        let view = play.view(seq);
        let outcome = match seq {
            1 => subject.begin(policy, &facts, &targets, &view)?,
            _ => subject.step(policy, &facts, &state, &view)?,
        };
        state = outcome.state;
        if let Some((end, message)) = play.apply(outcome.actions) {
            return Ok(play.end(end, message));
        }
        if !play.advance() {
            return Ok(play.end("did not end", "nothing more happens".to_owned()));
        }
        if play.now - EPOCH_MS > LONGEST_MS {
            return Ok(play.end("did not end", "a day went by".to_owned()));
        }
    }
    Ok(play.end("did not end", format!("it was called {CALLS_MAX} times")))
}

impl<'a> Play<'a> {
    fn new(script: &'a Script, replicas: u32) -> Self {
        Self {
            script,
            now: EPOCH_MS,
            states: vec![TargetState::Outdated; replicas as usize],
            due: BTreeMap::new(),
            made: 0,
            tasks: 0,
            changed: Vec::new(),
            ended: Vec::new(),
            answers: Vec::new(),
            wake: None,
            story: Vec::new(),
            ordered: vec![(0, 0)],
        }
    }

    fn view(&mut self, seq: u64) -> View {
        let count = |state| self.states.iter().filter(|s| **s == state).count() as u32;
        View {
            seq,
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
            answers: std::mem::take(&mut self.answers),
        }
    }

    /// Does what was asked; says how the rollout ended, if it did.
    fn apply(&mut self, actions: Vec<Action>) -> Option<(&'static str, String)> {
        self.wake = None;
        for action in actions {
            match action {
                Action::Replace(call) => self.replace(&call.targets),
                Action::ReplaceNext(call) => {
                    let next: Vec<u32> = (0..self.states.len() as u32)
                        .filter(|t| self.states[*t as usize] == TargetState::Outdated)
                        .take(call.count as usize)
                        .collect();
                    self.replace(&next);
                }
                Action::WakeAt(ms) => self.wake = Some(ms.max(self.now)),
                Action::Observe(query) => {
                    self.tell(format!("asks {} at {}", query.id, query.url));
                    self.at(self.now + ANSWER_MS, Due::Answered(query));
                }
                Action::Report(text) => self.tell(format!("reports: {text}")),
                Action::Pause(text) => return Some(("paused", text)),
                Action::RollbackTo(call) => return Some(("rolled-back", call.reason)),
                Action::Complete => return Some(("completed", String::new())),
            }
        }
        None
    }

    fn replace(&mut self, targets: &[u32]) {
        let mut count = 0;
        for target in targets.iter().copied() {
            if self.states.get(target as usize) == Some(&TargetState::Outdated) {
                self.to(target, TargetState::Replacing);
                count += 1;
                if self.fate(target) != Fate::Hangs {
                    self.at(self.now + START_MS, Due::Runs { target, restarted: false });
                }
            }
        }
        if count > 0 {
            self.tell(format!("replaces {count}"));
            let all = self.ordered.last().map_or(0, |(_, n)| *n) + count;
            self.ordered.push((self.now - EPOCH_MS, all));
        }
    }

    fn fate(&self, target: u32) -> Fate {
        let of = |script: &&TaskScript| script.target.is_none_or(|t| t == target);
        self.script.tasks.iter().rev().find(of).map_or(Fate::Runs, |script| script.fate)
    }

    fn to(&mut self, target: u32, now: TargetState) {
        let was = std::mem::replace(&mut self.states[target as usize], now);
        self.changed.push(Change { target, was, now, at_ms: self.now });
    }

    fn at(&mut self, ms: u64, due: Due) {
        self.made += 1;
        self.due.insert((ms, self.made), due);
    }

    fn tell(&mut self, what: String) {
        self.story.push(Told { at_ms: self.now - EPOCH_MS, what });
    }

    /// To the next thing that happens, or the wake-up; false when there is none.
    fn advance(&mut self) -> bool {
        if !self.changed.is_empty() {
            // What was just ordered is told at once.
            return true;
        }
        let next = self.due.keys().next().map(|(ms, _)| *ms);
        let Some(now) = next.into_iter().chain(self.wake).min() else { return false };
        self.now = now;
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let due = entry.remove();
            self.happen(due);
        }
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Runs { target, restarted } => {
                self.to(target, TargetState::Running);
                if let Fate::Fails { after_ms, exit_code } = self.fate(target) {
                    let ran_ms = self.now;
                    self.at(ran_ms + after_ms, Due::Ends { target, restarted, ran_ms, exit_code });
                }
            }
            Due::Ends { target, restarted, ran_ms, exit_code } => {
                self.tasks += 1;
                self.to(target, TargetState::Down);
                self.ended.push(EndedTask {
                    target,
                    task_id: format!("task{}", self.tasks),
                    restarted,
                    ordered: false,
                    ran_ms: Some(ran_ms),
                    ended_ms: self.now,
                    exit_code: Some(exit_code),
                });
                self.at(self.now + RESTART_MS, Due::Runs { target, restarted: true });
            }
            Due::Answered(query) => {
                let since = self.now - EPOCH_MS;
                let of = |(from, id, _): &&(u64, String, _)| *from <= since && *id == query.id;
                let scripted = self.script.answers.iter().rev().find(of);
                let value = scripted.map_or_else(
                    || Err(format!("the case has no line `answer {} …`", query.id)),
                    |(_, _, value)| value.clone(),
                );
                self.answers.push(Answer { id: query.id, at_ms: self.now, value });
            }
        }
    }

    fn end(mut self, outcome: &str, message: String) -> End {
        self.tell(match message.as_str() {
            "" => outcome.to_owned(),
            text => format!("{outcome}: {text}"),
        });
        End {
            outcome: outcome.to_owned(),
            message,
            at_ms: self.now - EPOCH_MS,
            story: self.story,
            ordered: self.ordered,
        }
    }
}
