//! Looking again and again until something has come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swarmw_manager::Manager;
use swarmw_model::{NodeState, ServiceId, Task, TaskState};
use swarmw_state::State;
use tokio::time::Instant;

use crate::machine::{Happening, What};
use crate::{Cluster, Node};

/// Between two looks at what a test waits for.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// The longest that a test waits for what should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(120);

impl Cluster {
    /// What happened to the tasks of a service on all machines, in order.
    pub fn journal(&self, service: &str, what: What) -> Vec<Happening> {
        let all = self.nodes.values().flat_map(|node| node.machine.journal());
        let mut all: Vec<_> = all.filter(|h| h.what == what && h.slot.0 == service).collect();
        all.sort_by_key(|h| h.at);
        all
    }

    /// Looks again and again until there is an answer.
    ///
    /// # Panics
    /// There is none within `within`.
    pub async fn within<T>(
        &self,
        within: Duration,
        what: &str,
        look: impl AsyncFn() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = Box::pin(look()).await {
                return answer;
            }
            assert!(Instant::now() < deadline, "not within {within:?}: {what}\n{}", self.picture());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// [`Cluster::within`] a time that is long enough for anything but a timetable.
    pub async fn soon<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        Box::pin(self.within(SOON, what, look)).await
    }

    /// Whoever leads, by the newest term.
    pub async fn leader(&self) -> Arc<Node> {
        self.soon("somebody leads", async || self.leads()).await
    }

    /// Whoever leads now, if anybody does.
    pub fn leads(&self) -> Option<Arc<Node>> {
        let role = |manager: &Manager| manager.watch_role().borrow().clone();
        let leads = self.managers().map(|(node, manager)| (node, role(&manager)));
        let newest = leads.filter(|(_, role)| role.leading).max_by_key(|(_, role)| role.term);
        newest.map(|(node, _)| node.clone())
    }

    /// The state as the leader has it, if there is one.
    pub fn led(&self) -> Option<Arc<State>> {
        Some(self.leads()?.manager()?.state())
    }

    /// The state that every acknowledged write is in.
    pub async fn fresh(&self) -> Arc<State> {
        self.soon("somebody answers reads", async || self.leads()?.manager()?.read().await.ok())
            .await
    }

    /// Waits until a node stands so.
    pub async fn node_is(&self, name: &str, state: NodeState) {
        let id = self.node(name).id();
        self.soon(&format!("{name} is {state}"), async || {
            (self.led()?.node(id)?.status.state == state).then_some(())
        })
        .await;
    }

    /// Waits until a node is ready.
    pub async fn ready(&self, name: &str) {
        self.node_is(name, NodeState::Ready).await;
    }

    /// Waits until a node has its seat among the managers, and all of them are heard.
    pub async fn seated(&self, name: &str) {
        let id = self.node(name).id();
        self.soon(&format!("{name} is a manager"), async || {
            let leader = self.leads()?.manager()?;
            self.node(name).manager()?.state().cluster()?;
            leader.manager_statuses().contains_key(&id).then_some(())
        })
        .await;
    }

    /// The tasks of a service that should run and do.
    pub fn running_in(&self, state: &State, service: ServiceId) -> Vec<Arc<Task>> {
        let runs = |t: &&Arc<Task>| {
            let started = t.desired_state >= TaskState::Running;
            t.status.state == TaskState::Running && t.is_wanted() && started
        };
        state.tasks_of_service(service).filter(runs).cloned().collect()
    }

    /// Waits until so many tasks of a service run, by the state and on their machines,
    /// and no others; them.
    pub async fn running(&self, service: ServiceId, count: usize) -> Vec<Arc<Task>> {
        self.soon(&format!("{count} tasks run"), async || {
            let tasks = self.running_in(&*self.led()?, service);
            (tasks.len() == count && tasks.iter().all(|task| self.runs(task))).then_some(tasks)
        })
        .await
    }

    /// Whether a task runs on its machine.
    pub fn runs(&self, task: &Task) -> bool {
        let on = |node: &&Arc<Node>| Some(node.id()) == task.node_id;
        let node = self.nodes.values().find(on);
        node.is_some_and(|node| node.machine.running().contains(&task.id))
    }

    /// The names of the nodes that tasks are on.
    pub fn places(&self, tasks: &[Arc<Task>]) -> BTreeSet<String> {
        tasks.iter().filter_map(|t| Some(self.name_of(t.node_id?).to_owned())).collect()
    }
}
