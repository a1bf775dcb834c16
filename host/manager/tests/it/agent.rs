//! Agents that follow a script: a raw session, and one that obeys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarmw_ca::{Credentials, Tls};
use swarmw_model::{
    Assignment, FEATURE_LEVEL, NodeDescription, NodeId, Resources, StatusReport, TaskId, TaskState,
    TaskStatus,
};
use swarmw_proto::pb::dispatcher_client::DispatcherClient;
use swarmw_proto::pb::from_agent::Message as FromAgent;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// One session.
pub struct Session {
    out: mpsc::Sender<pb::FromAgent>,
    incoming: Streaming<pb::ToAgent>,
    /// What it was welcomed with, once it was.
    pub welcome: Option<pb::Welcome>,
}

impl Session {
    pub async fn open(channels: &Channels, address: &str) -> Result<Self, Status> {
        let (out, outgoing) = mpsc::channel(16);
        let mut client = DispatcherClient::new(channels.get(address)?);
        let incoming = client.session(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { out, incoming, welcome: None })
    }

    pub async fn say(&self, message: FromAgent) {
        // The other side may have gone; the next message tells.
        let _ = self.out.send(pb::FromAgent { message: Some(message) }).await;
    }

    pub async fn describe(&self, hostname: &str) {
        let description = NodeDescription {
            hostname: hostname.into(),
            resources: Resources {
                nano_cpus: 1 << 40,
                memory_bytes: 1 << 40,
                ..Default::default()
            },
            feature_level: FEATURE_LEVEL,
            ..Default::default()
        };
        let description = wire::encode(&description);
        let describe = pb::Describe { description, knows_port_news: true };
        self.say(FromAgent::Describe(describe)).await;
    }

    pub async fn report(&self, seq: u64, task: TaskId, state: TaskState) {
        let status = TaskStatus { state, ..TaskStatus::default() };
        let reports = wire::encode(&vec![StatusReport { task, status }]);
        self.say(FromAgent::Statuses(pb::Statuses { seq, reports })).await;
    }

    /// The next message; how the session ended when there is none.
    pub async fn hear(&mut self) -> Result<ToAgent, Status> {
        let next = tokio::time::timeout(Duration::from_secs(90), self.incoming.message());
        match next.await.expect("the leader is silent")? {
            Some(message) => Ok(message.message.expect("a message of this version")),
            None => Err(Status::ok("closed")),
        }
    }

    /// Hears until a message is what is looked for.
    pub async fn until<T>(&mut self, mut look: impl FnMut(ToAgent) -> Option<T>) -> T {
        loop {
            if let Some(found) = look(self.hear().await.expect("the session goes on")) {
                return found;
            }
        }
    }

    /// The next assignments: whether they are all there are, and which.
    pub async fn assignments(&mut self) -> (bool, Vec<Assignment>, Vec<String>) {
        self.until(|message| match message {
            ToAgent::Assignments(a) => {
                Some((a.complete, wire::decode(&a.update).expect("ours"), a.remove))
            }
            _ => None,
        })
        .await
    }

    /// How the session ends.
    pub async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }
}

/// An agent that does at once what it is told.
pub struct Obedient {
    pub node: NodeId,
    pub record: Arc<Mutex<Record>>,
    work: tokio::task::JoinHandle<()>,
}

/// What happened to an agent.
#[derive(Default)]
pub struct Record {
    pub sessions: usize,
    /// What it has been told of each task.
    pub tasks: BTreeMap<TaskId, TaskState>,
    /// Stands still: it hears and says nothing, but its connection stays.
    pub frozen: bool,
}

impl Obedient {
    pub fn start(credentials: &Credentials, managers: Vec<String>) -> Self {
        let node = credentials.identity.node;
        let channels = Channels::new(Tls::new(credentials).unwrap());
        let record = Arc::new(Mutex::new(Record::default()));
        let work = tokio::spawn(obey(channels, managers, record.clone(), node));
        Self { node, record, work }
    }

    pub fn freeze(&self, frozen: bool) {
        self.record.lock().unwrap().frozen = frozen;
    }

    pub fn told(&self, task: TaskId) -> Option<TaskState> {
        self.record.lock().unwrap().tasks.get(&task).copied()
    }
}

impl Drop for Obedient {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn obey(channels: Channels, managers: Vec<String>, record: Arc<Mutex<Record>>, node: NodeId) {
    for turn in 0.. {
        let mut address = managers[turn % managers.len()].clone();
        // Follows a redirect at once, and otherwise asks the next manager.
        while let Ok(session) = Session::open(&channels, &address).await {
            match converse(session, &record, node).await {
                Some(leader) if !leader.is_empty() && leader != address => address = leader,
                _ => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One session to its end; the leader's address where this manager does not lead.
async fn converse(mut session: Session, record: &Mutex<Record>, node: NodeId) -> Option<String> {
    session.describe(&node.to_string()).await;
    let mut beat = tokio::time::interval(Duration::from_millis(300));
    let mut seq = 0;
    let mut first = true;
    loop {
        if record.lock().unwrap().frozen {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let message = tokio::select! {
            _ = beat.tick() => {
                session.say(FromAgent::Heartbeat(pb::Heartbeat {})).await;
                continue;
            }
            message = session.hear() => message.ok()?,
        };
        match message {
            ToAgent::Redirect(redirect) => return Some(redirect.address),
            ToAgent::Assignments(assignments) => {
                let update: Vec<Assignment> = wire::decode(&assignments.update).expect("ours");
                assert_eq!(assignments.complete, first, "the first message says everything");
                {
                    let mut record = record.lock().unwrap();
                    if first {
                        record.sessions += 1;
                        record.tasks.clear();
                    }
                    for id in &assignments.remove {
                        record.tasks.remove(&id.parse().expect("an id"));
                    }
                    record.tasks.extend(update.iter().map(|a| (a.id, a.desired_state)));
                }
                first = false;
                for assignment in update {
                    seq += 1;
                    let reached = assignment.desired_state.min(TaskState::Shutdown);
                    session.report(seq, assignment.id, reached).await;
                }
            }
            _ => {}
        }
    }
}
