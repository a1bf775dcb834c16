//! Log streams: from the nodes that run the tasks, through the leader, to whoever
//! asked. Lines wait in bounded queues; a slow reader slows the nodes down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use swarmw_model::{NodeId, TaskId, Time};
use swarmw_proto::pb;
use tokio::sync::mpsc;

/// Lines on their way to one reader.
const LINES_IN_FLIGHT: usize = 1_024;

/// What a reader wants.
#[derive(Clone, Debug)]
pub struct LogsRequest {
    /// The tasks, each with its node.
    pub tasks: Vec<(TaskId, NodeId)>,
    /// Go on with new lines.
    pub follow: bool,
    /// Lines from the end of each task's log; `None` for all.
    pub tail: Option<u64>,
    /// Nothing older.
    pub since: Time,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// With the attributes of the log driver.
    pub details: bool,
}

/// One line of one task.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The task.
    pub task: TaskId,
    /// 1 for standard output, 2 for standard error.
    pub stream: u8,
    /// When it was written.
    pub at: Time,
    /// With its line end, if it had one.
    pub text: Vec<u8>,
    /// Of the log driver, where they were asked for.
    pub attributes: BTreeMap<String, String>,
}

/// A reader's lines; ends when every node asked has said all, or is gone.
#[derive(Debug)]
pub struct Lines {
    receiver: mpsc::Receiver<LogLine>,
    missing: Shortfall,
    _guard: Guard,
}

/// Why a log is not whole, in Swarm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The node had no session: it could not be asked.
    #[error("node {0} is not available")]
    NotAvailable(NodeId),
    /// The node's session ended before it had said all.
    #[error("node {0} disconnected unexpectedly")]
    Disconnected(NodeId),
}

/// What a reader misses: at most one reason for each node asked.
type Shortfall = Arc<Mutex<Vec<Missing>>>;

/// Subscriptions under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogBroker(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

#[derive(Debug)]
struct Open {
    sender: mpsc::Sender<LogLine>,
    /// What each node was asked for.
    asked: BTreeSet<(NodeId, TaskId)>,
    /// The nodes that have not said all yet.
    waiting: BTreeSet<NodeId>,
    missing: Shortfall,
}

/// Where the lines of one node go.
#[derive(Debug)]
pub(crate) struct Sink {
    sender: mpsc::Sender<LogLine>,
    tasks: BTreeSet<TaskId>,
}

/// Why lines are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwanted {
    /// The reader has gone.
    #[error("nobody reads these lines any more")]
    Gone,
    /// The node speaks of a task that it was not asked about.
    #[error("this node was not asked for lines of that task")]
    NotAsked,
}

/// Ends the subscription when the reader goes.
#[derive(Debug)]
struct Guard {
    broker: LogBroker,
    subscription: u64,
}

// === impl Lines ===

impl Lines {
    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Option<LogLine> {
        self.receiver.recv().await
    }

    /// What the reader misses; all of it is known once there is no next line.
    pub fn missing(&self) -> Vec<Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl LogBroker ===

impl LogBroker {
    /// Opens a subscription: what each node is to be asked, and the reader's end.
    pub(crate) fn open(&self, request: &LogsRequest) -> (Vec<(NodeId, pb::LogsWanted)>, Lines) {
        let subscription = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut by_node: HashMap<NodeId, Vec<String>> = HashMap::new();
        for (task, node) in &request.tasks {
            by_node.entry(*node).or_default().push(task.to_string());
        }
        let wanted = by_node
            .into_iter()
            .map(|(node, tasks)| {
                let tail = request.tail.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
                let wanted = pb::LogsWanted {
                    subscription,
                    tasks,
                    follow: request.follow,
                    tail,
                    since: request.since.as_nanos(),
                    stdout: request.stdout,
                    stderr: request.stderr,
                    details: request.details,
                };
                (node, wanted)
            })
            .collect::<Vec<_>>();
        let (sender, receiver) = mpsc::channel(LINES_IN_FLIGHT);
        let waiting: BTreeSet<_> = wanted.iter().map(|(node, _)| *node).collect();
        let missing = Shortfall::default();
        let asked = request.tasks.iter().map(|(task, node)| (*node, *task)).collect();
        // Nobody would end a log that no node is asked for.
        if !waiting.is_empty() {
            let open = Open { sender, asked, waiting, missing: missing.clone() };
            self.locked().insert(subscription, open);
        }
        let guard = Guard { broker: self.clone(), subscription };
        (wanted, Lines { receiver, missing, _guard: guard })
    }

    /// Where a node's lines go.
    pub(crate) fn sink(&self, subscription: u64, node: NodeId) -> Result<Sink, Unwanted> {
        let open = self.locked();
        let open = open.get(&subscription).ok_or(Unwanted::Gone)?;
        let mine = open.asked.iter().filter(|(asked, _)| *asked == node);
        let tasks: BTreeSet<_> = mine.map(|(_, task)| *task).collect();
        match tasks.is_empty() {
            true => Err(Unwanted::NotAsked),
            false => Ok(Sink { sender: open.sender.clone(), tasks }),
        }
    }

    /// A node has said all.
    pub(crate) fn finished(&self, subscription: u64, node: NodeId) {
        self.done(subscription, node, None);
    }

    /// Nothing more comes from a node: it has said all, or this is why it has not.
    fn done(&self, subscription: u64, node: NodeId, missing: Option<Missing>) {
        let mut open = self.locked();
        let last = open.get_mut(&subscription).is_some_and(|open| {
            if open.waiting.remove(&node)
                && let Some(missing) = missing
            {
                open.missing.lock().unwrap_or_else(PoisonError::into_inner).push(missing);
            }
            open.waiting.is_empty()
        });
        if last {
            open.remove(&subscription);
        }
    }

    /// A node has no session: it is not asked.
    pub(crate) fn unavailable(&self, subscription: u64, node: NodeId) {
        self.done(subscription, node, Some(Missing::NotAvailable(node)));
    }

    /// A node's session is gone: nothing more comes from it.
    pub(crate) fn node_gone(&self, node: NodeId) {
        let mine: Vec<_> = self
            .locked()
            .iter()
            .filter(|(_, open)| open.waiting.contains(&node))
            .map(|(id, _)| *id)
            .collect();
        for subscription in mine {
            self.done(subscription, node, Some(Missing::Disconnected(node)));
        }
    }

    fn close(&self, subscription: u64) {
        self.locked().remove(&subscription);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Sink ===

impl Sink {
    /// Takes a line; waits while the reader is slow.
    pub(crate) async fn take(&self, line: LogLine) -> Result<(), Unwanted> {
        if !self.tasks.contains(&line.task) {
            return Err(Unwanted::NotAsked);
        }
        self.sender.send(line).await.map_err(|_| Unwanted::Gone)
    }
}

impl From<Unwanted> for tonic::Status {
    fn from(why: Unwanted) -> Self {
        match why {
            Unwanted::Gone => Self::cancelled(why.to_string()),
            Unwanted::NotAsked => Self::permission_denied(why.to_string()),
        }
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        self.broker.close(self.subscription);
    }
}
