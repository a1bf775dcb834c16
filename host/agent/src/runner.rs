//! One task's runner: asks the machine what to do next, has an executor do it, and
//! says how it went.

use std::pin::pin;
use std::sync::Arc;

use swarmw_ambient::Ambient;
use swarmw_model::{
    Assignment, ContainerStatus, DEFAULT_STOP_GRACE_PERIOD, Duration, TaskState, TaskStatus,
};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::executor::{Executor, Exit, Found, Leaves, Started, TaskError};
use crate::machine::{Next, after_error, after_exit, next};
use crate::secrets::Secrets;
use crate::store::{Kept, Store};
use crate::volumes::Volumes;
use crate::worker::Reports;

/// A task that lost its claim on a volume has no longer than this to stop.
pub(crate) const FENCE_GRACE: Duration = Duration::from_secs(10);

/// From the word to stop on, a task that others reach gets new connections for no longer than
/// this: all nodes hear of it when its own does, and each has its rules changed in less.
const LEAD_AWAY: std::time::Duration = std::time::Duration::from_millis(500);

/// How often a task that starts is asked for its process.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

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
    pub(crate) volumes: Option<Arc<Volumes>>,
    pub(crate) secrets: Option<Arc<Secrets>>,
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
            Ok(Found::Ended(exit)) => self.has_ended(exit).await,
            Ok(Found::Prepared) if state <= TaskState::Starting => {}
            Ok(Found::Nothing) if state <= TaskState::Ready => {
                self.status.state = TaskState::Accepted
            }
            Ok(Found::Nothing | Found::Prepared) => {
                self.failed(TaskError("the task was gone when the daemon came back".to_owned()))
                    .await;
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn step(&mut self, next: Next) {
        debug!(task = %self.task.id, ?next, state = %self.status.state, "task");
        match next {
            Next::Accept => self.report(TaskState::Accepted, "accepted"),
            Next::Prepare => {
                self.report(TaskState::Preparing, "preparing");
                self.prepare().await;
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
            Next::Stop => self.stop().await,
        }
    }

    async fn stop(&mut self) {
        if self.status.state == TaskState::Running {
            lead_away(&self.task).await;
        }
        match self.executor.stop(&self.task).await {
            Ok(exit) => {
                self.give_back().await;
                self.status.container_status = Some(Box::new(exit.container));
                self.report(TaskState::Shutdown, "shutdown");
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn prepare(&mut self) {
        let given = match self.volumes.clone() {
            Some(volumes) => {
                let task = self.task.clone();
                let in_engine = !task.spec.is_component();
                tokio::select! {
                    given = volumes.give(&task, in_engine) => given,
                    // A driver that is waited for does not keep a task from being stopped.
                    () = told_to_stop(&mut self.orders) => return,
                }
            }
            None => Ok(Assignment::clone(&self.task)),
        };
        let given = match (given, self.secrets.clone()) {
            (Ok(task), Some(secrets)) => {
                let in_folders = task.spec.is_component();
                tokio::select! {
                    given = secrets.give(&task, in_folders) => given,
                    // Nor does a leader that is waited for.
                    () = told_to_stop(&mut self.orders) => return,
                }
            }
            (given, _) => given,
        };
        let prepared = match given {
            Ok(task) => self.executor.prepare(&task).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(()) => self.report(TaskState::Ready, "prepared"),
            Err(error) => self.failed(error).await,
        }
    }

    /// The task's volumes and secrets are not used by it any more. Whoever hears that the
    /// task has ended may mount the volumes elsewhere.
    async fn give_back(&self) {
        if let Some(secrets) = &self.secrets {
            secrets.release(self.task.id);
        }
        if let Some(volumes) = &self.volumes {
            volumes.release(&self.task).await;
        }
    }

    async fn start(&mut self) {
        self.report(TaskState::Starting, "starting");
        let executor = self.executor.clone();
        let task = self.task.clone();
        tokio::select! {
            started = executor.start(&task) => match started {
                Ok(started) => self.is_running(started),
                Err(error) => self.failed(error).await,
            },
            why = lost(self.volumes.clone(), &task, begun(&*executor, &task)) => {
                self.fence(why).await;
            }
            // A task that never gets healthy can still be told to stop.
            () = told_to_stop(&mut self.orders) => {}
        }
    }

    async fn watch(&mut self) {
        let executor = self.executor.clone();
        let task = self.task.clone();
        let runs = self.status.container_status.as_deref().cloned().unwrap_or_default();
        let leaves = Leaves::default();
        let mut ended = pin!(executor.wait(&task, &leaves));
        let mut lost = pin!(lost(self.volumes.clone(), &task, async { runs }));
        loop {
            tokio::select! {
                ended = &mut ended => return match ended {
                    Ok(exit) => self.has_ended(exit).await,
                    Err(error) => self.failed(error).await,
                },
                why = &mut lost => return self.fence(why).await,
                () = leaves.said() => self.leave(),
                () = told_to_stop(&mut self.orders) => return,
            }
        }
    }

    /// Another task may write to this one's volumes by now, or soon, or nobody can: it is
    /// stopped in the time that the leader gives it for that.
    async fn fence(&mut self, why: String) {
        warn!(task = %self.task.id, %why, "a task is stopped");
        self.leave();
        let mut task = Assignment::clone(&self.task);
        let mut spec = (*task.spec).clone();
        if let Some(container) = &mut spec.container_spec {
            let grace = container.stop_grace_period.unwrap_or(DEFAULT_STOP_GRACE_PERIOD);
            container.stop_grace_period = Some(grace.min(FENCE_GRACE));
        }
        task.spec = Arc::new(spec);
        if let Err(error) = self.executor.stop(&task).await {
            warn!(task = %self.task.id, %error, "a task without its claim could not be stopped");
        }
        self.failed(TaskError(why)).await;
    }

    fn is_running(&mut self, started: Started) {
        self.status.container_status = Some(Box::new(started.container));
        self.status.port_status = started.ports.map(Box::new);
        self.report(TaskState::Running, "started");
    }

    async fn has_ended(&mut self, mut exit: Exit) {
        let fenced = self.volumes.as_ref().and_then(|volumes| volumes.fenced(self.task.id));
        exit.error = fenced.or(exit.error);
        self.clear_away().await;
        let (state, error) = after_exit(exit.container.exit_code, exit.error);
        self.status.container_status = Some(Box::new(exit.container));
        self.status.error = error.into();
        self.report(state, if state == TaskState::Complete { "finished" } else { "started" });
    }

    async fn failed(&mut self, error: TaskError) {
        self.clear_away().await;
        let state = after_error(self.status.state);
        let message = self.status.message.clone();
        self.status.error = error.0.into();
        self.report(state, &message);
    }

    /// Gives back what a task that is no more has used. That may take its time, in which
    /// nobody is to be led to it.
    async fn clear_away(&mut self) {
        let takes_time = self.volumes.as_ref().is_some_and(|volumes| volumes.drives(&self.task));
        match takes_time {
            true => self.leave(),
            // The others hear of it as soon.
            false => self.reports.leaves(self.task.id),
        }
        self.give_back().await;
    }

    /// New connections are led to others: on this node at once, on the others when they hear
    /// of it.
    fn leave(&mut self) {
        self.reports.leaves(self.task.id);
        let is_led_to = self.status.state == TaskState::Running && is_reached(&self.task);
        if is_led_to && !self.status.leaves {
            self.status.leaves = true;
            self.tell();
        }
    }

    /// Writes down and tells where the task stands.
    fn report(&mut self, state: TaskState, message: &str) {
        if self.status.state == state && &*self.status.message == message && !self.status.leaves {
            return;
        }
        self.status.leaves = false;
        self.status.state = state;
        self.status.message = message.into();
        self.status.timestamp = self.ambient.now();
        self.tell();
    }

    fn tell(&self) {
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
        self.give_back().await;
        if let Err(error) = self.store.remove(self.task.id) {
            warn!(task = %self.task.id, %error, "a task could not be forgotten");
        }
        // It may have come to its end since it was to be forgotten.
        self.reports.forget(self.task.id);
    }
}

/// Waits until new connections are led to others, where any are led to the task: many servers
/// take none from the moment on that they are asked to end.
pub(crate) async fn lead_away(task: &Assignment) {
    if is_reached(task) {
        tokio::time::sleep(LEAD_AWAY).await;
    }
}

/// Whether new connections are led to a task: by its published ports, or on its networks.
fn is_reached(task: &Assignment) -> bool {
    !task.attachments.is_empty() || !task.service.ports.is_empty()
}

/// Returns when the task must not write to its volumes any more.
async fn lost(
    volumes: Option<Arc<Volumes>>,
    task: &Assignment,
    runs: impl Future<Output = ContainerStatus>,
) -> String {
    match volumes {
        Some(volumes) => volumes.lost(task, runs).await,
        None => std::future::pending().await,
    }
}

/// The process of a task that is being started, once it has one: until it is healthy
/// nobody else is told.
async fn begun(executor: &dyn Executor, task: &Assignment) -> ContainerStatus {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if let Ok(Found::Starting(started) | Found::Running(started)) = executor.find(task).await
            && started.container.pid > 0
        {
            return started.container;
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
