//! One task's runner: asks the machine what to do next, has an executor do it, and
//! says how it went.

use std::sync::Arc;

use swarmw_ambient::Ambient;
use swarmw_model::{Assignment, TaskState, TaskStatus};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::executor::{Executor, Exit, Found, Started, TaskError};
use crate::machine::{Next, after_error, after_exit, next};
use crate::store::{Kept, Store};
use crate::worker::Reports;

/// What the leader wants of a task now.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// It should be where its assignment says.
    Be(Arc<Assignment>),
    /// It is forgotten: stop it and remove what is left.
    Forget,
}

/// Runs one task.
pub(crate) struct Runner {
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) task: Arc<Assignment>,
    pub(crate) status: TaskStatus,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) store: Store,
    pub(crate) reports: Reports,
    pub(crate) ambient: Ambient,
}

// === impl Runner ===

impl Runner {
    /// Runs until the leader forgets the task.
    pub(crate) async fn run(mut self) {
        self.adopt().await;
        loop {
            match self.orders.borrow_and_update().clone() {
                Order::Be(task) => self.task = task,
                Order::Forget => break,
            }
            self.step(next(self.task.desired_state, self.status.state)).await;
        }
        self.forget().await;
    }

    /// Takes up what the executor has of the task after the daemon was away.
    async fn adopt(&mut self) {
        let state = self.status.state;
        if state < TaskState::Preparing || state.is_terminal() {
            return;
        }
        let (executor, task) = (self.executor.clone(), self.task.clone());
        let found = tokio::select! {
            found = executor.find(&task) => found,
            // An executor that cannot tell yet does not keep a task from being stopped.
            () = told_to_stop(&mut self.orders) => return,
        };
        match found {
            // The wait for its health goes on.
            Ok(Found::Starting(_)) if state <= TaskState::Starting => {
                self.status.state = TaskState::Starting;
            }
            Ok(Found::Starting(started) | Found::Running(started)) => self.is_running(started),
            Ok(Found::Ended(exit)) => self.has_ended(exit),
            Ok(Found::Prepared) if state <= TaskState::Starting => {}
            Ok(Found::Nothing) if state <= TaskState::Ready => {
                self.status.state = TaskState::Accepted
            }
            Ok(Found::Nothing | Found::Prepared) => {
                self.failed(TaskError("the task was gone when the daemon came back".to_owned()));
            }
            Err(error) => self.failed(error),
        }
    }

    async fn step(&mut self, next: Next) {
        debug!(task = %self.task.id, ?next, state = %self.status.state, "task");
        match next {
            Next::Accept => self.report(TaskState::Accepted, "accepted"),
            Next::Prepare => {
                self.report(TaskState::Preparing, "preparing");
                match self.executor.prepare(&self.task).await {
                    Ok(()) => self.report(TaskState::Ready, "prepared"),
                    Err(error) => self.failed(error),
                }
            }
            Next::Start => self.start().await,
            Next::Watch => self.watch().await,
            Next::Hold | Next::Rest => {
                // The sender lives as long as the worker; without it nothing comes.
                if self.orders.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Next::Forgo => self.report(TaskState::Shutdown, "shutdown"),
            Next::Stop => match self.executor.stop(&self.task).await {
                Ok(exit) => {
                    self.status.container_status = Some(Box::new(exit.container));
                    self.report(TaskState::Shutdown, "shutdown");
                }
                Err(error) => self.failed(error),
            },
        }
    }

    async fn start(&mut self) {
        self.report(TaskState::Starting, "starting");
        let executor = self.executor.clone();
        let task = self.task.clone();
        tokio::select! {
            started = executor.start(&task) => match started {
                Ok(started) => self.is_running(started),
                Err(error) => self.failed(error),
            },
            // A task that never gets healthy can still be told to stop.
            () = told_to_stop(&mut self.orders) => {}
        }
    }

    async fn watch(&mut self) {
        let executor = self.executor.clone();
        let task = self.task.clone();
        tokio::select! {
            ended = executor.wait(&task) => match ended {
                Ok(exit) => self.has_ended(exit),
                Err(error) => self.failed(error),
            },
            () = told_to_stop(&mut self.orders) => {}
        }
    }

    fn is_running(&mut self, started: Started) {
        self.status.container_status = Some(Box::new(started.container));
        self.status.port_status = started.ports.map(Box::new);
        self.report(TaskState::Running, "started");
    }

    fn has_ended(&mut self, exit: Exit) {
        let (state, error) = after_exit(exit.container.exit_code, exit.error);
        self.status.container_status = Some(Box::new(exit.container));
        self.status.error = error.into();
        self.report(state, if state == TaskState::Complete { "finished" } else { "started" });
    }

    fn failed(&mut self, error: TaskError) {
        let state = after_error(self.status.state);
        let message = self.status.message.clone();
        self.status.error = error.0.into();
        self.report(state, &message);
    }

    /// Writes down and tells where the task stands.
    fn report(&mut self, state: TaskState, message: &str) {
        if self.status.state == state && &*self.status.message == message {
            return;
        }
        self.status.state = state;
        self.status.message = message.into();
        self.status.timestamp = self.ambient.now();
        let kept = Kept { assignment: Assignment::clone(&self.task), status: self.status.clone() };
        if let Err(error) = self.store.put(&kept) {
            warn!(task = %self.task.id, %error, "a task's status could not be written down");
        }
        self.reports.put(self.task.id, self.status.clone());
    }

    async fn forget(self) {
        if let Err(error) = self.executor.remove(&self.task).await {
            warn!(task = %self.task.id, %error, "what is left of a task could not be removed");
        }
        if let Err(error) = self.store.remove(self.task.id) {
            warn!(task = %self.task.id, %error, "a task could not be forgotten");
        }
    }
}

/// Returns when the task is to stop, or is forgotten.
async fn told_to_stop(orders: &mut watch::Receiver<Order>) {
    let stops = |order: &Order| match order {
        Order::Be(task) => task.desired_state >= TaskState::Shutdown,
        Order::Forget => true,
    };
    if orders.wait_for(stops).await.is_err() {
        std::future::pending::<()>().await;
    }
}
