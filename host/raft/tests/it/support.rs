//! A cluster of managers in one process, joined by wires that can be cut.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use swarmw_model::{Id, RequestId, ServiceId, ServiceSpec, Time};
use swarmw_raft::{
    Memory, Peer, PeerError, Peers, ProposeError, Raft, RaftConfig, Rpc, Storage, Timing,
};
use swarmw_seal::Seal;
use swarmw_state::{Change, Outcome, State, Transaction};
use tempfile::TempDir;

/// Waits end with a failure after this time.
const DEADLINE: Duration = Duration::from_secs(60);
pub const KEY: [u8; 32] = [42; 32];

pub const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(60),
    election_min: Duration::from_millis(300),
    election_max: Duration::from_millis(600),
    snapshot_every: 10_000,
    keep_entries: 500,
    catch_up: Duration::from_secs(2),
};

/// Asks again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// What joins the managers.
#[derive(Clone, Default)]
pub struct Wires(Arc<Mutex<Switch>>);

#[derive(Default)]
struct Switch {
    running: BTreeMap<u64, Raft>,
    /// Managers that hear nobody and are not heard.
    cut: HashSet<u64>,
    snapshots: usize,
    /// By who asked.
    pre_votes: BTreeMap<u64, usize>,
}

/// One manager's end of the wires.
struct End {
    own: u64,
    wires: Wires,
}

impl Wires {
    fn to(&self, from: u64, to: u64) -> Result<Raft, PeerError> {
        let switch = self.0.lock().unwrap();
        if switch.cut.contains(&from) || switch.cut.contains(&to) {
            return Err(PeerError("the wire is cut".to_owned()));
        }
        let peer = switch.running.get(&to).cloned();
        peer.ok_or_else(|| PeerError("nobody listens there".to_owned()))
    }

    pub fn cut(&self, id: u64) {
        self.0.lock().unwrap().cut.insert(id);
    }

    pub fn mend(&self, id: u64) {
        self.0.lock().unwrap().cut.remove(&id);
    }

    fn leader(&self) -> Option<(u64, Raft)> {
        let switch = self.0.lock().unwrap();
        let leads = |(id, raft): &(&u64, &Raft)| !switch.cut.contains(id) && raft.role().leading;
        let leaders = switch.running.iter().filter(leads);
        let newest = leaders.max_by_key(|(_, raft)| raft.role().term);
        newest.map(|(id, raft)| (*id, raft.clone()))
    }

    pub fn pre_votes_asked(&self, by: u64) -> usize {
        self.0.lock().unwrap().pre_votes.get(&by).copied().unwrap_or_default()
    }

    pub fn snapshots_sent(&self) -> usize {
        self.0.lock().unwrap().snapshots
    }
}

impl Peers for End {
    fn call(
        &self,
        peer: Peer,
        rpc: Rpc,
        body: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>> {
        let (wires, own) = (self.wires.clone(), self.own);
        if rpc == Rpc::PreVote {
            *wires.0.lock().unwrap().pre_votes.entry(own).or_default() += 1;
        }
        async move {
            let answer = wires.to(own, peer.raft_id)?.handle(rpc, &body).await?;
            // An answer too can be lost.
            wires.to(own, peer.raft_id).map(|_| answer)
        }
        .boxed()
    }

    fn snapshot(
        &self,
        peer: Peer,
        chunks: BoxStream<'static, Vec<u8>>,
    ) -> BoxFuture<'static, Result<Vec<u8>, PeerError>> {
        let (wires, own) = (self.wires.clone(), self.own);
        async move {
            let raft = wires.to(own, peer.raft_id)?;
            wires.0.lock().unwrap().snapshots += 1;
            raft.handle_snapshot(chunks.map(Ok).boxed()).await
        }
        .boxed()
    }
}

/// Managers and what keeps them.
pub struct Cluster {
    pub wires: Wires,
    pub timing: Timing,
    folder: Option<TempDir>,
    memories: Mutex<BTreeMap<u64, Memory>>,
}

impl Cluster {
    /// A founded cluster with managers 1 to `size`, in memory.
    pub async fn in_memory(size: u64) -> Self {
        Self::founded(size, TIMING, None).await
    }

    /// The same with files.
    pub async fn on_disk(size: u64) -> Self {
        Self::with(size, TIMING).await
    }

    pub async fn with(size: u64, timing: Timing) -> Self {
        Self::founded(size, timing, Some(tempfile::tempdir().unwrap())).await
    }

    async fn founded(size: u64, timing: Timing, folder: Option<TempDir>) -> Self {
        let cluster = Self { wires: Wires::default(), timing, folder, memories: Mutex::default() };
        let first = cluster.start(1).await;
        first.found(create("first", 1)).await.unwrap();
        for id in 2..=size {
            cluster.add(id).await;
        }
        cluster
    }

    /// Starts a new manager and makes it a member.
    pub async fn add(&self, id: u64) {
        self.start(id).await;
        let leader = self.leader().await;
        leader.add_member(id, &address(id)).await.unwrap();
    }

    /// Starts a manager on what it kept.
    pub async fn start(&self, id: u64) -> Raft {
        let raft = eventually("the file is free", || async {
            match self.open(id, Seal::new(KEY)).await {
                Err(e) if e.to_string().contains("already open") => None,
                opened => Some(opened.unwrap()),
            }
        })
        .await;
        self.wires.0.lock().unwrap().running.insert(id, raft.clone());
        raft
    }

    /// Starts a manager on what it kept, without the others.
    pub async fn start_alone(&self, id: u64, first: Transaction) -> Raft {
        let raft = eventually("the file is free", || async {
            let (config, end) = (self.config(id, Seal::new(KEY)), self.end(id));
            match Raft::open_alone(config, end, first.clone()).await {
                Err(e) if e.to_string().contains("already open") => None,
                opened => Some(opened.unwrap()),
            }
        })
        .await;
        self.wires.0.lock().unwrap().running.insert(id, raft.clone());
        raft
    }

    /// Opens a manager's files, without wiring it.
    pub async fn open(&self, id: u64, seal: Seal) -> Result<Raft, swarmw_raft::RaftError> {
        Raft::open(self.config(id, seal), self.end(id)).await
    }

    /// The same once whoever had them has let go of them.
    pub async fn opened_by(&self, id: u64, seal: &Seal) -> Option<Raft> {
        match self.open(id, seal.clone()).await {
            Err(e) if e.to_string().contains("already open") => None,
            opened => Some(opened.unwrap()),
        }
    }

    fn config(&self, id: u64, seal: Seal) -> RaftConfig {
        let storage = match &self.folder {
            Some(_) => Storage::Disk { dir: self.dir(id), seal },
            None => Storage::Memory(self.memories.lock().unwrap().entry(id).or_default().clone()),
        };
        RaftConfig { storage, raft_id: id, address: address(id), timing: self.timing }
    }

    fn end(&self, own: u64) -> Arc<dyn Peers> {
        Arc::new(End { own, wires: self.wires.clone() })
    }

    /// The folder of one manager.
    pub fn dir(&self, id: u64) -> PathBuf {
        let folder = self.folder.as_ref().map(|f| f.path()).unwrap_or(Path::new("/"));
        folder.join(id.to_string())
    }

    /// Takes a manager away, in the middle of whatever it does.
    pub async fn stop(&self, id: u64) {
        let gone = self.wires.0.lock().unwrap().running.remove(&id);
        gone.unwrap().shutdown().await;
    }

    pub fn raft(&self, id: u64) -> Raft {
        self.wires.0.lock().unwrap().running[&id].clone()
    }

    pub fn running(&self) -> Vec<u64> {
        self.wires.0.lock().unwrap().running.keys().copied().collect()
    }

    /// Whoever leads among those that can be reached.
    pub async fn leader(&self) -> Raft {
        eventually("somebody leads", || async { self.wires.leader().map(|(_, raft)| raft) }).await
    }

    pub async fn leader_id(&self) -> u64 {
        eventually("somebody leads", || async { self.wires.leader().map(|(id, _)| id) }).await
    }

    /// Creates a service, wherever the leader is, however often it takes.
    pub async fn create(&self, name: &str, request: u128) -> Vec<Outcome> {
        eventually("a write is accepted", || async {
            self.leader().await.propose(create(name, request)).await.ok()
        })
        .await
    }

    /// Waits until a manager holds exactly these services.
    pub async fn holds(&self, id: u64, want: &BTreeSet<String>) {
        let raft = self.raft(id);
        eventually(&format!("manager {id} holds {} services", want.len()), || async {
            (names(&raft.state()) == *want).then_some(())
        })
        .await;
    }
}

pub fn address(id: u64) -> String {
    format!("m{id}:2377")
}

/// A write that a client names.
pub fn create(name: &str, request: u128) -> Transaction {
    let spec = ServiceSpec { name: name.to_owned(), ..ServiceSpec::default() };
    Transaction {
        at: Time::from_nanos(1),
        request: Some(RequestId::from_bits(request)),
        changes: vec![Change::CreateService {
            id: ServiceId::from_bits(request),
            spec: Box::new(spec),
        }],
    }
}

/// What such a write is answered.
pub fn created(request: u128) -> Vec<Outcome> {
    vec![Outcome::Done(Some(Id::from_bits(request)))]
}

/// Names of all services.
pub fn names(state: &State) -> BTreeSet<String> {
    state.services().map(|s| s.spec.name.clone()).collect()
}

pub fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// Whether the write was certainly not carried out.
pub fn refused<T>(answer: &Result<T, ProposeError>) -> bool {
    matches!(answer, Err(ProposeError::NotLeader { .. }))
}
