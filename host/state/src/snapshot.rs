//! Transactions and snapshots as bytes: a version byte, then CBOR maps with field
//! names. Readers skip fields they do not know and fill in those they miss.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swarmw_model::{
    Attachment, Cluster, ClusterVolume, Config, Network, Node, Plugin, RequestId, Secret, Service,
    ServiceFacts, Task, TaskId, TaskSpec,
};

use crate::{Outcome, Rollout, State, Transaction};

/// The first byte of everything encoded here.
const VERSION: u8 = 1;

/// The bytes are not what this binary reads.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Written by a newer binary, or not by swarmw.
    #[error("format version {found}: this binary reads version {VERSION}; start a newer one")]
    Version {
        /// The first byte; 0 where there is none.
        found: u8,
    },
    /// Not CBOR of the right shape.
    #[error("not a {what} of swarmw: {source}")]
    Decode {
        /// Transaction or snapshot.
        what: &'static str,
        /// From the decoder.
        source: ciborium::de::Error<std::io::Error>,
    },
}

/// A snapshot's shape. Specs and facts that many tasks share stand in it once.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    index: u64,
    cluster: Option<Arc<Cluster>>,
    nodes: Vec<Arc<Node>>,
    services: Vec<Arc<Service>>,
    task_specs: Vec<Arc<TaskSpec>>,
    task_facts: Vec<Arc<ServiceFacts>>,
    tasks: Vec<SnapshotTask>,
    plugins: Vec<Arc<Plugin>>,
    #[serde(default)]
    volumes: Vec<Arc<ClusterVolume>>,
    #[serde(default)]
    secrets: Vec<Arc<Secret>>,
    #[serde(default)]
    configs: Vec<Arc<Config>>,
    #[serde(default)]
    networks: Vec<Arc<Network>>,
    #[serde(default)]
    going: Vec<Arc<Network>>,
    #[serde(default)]
    attachments: Vec<Arc<Attachment>>,
    rollouts: Vec<Arc<Rollout>>,
    next_raft_id: u64,
    requests: Vec<(RequestId, Arc<Vec<Outcome>>)>,
}

/// A task whose spec and facts are positions in the snapshot's lists.
#[derive(Serialize, Deserialize)]
struct SnapshotTask {
    spec: usize,
    facts: usize,
    /// With the default spec and facts in place of the shared ones.
    task: Task,
}

/// Encodes a transaction for the log.
pub fn encode_transaction(transaction: &Transaction) -> Vec<u8> {
    encode(transaction)
}

/// Decodes a transaction of the log.
///
/// # Errors
/// Another format version, or bytes that are none of ours.
pub fn decode_transaction(bytes: &[u8]) -> Result<Transaction, SnapshotError> {
    decode("transaction", bytes)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Writing to memory cannot fail, and none of our types refuses to serialise.
    ciborium::into_writer(value, &mut bytes).expect("CBOR to memory");
    bytes
}

fn decode<T: for<'de> Deserialize<'de>>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, SnapshotError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            ciborium::from_reader(body).map_err(|source| SnapshotError::Decode { what, source })
        }
        found => Err(SnapshotError::Version { found: found.map_or(0, |(byte, _)| *byte) }),
    }
}

// === impl State ===

impl State {
    /// The whole state as bytes.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let mut specs = Interned::default();
        let mut facts = Interned::default();
        let blank = (Arc::new(TaskSpec::default()), Arc::new(ServiceFacts::default()));
        let tasks = self
            .tasks
            .values()
            .map(|task| SnapshotTask {
                spec: specs.place(&task.spec),
                facts: facts.place(&task.service),
                task: Task { spec: blank.0.clone(), service: blank.1.clone(), ..Task::clone(task) },
            })
            .collect();
        encode(&Snapshot {
            index: self.index,
            cluster: self.cluster.clone(),
            nodes: self.nodes.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            tasks,
            task_specs: specs.all,
            task_facts: facts.all,
            plugins: self.plugins.values().cloned().collect(),
            volumes: self.volumes.values().cloned().collect(),
            secrets: self.secrets.values().cloned().collect(),
            configs: self.configs.values().cloned().collect(),
            networks: self.networks.values().cloned().collect(),
            going: self.going.values().cloned().collect(),
            attachments: self.attachments.values().cloned().collect(),
            rollouts: self.rollouts.values().cloned().collect(),
            next_raft_id: self.next_raft_id,
            requests: self
                .request_order
                .iter()
                .filter_map(|id| Some((*id, self.requests.get(id)?.clone())))
                .collect(),
        })
    }

    /// The state that [`State::to_snapshot`] wrote.
    ///
    /// # Errors
    /// Another format version, or bytes that are none of ours.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let from: Snapshot = decode("snapshot", bytes)?;
        let tasks = from.tasks.into_iter().map(|kept| {
            let mut task = kept.task;
            task.spec = from.task_specs.get(kept.spec).cloned().unwrap_or_default();
            task.service = from.task_facts.get(kept.facts).cloned().unwrap_or_default();
            (task.id, Arc::new(task))
        });
        let mut state = Self {
            index: from.index,
            cluster: from.cluster,
            nodes: from.nodes.into_iter().map(|n| (n.id, n)).collect(),
            services: from.services.into_iter().map(|s| (s.id, s)).collect(),
            tasks: tasks.collect::<imbl::OrdMap<TaskId, _>>(),
            plugins: from.plugins.into_iter().map(|p| (p.id, p)).collect(),
            volumes: from.volumes.into_iter().map(|v| (v.id, v)).collect(),
            secrets: from.secrets.into_iter().collect(),
            configs: from.configs.into_iter().collect(),
            networks: from.networks.into_iter().map(|n| (n.id, n)).collect(),
            going: from.going.into_iter().map(|n| (n.id, n)).collect(),
            attachments: from.attachments.into_iter().map(|a| (a.id, a)).collect(),
            rollouts: from.rollouts.into_iter().map(|r| (r.service, r)).collect(),
            next_raft_id: from.next_raft_id,
            request_order: from.requests.iter().map(|(id, _)| *id).collect(),
            requests: from.requests.into_iter().collect(),
            ..Self::default()
        };
        state.reindex();
        Ok(state)
    }
}

/// Values told apart by their address.
struct Interned<T> {
    all: Vec<Arc<T>>,
    places: HashMap<*const T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::new() }
    }
}

impl<T> Interned<T> {
    fn place(&mut self, value: &Arc<T>) -> usize {
        *self.places.entry(Arc::as_ptr(value)).or_insert_with(|| {
            self.all.push(value.clone());
            self.all.len() - 1
        })
    }
}
