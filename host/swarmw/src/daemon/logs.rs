//! Log streams as the API sees them: of the tasks there are, and, while following
//! a service, of those it gets later.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use swarmw_api::{LogLine, LogOutput, LogSource, LogsRequest};
use swarmw_manager::Manager;
use swarmw_model::{NodeId, Refusal, ServiceId, Task, TaskId};
use swarmw_raft::{Received, Subscription};
use swarmw_state::Event;

/// A log that is being read.
struct Reading {
    manager: Arc<Manager>,
    request: LogsRequest,
    known: HashMap<TaskId, (ServiceId, NodeId)>,
    lines: SelectAll<BoxStream<'static, swarmw_manager::LogLine>>,
    /// While following a service: what may become a task of it.
    changes: Option<Subscription>,
}

/// The lines asked for; a follower's stream ends when the reader goes or, for a
/// service, when it is removed and its tasks have said all.
///
/// # Errors
/// This manager does not lead.
pub(super) fn read(
    manager: Arc<Manager>,
    request: LogsRequest,
) -> Result<BoxStream<'static, LogLine>, Refusal> {
    let follows = request.follow && matches!(request.source, LogSource::Service(_));
    // Before the look at the state, so that no task falls between the two.
    let changes = follows.then(|| manager.changes());
    let mut reading =
        Reading { manager, request, known: HashMap::new(), lines: SelectAll::new(), changes };
    reading.look()?;
    let next = |mut reading: Reading| async { reading.next().await.map(|line| (line, reading)) };
    Ok(stream::unfold(reading, next).boxed())
}

// === impl Reading ===

impl Reading {
    /// Asks for the logs of all tasks that are not read yet.
    fn look(&mut self) -> Result<(), Refusal> {
        let state = self.manager.state();
        let tasks: Vec<_> = match self.request.source {
            LogSource::Service(id) => state.tasks_of_service(id).cloned().collect(),
            LogSource::Task(id) => state.task(id).cloned().into_iter().collect(),
        };
        self.ask(tasks.iter().map(|task| &**task))
    }

    fn ask<'a>(&mut self, tasks: impl Iterator<Item = &'a Task>) -> Result<(), Refusal> {
        let mut wanted = Vec::new();
        for task in tasks {
            let Some(node) = task.node_id else { continue };
            if self.known.insert(task.id, (task.service_id, node)).is_none() {
                wanted.push((task.id, node));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let lines = self.manager.logs(&swarmw_manager::LogsRequest {
            tasks: wanted,
            follow: self.request.follow,
            tail: self.request.tail,
            since: self.request.since,
            stdout: self.request.stdout,
            stderr: self.request.stderr,
        })?;
        let next = |mut lines: swarmw_manager::Lines| async {
            lines.next().await.map(|line| (line, lines))
        };
        self.lines.push(stream::unfold(lines, next).boxed());
        Ok(())
    }

    async fn next(&mut self) -> Option<LogLine> {
        loop {
            tokio::select! {
                Some(line) = self.lines.next() => match self.of_api(line) {
                    Some(line) => return Some(line),
                    None => continue,
                },
                received = changed(&mut self.changes), if self.changes.is_some() => {
                    self.follow(received);
                }
                else => return None,
            }
        }
    }

    /// Takes up tasks that came to be, until the service goes or the leadership.
    fn follow(&mut self, received: Option<Received>) {
        let followed = match received {
            Some(Received::Batch(batch)) => {
                let gone = |event: &Event| match (event, self.request.source) {
                    (Event::Service { old: Some(old), new: None }, LogSource::Service(id)) => {
                        old.id == id
                    }
                    _ => false,
                };
                if batch.events.iter().any(gone) {
                    self.changes = None;
                }
                let tasks: Vec<_> = batch.events.iter().filter_map(task_of).collect();
                let mine =
                    |task: &&Arc<Task>| LogSource::Service(task.service_id) == self.request.source;
                let tasks: Vec<_> = tasks.into_iter().filter(mine).cloned().collect();
                self.ask(tasks.iter().map(|task| &**task))
            }
            Some(Received::Lagged) => self.look(),
            None => {
                self.changes = None;
                Ok(())
            }
        };
        if followed.is_err() {
            self.changes = None;
        }
    }

    fn of_api(&self, line: swarmw_manager::LogLine) -> Option<LogLine> {
        let (service, node) = *self.known.get(&line.task)?;
        let output = if line.stream == 2 { LogOutput::Stderr } else { LogOutput::Stdout };
        Some(LogLine {
            task: line.task,
            service,
            node,
            output,
            at: line.at,
            text: line.text.into(),
        })
    }
}

fn task_of(event: &Event) -> Option<&Arc<Task>> {
    match event {
        Event::Task { new: Some(task), .. } => Some(task),
        _ => None,
    }
}

/// The next changes, where anybody follows them.
async fn changed(changes: &mut Option<Subscription>) -> Option<Received> {
    changes.as_mut()?.next().await
}
