//! The node's tasks: which there are, and what is still to be told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_ambient::Ambient;
use swarmw_model::{Assignment, NetworkNews, StatusReport, TaskId, TaskState, TaskStatus};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::equipment::Executors;
use crate::executor::Executor;
use crate::runner::{Order, Runner};
use crate::secrets::Secrets;
use crate::store::{Kept, Store};
use crate::volumes::Volumes;

/// Statuses on their way to the leader: the latest of each task, until accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    latest: Mutex<BTreeMap<TaskId, TaskStatus>>,
    wake: Notify,
    /// Tasks of the node that have ended or are about to, and are not forgotten yet…
    ended: watch::Sender<BTreeSet<TaskId>>,
    /// …and those that have ended.
    over: watch::Sender<BTreeSet<TaskId>>,
}

/// Runs the node's tasks.
#[derive(Clone)]
pub(crate) struct Worker {
    tasks: Arc<Mutex<HashMap<TaskId, Held>>>,
    executors: Executors,
    volumes: Option<Arc<Volumes>>,
    secrets: Option<Arc<Secrets>>,
    store: Store,
    reports: Reports,
    runners: TaskTracker,
    /// How often the leader has told all tasks of the node.
    told: watch::Sender<u64>,
    ambient: Ambient,
}

struct Held {
    orders: watch::Sender<Order>,
    executor: Arc<dyn Executor>,
}

// === impl Reports ===

impl Reports {
    pub(crate) fn put(&self, task: TaskId, status: TaskStatus) {
        if status.state.is_terminal() {
            // First, as whoever hears of the other looks here.
            let is_new = self.0.over.send_if_modified(|over| over.insert(task));
            self.0.ended.send_if_modified(|ended| ended.insert(task) || is_new);
        }
        self.latest().insert(task, status);
        self.0.wake.notify_one();
    }

    /// Nobody is to be led to the task any more.
    pub(crate) fn leaves(&self, task: TaskId) {
        self.0.ended.send_if_modified(|ended| ended.insert(task));
    }

    /// Tasks of the node that have ended or are about to, whether the leader has heard of it or
    /// not. It is told anew when one that was about to has ended.
    pub(crate) fn ended(&self) -> watch::Receiver<BTreeSet<TaskId>> {
        self.0.ended.subscribe()
    }

    /// Those of them that have ended.
    pub(crate) fn over(&self) -> watch::Receiver<BTreeSet<TaskId>> {
        self.0.over.subscribe()
    }

    /// These had ended before the node's daemon began.
    fn take_up_ended(&self, tasks: impl Iterator<Item = TaskId>) {
        let tasks: BTreeSet<_> = tasks.collect();
        self.0.over.send_modify(|over| over.extend(&tasks));
        self.0.ended.send_modify(|ended| ended.extend(tasks));
    }

    /// Nobody asks for the task any more.
    pub(crate) fn forget(&self, task: TaskId) {
        self.0.ended.send_if_modified(|ended| ended.remove(&task));
        self.0.over.send_if_modified(|over| over.remove(&task));
    }

    /// Waits for statuses; they stay until [`Reports::accepted`].
    pub(crate) async fn next(&self, most: usize) -> Vec<StatusReport> {
        loop {
            let waiting: Vec<_> = self
                .latest()
                .iter()
                .take(most)
                .map(|(task, status)| StatusReport { task: *task, status: status.clone() })
                .collect();
            if !waiting.is_empty() {
                return waiting;
            }
            self.0.wake.notified().await;
        }
    }

    /// The leader has these in its log; newer ones of the same tasks still wait.
    pub(crate) fn accepted(&self, reports: &[StatusReport]) {
        let mut latest = self.latest();
        for report in reports {
            if latest.get(&report.task) == Some(&report.status) {
                latest.remove(&report.task);
            }
        }
    }

    fn latest(&self) -> MutexGuard<'_, BTreeMap<TaskId, TaskStatus>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Worker ===

impl Worker {
    /// Takes up the tasks that the node had before.
    pub(crate) fn resume(
        store: Store,
        executors: Executors,
        reports: Reports,
        (volumes, secrets): (Option<Arc<Volumes>>, Option<Arc<Secrets>>),
        ambient: Ambient,
    ) -> std::io::Result<Self> {
        let worker = Self {
            tasks: Arc::default(),
            executors,
            volumes,
            secrets,
            store: store.clone(),
            reports,
            runners: TaskTracker::new(),
            told: watch::Sender::new(0),
            ambient,
        };
        let all = store.load()?;
        // All of them before the first begins: what somebody uses is not unmounted.
        for Kept { assignment, status } in &all {
            let prepared = status.state >= TaskState::Preparing && !status.state.is_terminal();
            if let Some(volumes) = worker.volumes.as_ref().filter(|_| prepared) {
                volumes.adopt(assignment);
            }
        }
        if let Some(secrets) = &worker.secrets {
            let alive = all.iter().filter(|kept| !kept.status.state.is_terminal());
            secrets.sweep(&alive.map(|kept| kept.assignment.id).collect());
        }
        // Without a manager nobody else says it, and nobody is to be led to them.
        let ended = all.iter().filter(|kept| kept.status.state.is_terminal());
        worker.reports.take_up_ended(ended.map(|kept| kept.assignment.id));
        for Kept { assignment, status } in all {
            worker.begin(Arc::new(assignment), status);
        }
        Ok(worker)
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Tells all statuses again, to a leader that may not have heard them.
    pub(crate) fn report_all(&self) {
        match self.store.load() {
            Ok(all) => {
                for kept in all {
                    self.reports.put(kept.assignment.id, kept.status);
                }
            }
            Err(error) => warn!(%error, "the tasks' statuses could not be read"),
        }
    }

    /// The leader's word: these tasks should be so; with `complete`, no others are.
    pub(crate) fn assign(&self, complete: bool, update: Vec<Assignment>, remove: &[TaskId]) {
        if complete {
            let gone: Vec<_> = self
                .tasks()
                .keys()
                .filter(|id| !update.iter().any(|task| task.id == **id))
                .copied()
                .collect();
            gone.into_iter().for_each(|task| self.forget(task));
        }
        for task in update {
            self.take(Arc::new(task));
        }
        remove.iter().for_each(|task| self.forget(*task));
        if complete {
            self.told.send_modify(|times| *times += 1);
        }
    }

    /// Counts how often the leader has told all tasks of the node.
    pub(crate) fn told(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Whether the task is one of the node's.
    pub(crate) fn knows(&self, task: TaskId) -> bool {
        self.tasks().contains_key(&task)
    }

    fn take(&self, task: Arc<Assignment>) {
        if let Some(held) = self.tasks().get(&task.id) {
            held.orders.send_if_modified(|order| match order {
                Order::Be(known) if known.desired_state <= task.desired_state => {
                    let changed = **known != *task;
                    *known = task.clone();
                    changed
                }
                // A desired state never goes back; a forgotten task stays forgotten.
                _ => false,
            });
            return;
        }
        if self.runners.is_closed() {
            return;
        }
        // Mostly it is new. Otherwise the node's own record was lost, and what the
        // leader last heard is the best that is known.
        let status = task.status.clone();
        let kept = Kept { assignment: Assignment::clone(&task), status: status.clone() };
        if let Err(error) = self.store.put(&kept) {
            warn!(task = %task.id, %error, "a task could not be written down");
        }
        self.begin(task, status);
    }

    fn begin(&self, task: Arc<Assignment>, status: TaskStatus) {
        let executor = self.executors.of(&task);
        let (orders, receiver) = watch::channel(Order::Be(task.clone()));
        let mut tasks = self.tasks();
        // The node leaves: see `forget_all`.
        if self.runners.is_closed() {
            return;
        }
        tasks.insert(task.id, Held { orders, executor: executor.clone() });
        self.runners.spawn(
            Runner {
                orders: receiver,
                task,
                status,
                executor,
                volumes: self.volumes.clone(),
                secrets: self.secrets.clone(),
                store: self.store.clone(),
                reports: self.reports.clone(),
                ambient: self.ambient.clone(),
            }
            .run(),
        );
    }

    fn forget(&self, task: TaskId) {
        if let Some(held) = self.tasks().remove(&task) {
            held.orders.send_replace(Order::Forget);
        }
        self.reports.forget(task);
    }

    /// Forgets every task, takes no others, and waits until nothing is left of them.
    pub(crate) async fn forget_all(&self) {
        self.runners.close();
        let all: Vec<_> = self.tasks().keys().copied().collect();
        all.into_iter().for_each(|task| self.forget(task));
        self.runners.wait().await;
    }

    /// The leader's word on networks, for a node that joins none: which are the engine's.
    pub(crate) fn hear_networks(&self, news: &NetworkNews) {
        if let Some(docker) = &self.executors.docker {
            docker.hear_networks(news);
        }
    }

    /// A task and its executor.
    pub(crate) fn find(&self, task: TaskId) -> Option<(Arc<Assignment>, Arc<dyn Executor>)> {
        let tasks = self.tasks();
        let held = tasks.get(&task)?;
        let order = held.orders.borrow().clone();
        match order {
            Order::Be(task) => Some((task, held.executor.clone())),
            Order::Forget => None,
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, Held>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
