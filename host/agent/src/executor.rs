//! What runs tasks: one trait, so that the rest of the agent need not know whether
//! a task is a container or a WebAssembly component.

use std::net::SocketAddr;

use futures::future::BoxFuture;
use swarmw_model::{Assignment, ContainerStatus, NetworkNews, PortProtocol, PortStatus, TaskId};
use tokio::sync::Notify;

use crate::logs::{LogOptions, LogStream};

/// Why an executor could not do what was asked; the text is the task's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TaskError(pub String);

/// A task that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Container or process.
    pub container: ContainerStatus,
    /// Host-mode ports as bound.
    pub ports: Option<PortStatus>,
}

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Container or process, with its exit code.
    pub container: ContainerStatus,
    /// What went wrong besides the exit code, e.g. `task: unhealthy container`.
    pub error: Option<String>,
}

/// What an executor still has of a task after the daemon was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it must be made.
    Nothing,
    /// Made, not started.
    Prepared,
    /// Started, but not healthy yet.
    Starting(Started),
    /// Running.
    Running(Started),
    /// It has ended.
    Ended(Exit),
}

/// How an executor says, before a wait is over, that nobody is to be led to the task any
/// more.
#[derive(Debug, Default)]
pub struct Leaves(Notify);

/// Runs tasks. Every method may be called again after a restart of the daemon and
/// then does nothing twice.
pub trait Executor: Send + Sync + 'static {
    /// What there is of a task.
    fn find<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Found, TaskError>>;

    /// Gets the image and makes everything up to the start.
    fn prepare<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>>;

    /// Starts it and returns when it runs and, where health is checked, is healthy.
    fn start<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Started, TaskError>>;

    /// Returns when it has ended; of what takes its time before that, `leaves` is told.
    fn wait<'a>(
        &'a self,
        task: &'a Assignment,
        leaves: &'a Leaves,
    ) -> BoxFuture<'a, Result<Exit, TaskError>>;

    /// Asks it to stop, and makes it after the grace period. Returns when it has ended.
    fn stop<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Exit, TaskError>>;

    /// Removes all of it.
    fn remove<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>>;

    /// Where a port of a running task is reached from this node.
    fn address(
        &self,
        task: TaskId,
        port: u16,
        protocol: PortProtocol,
    ) -> BoxFuture<'_, Option<SocketAddr>>;

    /// What the leader says of networks, on a node that joins none itself.
    fn hear_networks(&self, _: &NetworkNews) {}

    /// What it prints.
    fn logs<'a>(
        &'a self,
        task: &'a Assignment,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, TaskError>>;
}

// === impl Leaves ===

impl Leaves {
    /// Nobody is to be led to the task from now on.
    pub fn say(&self) {
        self.0.notify_one();
    }

    /// Returns when it was said.
    pub(crate) async fn said(&self) {
        self.0.notified().await;
    }
}
