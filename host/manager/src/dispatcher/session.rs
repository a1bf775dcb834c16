//! One agent's session with the leader.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream::BoxStream;
use swarmw_model::{
    Assignment, Duration, NodeDescription, NodeId, NodeState, PluginKind, PortNews, StatusReport,
    Task, TaskId, TaskState, Time, Version,
};
use swarmw_proto::pb::from_agent::Message as FromAgent;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{pb, wire};
use swarmw_state::{Change, State, TaskChange};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info};

use super::address::address_of;
use super::assigned::assigned;
use super::given::Given;
use super::inbox::{Inbox, Marks};
use super::networks::{Told as Networks, parts};
use super::ports::Published;
use super::watch::heartbeat_period;
use super::{Dispatcher, Session};

/// Messages on their way to one agent; the session waits when they are this many.
const MESSAGES_IN_FLIGHT: usize = 64;
/// Assignments in one message.
const ASSIGNMENTS_MAX: usize = 500;
/// A node may register this often…
const REGISTRATIONS_MAX: usize = 3;
/// …within this time.
const REGISTRATION_WINDOW: Duration = Duration::from_secs(8);

/// What the agent receives.
pub(crate) type SessionStream = BoxStream<'static, Result<pb::ToAgent, Status>>;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// One session.
struct Conversation {
    dispatcher: Dispatcher,
    node: NodeId,
    address: String,
    number: u64,
    inbox: Arc<Inbox>,
    end: CancellationToken,
    out: mpsc::Sender<Result<pb::ToAgent, Status>>,
    /// What the agent was last told of each task.
    told: HashMap<TaskId, (TaskState, Version)>,
    /// The secrets and configs that the agent has.
    given: Given,
    /// What the agent was last told of networks.
    networks: Networks,
    /// What the agent was last told of published ports.
    ports: Option<Arc<Published>>,
    registrations: VecDeque<Time>,
    /// What the agent last said of its node.
    description: pb::Describe,
}

/// Begins a session: the stream to the agent, while the conversation goes on in a
/// task of its own.
pub(crate) fn open(
    dispatcher: Dispatcher,
    node: NodeId,
    address: String,
    incoming: Streaming<pb::FromAgent>,
) -> SessionStream {
    let (out, stream) = mpsc::channel(MESSAGES_IN_FLIGHT);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let inbox = Arc::new(Inbox::default());
    let end = dispatcher.0.cancel.child_token();
    let session = Session { number, inbox: inbox.clone(), end: end.clone() };
    if let Some(earlier) = dispatcher.sessions().insert(node, session) {
        earlier.end.cancel();
    }
    let conversation = Conversation {
        dispatcher,
        node,
        address,
        number,
        inbox,
        end,
        out,
        told: HashMap::new(),
        given: Given::default(),
        networks: Networks::default(),
        ports: None,
        registrations: VecDeque::new(),
        description: pb::Describe::default(),
    };
    tokio::spawn(conversation.run(incoming));
    ReceiverStream::new(stream).boxed()
}

// === impl Conversation ===

impl Conversation {
    async fn run(mut self, mut incoming: Streaming<pb::FromAgent>) {
        let result = self.converse(&mut incoming).await;
        if let Err(status) = result {
            debug!(node = %self.node, %status, "session ends");
            // The agent may have gone first.
            let _ = self.out.send(Err(status)).await;
        }
        let mut sessions = self.dispatcher.sessions();
        if sessions.get(&self.node).is_some_and(|s| s.number == self.number) {
            sessions.remove(&self.node);
            self.dispatcher.0.logs.node_gone(self.node);
        }
    }

    async fn converse(&mut self, incoming: &mut Streaming<pb::FromAgent>) -> Result<(), Status> {
        let first = incoming.message().await?.and_then(|m| m.message);
        let Some(FromAgent::Describe(describe)) = first else {
            return Err(Status::invalid_argument("a session begins with a description"));
        };
        self.register(describe).await?;
        self.inbox.mark_all();
        loop {
            let end = self.end.clone();
            let inbox = self.inbox.clone();
            tokio::select! {
                () = end.cancelled() => {
                    return Err(Status::aborted("a newer session, or another leader"));
                }
                message = incoming.message() => match message?.and_then(|m| m.message) {
                    Some(message) => self.hear(message).await?,
                    None => return Ok(()),
                },
                marks = inbox.take() => self.tell(marks).await?,
            }
        }
    }

    async fn hear(&mut self, message: FromAgent) -> Result<(), Status> {
        self.heard();
        match message {
            FromAgent::Heartbeat(_) => {
                self.revive().await?;
                self.send(ToAgent::Heard(pb::Heard {})).await
            }
            FromAgent::Describe(describe) => self.register(describe).await,
            FromAgent::Statuses(statuses) => self.accept(statuses).await,
        }
    }

    fn heard(&self) {
        let period = heartbeat_period(&self.dispatcher.0.log.raft.state());
        self.dispatcher.liveness().heard(self.node, self.dispatcher.0.log.now(), period);
        self.dispatcher.0.heard.notify_one();
    }

    /// A node that was called down while its session stayed open (a machine that
    /// stood still for a while) is ready again with its next heartbeat.
    async fn revive(&mut self) -> Result<(), Status> {
        let state = self.dispatcher.0.log.raft.state();
        match state.node(self.node) {
            Some(node) if node.status.state != NodeState::Ready => {
                self.register(self.description.clone()).await
            }
            Some(_) => Ok(()),
            None => Err(Status::not_found(format!("node {} not found", self.node))),
        }
    }

    async fn register(&mut self, describe: pb::Describe) -> Result<(), Status> {
        let now = self.dispatcher.0.log.now();
        self.registrations.retain(|at| now.since(*at) < REGISTRATION_WINDOW);
        if self.registrations.len() >= REGISTRATIONS_MAX {
            return Err(Status::unavailable(format!(
                "node {} registers more than {REGISTRATIONS_MAX} times in {REGISTRATION_WINDOW}",
                self.node
            )));
        }
        self.registrations.push_back(now);
        if self.dispatcher.0.log.raft.state().node(self.node).is_none() {
            return Err(Status::not_found(format!("node {} not found", self.node)));
        }
        let description: NodeDescription = wire::decode(&describe.description)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        info!(node = %self.node, hostname = %description.hostname, "node registers");
        self.heard();
        self.propose(vec![Change::RegisterNode {
            id: self.node,
            addr: address_of(&self.address, &description.agent_address),
            description: Box::new(description),
        }])
        .await?;
        self.description = describe;
        Ok(())
    }

    /// Writes statuses down, then says so. A node may speak of its own tasks only.
    async fn accept(&mut self, statuses: pb::Statuses) -> Result<(), Status> {
        let reports: Vec<StatusReport> =
            wire::decode(&statuses.reports).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let state = self.dispatcher.0.log.raft.state();
        let mut changes = Vec::with_capacity(reports.len());
        for report in reports {
            let Some(task) = state.task(report.task) else { continue };
            if task.node_id != Some(self.node) {
                return Err(Status::permission_denied(format!(
                    "task {} is not a task of node {}",
                    task.id, self.node
                )));
            }
            if task.status != report.status {
                let status = Some(report.status);
                changes.push(Change::Task(TaskChange { status, ..TaskChange::of(task.id) }));
            }
        }
        self.propose(changes).await?;
        self.send(ToAgent::Accepted(statuses.seq)).await
    }

    async fn propose(&self, changes: Vec<Change>) -> Result<(), Status> {
        let decided = self.dispatcher.0.log.decide(changes).await;
        decided.map_err(|e| Status::unavailable(e.to_string()))
    }

    async fn tell(&mut self, marks: Marks) -> Result<(), Status> {
        if marks.all || marks.welcome {
            self.welcome().await?;
        }
        // One state for all of it: no task is told of before what it needs.
        let state = self.dispatcher.0.log.raft.state();
        let other = marks.all || marks.drivers || self.given.concerns(&state, &marks.tasks);
        let needed = other.then(|| Given::needed(&state, self.node));
        if let Some(needed) = &needed {
            self.give(&state, needed).await?;
        }
        if marks.all || marks.drivers {
            // Before the tasks, which may need them.
            self.tell_drivers(&state).await?;
        }
        self.tell_networks(&state, &marks).await?;
        if marks.all || marks.ports {
            self.tell_ports(&state, marks.all).await?;
        }
        if marks.all {
            self.tell_all_tasks(&state).await?;
        } else if !marks.tasks.is_empty() {
            self.tell_tasks(&state, marks.tasks.into_iter().collect()).await?;
        }
        if let Some(needed) = needed {
            self.take_back(needed).await?;
        }
        for wanted in marks.logs {
            self.send(ToAgent::Logs(wanted)).await?;
        }
        Ok(())
    }

    /// What tasks need and the agent does not have.
    async fn give(&self, state: &State, needed: &Given) -> Result<(), Status> {
        for message in self.given.missing(needed, state) {
            self.send(ToAgent::Given(message)).await?;
        }
        Ok(())
    }

    /// What no task needs any more.
    async fn take_back(&mut self, needed: Given) -> Result<(), Status> {
        if let Some(message) = self.given.beyond(&needed) {
            self.send(ToAgent::Given(message)).await?;
        }
        self.given = needed;
        Ok(())
    }

    /// Networks, before the tasks that are on them.
    async fn tell_networks(&mut self, state: &State, marks: &Marks) -> Result<(), Status> {
        let news = match marks.all {
            true => self.networks.everything(state, self.node),
            false => self.networks.changes(state, self.node, &marks.networks, &marks.tasks),
        };
        for part in news.into_iter().flat_map(parts) {
            let news = wire::encode(&part);
            self.send(ToAgent::Networks(pb::Networks { news })).await?;
        }
        Ok(())
    }

    /// Published ports: all of them, or what changed.
    async fn tell_ports(&mut self, state: &State, all: bool) -> Result<(), Status> {
        let published = self.dispatcher.0.ports.borrow().clone();
        let ingress = wire::encode(&published.ingress(state, self.node));
        if !self.description.knows_port_news {
            let (ports, news) = (wire::encode(&published.ports), Vec::new());
            return self.send(ToAgent::Ports(pb::Ports { ports, ingress, news })).await;
        }
        let news = match self.ports.replace(published.clone()).filter(|_| !all) {
            Some(told) => PortNews::between(&told.ports, &published.ports).unwrap_or_default(),
            None => PortNews::all(&published.ports),
        };
        for part in news.parts(PortNews::PART_MAX) {
            let ingress = if part.more { Vec::new() } else { ingress.clone() };
            let (ports, news) = (Vec::new(), wire::encode(&part));
            self.send(ToAgent::Ports(pb::Ports { ports, ingress, news })).await?;
        }
        Ok(())
    }

    async fn tell_drivers(&self, state: &State) -> Result<(), Status> {
        let drivers: Vec<_> =
            state.plugins().filter(|p| p.kind == PluginKind::VolumeDriver).collect();
        let plugins = wire::encode(&drivers);
        let volumes = wire::encode(&state.volumes().collect::<Vec<_>>());
        self.send(ToAgent::Drivers(pb::Drivers { plugins, volumes })).await
    }

    async fn welcome(&self) -> Result<(), Status> {
        let state = self.dispatcher.0.log.raft.state();
        let Some(node) = state.node(self.node) else {
            return Err(Status::not_found(format!("node {} not found", self.node)));
        };
        let managers = state
            .nodes()
            .filter_map(|n| {
                let member = n.member.as_ref()?;
                Some(pb::Peer {
                    raft_id: member.raft_id,
                    address: member.addr.clone(),
                    node_id: n.id.to_string(),
                })
            })
            .collect();
        let root = state.cluster().map(|c| c.root_ca.certificate.clone());
        self.send(ToAgent::Welcome(pb::Welcome {
            heartbeat_millis: heartbeat_period(&state).as_millis().unsigned_abs(),
            node: wire::encode(&**node),
            managers,
            root_pem: root.unwrap_or_default(),
        }))
        .await
    }

    /// Everything the node should have: the first message of a session, and after
    /// events were missed.
    async fn tell_all_tasks(&mut self, state: &State) -> Result<(), Status> {
        let tasks: Vec<_> =
            state.tasks_of_node(self.node).filter(|t| is_sent(t)).cloned().collect();
        self.told = tasks.iter().map(|t| (t.id, telling(t))).collect();
        let mut complete = true;
        let mut parts = tasks.chunks(ASSIGNMENTS_MAX);
        loop {
            let part = parts.next().unwrap_or_default();
            let part: Vec<_> = part.iter().filter_map(|task| assigned(state, task)).collect();
            self.send_assignments(complete, &part, Vec::new()).await?;
            complete = false;
            if parts.len() == 0 {
                return Ok(());
            }
        }
    }

    /// What changed of some tasks.
    async fn tell_tasks(&mut self, state: &State, marked: Vec<TaskId>) -> Result<(), Status> {
        for part in marked.chunks(ASSIGNMENTS_MAX) {
            let mut update = Vec::new();
            let mut remove = Vec::new();
            for id in part {
                let mine = state.task(*id).filter(|t| t.node_id == Some(self.node) && is_sent(t));
                match mine {
                    Some(task) if self.told.get(id) != Some(&telling(task)) => {
                        self.told.insert(*id, telling(task));
                        update.extend(assigned(state, task));
                    }
                    Some(_) => {}
                    None => {
                        if self.told.remove(id).is_some() {
                            remove.push(id.to_string());
                        }
                    }
                }
            }
            if !update.is_empty() || !remove.is_empty() {
                self.send_assignments(false, &update, remove).await?;
            }
        }
        Ok(())
    }

    async fn send_assignments(
        &self,
        complete: bool,
        update: &[Assignment],
        remove: Vec<String>,
    ) -> Result<(), Status> {
        let update = wire::encode(update);
        self.send(ToAgent::Assignments(pb::Assignments { complete, update, remove })).await
    }

    async fn send(&self, message: ToAgent) -> Result<(), Status> {
        self.out
            .send(Ok(pb::ToAgent { message: Some(message) }))
            .await
            .map_err(|_| Status::cancelled("the agent went"))
    }
}

/// What a node is told of: tasks that the scheduler has given to it.
pub(super) fn is_sent(task: &Task) -> bool {
    task.status.state >= TaskState::Assigned
}

/// What an assignment says that may change; statuses are not sent back.
fn telling(task: &Task) -> (TaskState, Version) {
    (task.desired_state, task.spec_version)
}
