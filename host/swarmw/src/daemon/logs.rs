//! Log streams as the API sees them: of the tasks there are, and, while following
//! a service, of those it gets later.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use swarmw_api::{LogLine, LogOutput, LogSource, LogsRequest};
use swarmw_manager::{Lines, Manager, Missing};
use swarmw_model::{NodeId, Refusal, RefusalKind, ServiceId, Task, TaskId};
use swarmw_raft::{Received, Subscription};
use swarmw_state::Event;

/// How Swarm says that a log is not whole; the reasons follow.
const INCOMPLETE: &str = "warning: incomplete log stream. some logs could not be retrieved \
    for the following reasons";

/// A log that is being read.
struct Reading {
    manager: Arc<Manager>,
    request: LogsRequest,
    known: HashMap<TaskId, (ServiceId, NodeId)>,
    lines: SelectAll<BoxStream<'static, Part>>,
    /// Why the log is not whole, as far as is known yet.
    missing: Vec<String>,
    /// While following a service: what may become a task of it.
    changes: Option<Subscription>,
}

/// What comes of what was asked at once.
enum Part {
    Line(swarmw_manager::LogLine),
    /// The end, and what is missing before it.
    End(Vec<Missing>),
}

/// The lines asked for; a follower's stream ends when the reader goes or, for a
/// service, when it is removed and its tasks have said all. One that nobody follows ends
/// with a refusal where lines of a task may be missing.
///
/// # Errors
/// This manager does not lead.
pub(super) fn read(
    manager: Arc<Manager>,
    request: LogsRequest,
) -> Result<BoxStream<'static, Result<LogLine, Refusal>>, Refusal> {
    let follows = request.follow && matches!(request.source, LogSource::Service(_));
    // Before the look at the state, so that no task falls between the two.
    let changes = follows.then(|| manager.changes());
    let mut reading = Reading {
        manager,
        request,
        known: HashMap::new(),
        lines: SelectAll::new(),
        missing: Vec::new(),
        changes,
    };
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
            let Some(node) = task.node_id else {
                // One that was given up before it had a node has no log to miss.
                if task.is_wanted() {
                    self.miss(format!("task {} has not been scheduled", task.id));
                }
                continue;
            };
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
            details: self.request.details,
        })?;
        self.lines.push(parts(lines));
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<LogLine, Refusal>> {
        loop {
            tokio::select! {
                Some(part) = self.lines.next() => match part {
                    Part::Line(line) => match self.of_api(line) {
                        Some(line) => return Some(Ok(line)),
                        None => continue,
                    },
                    Part::End(missing) => missing.iter().for_each(|m| self.miss(m.to_string())),
                },
                received = changed(&mut self.changes), if self.changes.is_some() => {
                    self.follow(received);
                }
                else => return self.shortfall().map(Err),
            }
        }
    }

    /// Who follows a log is not told what is missing, as with Swarm.
    fn miss(&mut self, why: String) {
        if !self.request.follow {
            self.missing.push(why);
        }
    }

    /// Why the log is not whole, once, in Swarm's words.
    fn shortfall(&mut self) -> Option<Refusal> {
        let missing = std::mem::take(&mut self.missing);
        if missing.is_empty() {
            return None;
        }
        let why = format!("{INCOMPLETE}: {}", missing.join(", "));
        Some(Refusal::rpc(RefusalKind::Unknown, why))
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
            attributes: line.attributes,
        })
    }
}

/// What comes of these lines, with their end.
fn parts(lines: Lines) -> BoxStream<'static, Part> {
    let next = |lines: Option<Lines>| async {
        let mut lines = lines?;
        Some(match lines.next().await {
            Some(line) => (Part::Line(line), Some(lines)),
            None => (Part::End(lines.missing()), None),
        })
    };
    stream::unfold(Some(lines), next).boxed()
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
