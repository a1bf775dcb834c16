//! A cluster, and what a test does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, KeyPair, RootCa};
use swarmw_manager::{Manager, is_leader_lost};
use swarmw_model::{
    Availability, ClusterSpec, DispatcherConfig, Id, NodeId, NodeRole, NodeSpec, NodeState,
    Refusal, RequestId, ServiceId, ServiceSpec, Slot, Task, TaskId, TaskState, Time,
};
use swarmw_plugin_host::Compiler;
use swarmw_proto::Transport;
use swarmw_raft::Timing;
use swarmw_state::{Change, State};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::clock::Simulated;
use crate::machine::{Happening, Image, Images, What};
use crate::network::Network;
use crate::node::{Common, Node};
use crate::terms::Terms;

/// Between two looks at what a test waits for.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that a test waits for what should come soon.
pub const SOON: Duration = Duration::from_secs(120);
/// Between two tries of a write that found no leader.
const WRITE_PAUSE: Duration = Duration::from_millis(100);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What ids, backoffs and delays follow.
    pub seed: u64,
    /// Managers n1, n2, …: drained, so that tasks run on workers.
    pub managers: usize,
    /// Workers behind them.
    pub workers: usize,
    /// Between two heartbeats of an agent.
    pub heartbeat: swarmw_model::Duration,
    /// How quickly a dead leader is replaced, and how long the log grows.
    pub timing: Timing,
    /// Where compiled components are kept from one test to the next.
    pub compiled: PathBuf,
}

/// A cluster.
pub struct Cluster {
    /// Its network.
    pub network: Network,
    nodes: BTreeMap<String, Arc<Node>>,
    common: Common,
    ambient: Ambient,
    begun: Instant,
    terms: Terms,
    settings: Settings,
    folder: TempDir,
}

// === impl Settings ===

impl Settings {
    /// Three managers and two workers, with Swarm's heartbeat.
    pub fn new(compiled: impl Into<PathBuf>) -> Self {
        Self {
            seed: 1,
            managers: 3,
            workers: 2,
            heartbeat: DispatcherConfig::default().heartbeat_period,
            timing: Timing::default(),
            compiled: compiled.into(),
        }
    }
}

// === impl Cluster ===

impl Cluster {
    /// Founds a cluster; returns when all nodes are ready and all managers reachable.
    pub async fn new(settings: Settings) -> Self {
        let begun = Instant::now();
        let source = Simulated::new(begun, swarmw_model::Duration::ZERO, settings.seed);
        let ambient = Ambient::of(source);
        let network = Network::new(ambient.clone());
        let common = Common {
            network: network.clone(),
            images: Images::default(),
            compiler: Compiler::in_process(settings.compiled.clone(), [1; 32]),
            timing: settings.timing,
        };
        let (managers, workers) = (settings.managers, settings.workers);
        let mut cluster = Self {
            network,
            nodes: BTreeMap::new(),
            common,
            ambient,
            begun,
            terms: Terms::default(),
            settings,
            folder: tempfile::tempdir().expect("a folder"),
        };
        cluster.found().await;
        for _ in 1..managers {
            cluster.add(NodeRole::Manager).await;
        }
        for _ in 0..workers {
            cluster.add(NodeRole::Worker).await;
        }
        cluster
    }

    async fn found(&mut self) {
        let node = self.new_node();
        let spec = ClusterSpec {
            dispatcher: DispatcherConfig { heartbeat_period: self.settings.heartbeat },
            ..ClusterSpec::default()
        };
        node.found(spec, Availability::Drain).await;
        self.follow(&node);
        self.ready(&node.name).await;
    }

    /// Adds a node; its name.
    pub async fn add(&mut self, role: NodeRole) -> String {
        let leader = self.leader().await;
        let tokens = self.state(&leader).cluster().expect("founded").join_tokens.clone();
        let (token, availability) = match role {
            NodeRole::Manager => (tokens.manager, Availability::Drain),
            NodeRole::Worker => (tokens.worker, Availability::Active),
        };
        let node = self.new_node();
        node.join(&leader.address(), &token, availability).await;
        self.ready(&node.name).await;
        if role == NodeRole::Manager {
            self.seated(&node.name).await;
            self.follow(&node);
        }
        node.name.clone()
    }

    fn new_node(&mut self) -> Arc<Node> {
        let number = self.nodes.len() as u8 + 1;
        let name = format!("n{number}");
        let seed = self.settings.seed.wrapping_mul(1_000).wrapping_add(u64::from(number));
        // No two clocks agree.
        let ahead = swarmw_model::Duration::from_millis(i64::from(number) * 7);
        let ambient = Ambient::of(Simulated::new(self.begun, ahead, seed));
        let host = IpAddr::from([10, 0, 0, number]);
        let folder = self.folder.path().join(&name);
        let node = Arc::new(Node::new(&name, host, folder, ambient, self.common.clone()));
        self.nodes.insert(name, node.clone());
        node
    }

    /// Watches whom a manager takes for the leader.
    fn follow(&self, node: &Node) {
        if let Some(manager) = node.manager() {
            self.terms.follow(&manager, node.id());
        }
    }

    /// Starts a node's daemon again.
    pub async fn start(&self, name: &str) {
        let node = self.node(name);
        node.start().await;
        self.follow(node);
    }

    /// A node.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn node(&self, name: &str) -> &Arc<Node> {
        self.nodes.get(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// The name of a node.
    pub fn name_of(&self, id: NodeId) -> &str {
        let found = self.nodes.values().find(|node| node.id() == id);
        found.map_or("?", |node| &node.name)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// What somebody on the network sees who is no node of the cluster.
    pub fn outsider(&self) -> (Arc<dyn Transport>, Ambient) {
        let host = IpAddr::from([10, 0, 1, 1]);
        (Arc::new(self.network.power_on(host)), self.ambient.clone())
    }

    /// Credentials of a node in this role, as the cluster's authority issues them.
    pub async fn credentials(&self, role: NodeRole) -> Credentials {
        let state = self.fresh().await;
        let cluster = state.cluster().expect("founded");
        let key = String::from_utf8_lossy(&cluster.root_ca.key.0).into_owned();
        let root = RootCa::load(&cluster.root_ca.certificate, &key).expect("a root");
        let node = NodeId::from_bits(self.ambient.chance().random());
        let identity = Identity { node, cluster: cluster.id, role };
        let own = KeyPair::generate().expect("a key");
        let life = cluster.spec.ca.node_cert_expiry;
        let chain_pem =
            root.sign(&own.csr_pem, &identity, life, self.now()).expect("a request of our own");
        Credentials { identity, chain_pem, key_pem: own.key_pem, root_pem: root.certificate_pem }
    }

    /// Has containers of an image behave so.
    pub fn image(&self, name: &str, image: Image) {
        let mut images = self.common.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.insert(name.to_owned(), image);
    }

    /// Cuts nodes off from all others, who go on among themselves.
    pub fn isolate(&self, names: &[&str]) {
        self.between(names, |a, b| self.network.cut(a, b));
    }

    /// Ends [`Cluster::isolate`].
    pub fn rejoin(&self, names: &[&str]) {
        self.between(names, |a, b| self.network.mend(a, b));
    }

    fn between(&self, names: &[&str], change: impl Fn(IpAddr, IpAddr)) {
        for inside in self.nodes.values().filter(|n| names.contains(&&*n.name)) {
            for outside in self.nodes.values().filter(|n| !names.contains(&&*n.name)) {
                change(inside.host, outside.host);
            }
        }
    }

    /// Since the cluster began.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Now, by the clock of the test.
    pub fn now(&self) -> Time {
        self.ambient.now()
    }

    /// A number that follows the seed.
    pub fn random(&self, below: u64) -> u64 {
        self.ambient.chance().random_range(0..below)
    }

    /// Has nodes be heard again, all of them, at once and with their daemons running.
    pub async fn heal(&self) {
        self.network.mend_all();
        for node in self.nodes.values().filter(|node| !node.is_up()) {
            self.start(&node.name).await;
        }
        for name in self.nodes.keys() {
            self.ready(name).await;
        }
    }

    /// What happened to the tasks of a service on all machines, in order.
    pub fn journal(&self, service: &str, what: What) -> Vec<Happening> {
        let all = self.nodes.values().flat_map(|node| node.machine.journal());
        let mut all: Vec<_> = all.filter(|h| h.what == what && h.slot.0 == service).collect();
        all.sort_by_key(|h| h.at);
        all
    }

    /// Lets time pass.
    pub async fn run(&self, time: Duration) {
        tokio::time::sleep(time).await;
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

    /// The state as a manager has it.
    ///
    /// # Panics
    /// The node is no manager.
    pub fn state(&self, node: &Node) -> Arc<State> {
        node.manager().expect("a manager").state()
    }

    /// The state that every acknowledged write is in.
    pub async fn fresh(&self) -> Arc<State> {
        self.soon("somebody answers reads", async || self.leads()?.manager()?.read().await.ok())
            .await
    }

    /// Writes, wherever the leader is and however often it takes.
    ///
    /// # Errors
    /// What the state refused.
    pub async fn write(&self, change: Change) -> Result<Option<Id>, Refusal> {
        let request = RequestId::from_bits(self.ambient.chance().random());
        self.soon("a write is taken", async || {
            let manager = self.leader().await.manager()?;
            let written = manager.write(Some(request), change.clone()).await;
            match written {
                Err(refusal) if is_leader_lost(&refusal) => {
                    tokio::time::sleep(WRITE_PAUSE).await;
                    None
                }
                written => Some(written),
            }
        })
        .await
    }

    /// Creates a service.
    ///
    /// # Panics
    /// It is refused.
    pub async fn create(&self, spec: ServiceSpec) -> ServiceId {
        let manager = self.leader().await.manager().expect("a leader is a manager");
        manager.check_service(&spec).await.expect("a service that plugins can work with");
        let id = ServiceId::from_bits(self.ambient.chance().random());
        let change = Change::CreateService { id, spec: Box::new(spec) };
        self.write(change).await.expect("a service of this name");
        id
    }

    /// Changes a service's spec.
    ///
    /// # Panics
    /// It is refused.
    pub async fn update(&self, id: ServiceId, change: impl Fn(&mut ServiceSpec)) {
        self.soon("the service is changed", async || {
            let service = self.fresh().await.service(id).expect("a service").clone();
            let mut spec = service.spec.clone();
            change(&mut spec);
            let update =
                Change::UpdateService { id, version: service.version, spec: Box::new(spec) };
            self.settled(self.write(update).await)
        })
        .await;
    }

    /// Has a service's containers be of another image.
    pub async fn update_image(&self, id: ServiceId, image: &str) {
        self.update(id, |spec| {
            let template = Arc::make_mut(&mut spec.task_template);
            template.container_spec.get_or_insert_default().image = image.into();
        })
        .await;
    }

    /// Changes a node's spec.
    ///
    /// # Panics
    /// It is refused.
    pub async fn update_node(&self, name: &str, change: impl Fn(&mut NodeSpec)) {
        let id = self.node(name).id();
        self.soon("the node is changed", async || {
            let node = self.fresh().await.node(id).expect("a node").clone();
            let mut spec = node.spec.clone();
            change(&mut spec);
            self.settled(self.write(Change::UpdateNode { id, version: node.version, spec }).await)
        })
        .await;
    }

    /// A write whose premise was gone is to be tried again.
    fn settled(&self, written: Result<Option<Id>, Refusal>) -> Option<()> {
        match written {
            Ok(_) => Some(()),
            Err(refusal) if refusal == Refusal::out_of_sequence() => None,
            Err(refusal) => panic!("refused: {refusal}"),
        }
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
            t.status.state == TaskState::Running && t.desired_state == TaskState::Running
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

    /// Elections that were won so far.
    pub fn elections(&self) -> usize {
        self.terms.count()
    }

    /// The managers that run.
    pub fn managers(&self) -> impl Iterator<Item = (&Arc<Node>, Arc<Manager>)> {
        self.nodes.values().filter_map(|node| Some((node, node.manager()?)))
    }

    /// What holds at any time: one leader a term, managers that agree on what they
    /// have both applied.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self) {
        self.terms.check();
        let mut seen: BTreeMap<u64, (String, Arc<State>)> = BTreeMap::new();
        for (node, manager) in self.managers() {
            let state = manager.state();
            let (other, known) =
                seen.entry(state.index()).or_insert_with(|| (node.name.clone(), state.clone()));
            let same = known.to_snapshot() == state.to_snapshot();
            assert!(same, "{other} and {} differ at entry {}", node.name, state.index());
        }
    }

    /// Waits until nothing is to be done any more: every replica that is wanted runs,
    /// once, and nothing else runs on any machine whose daemon is up.
    ///
    /// # Panics
    /// It does not come to that, or [`Cluster::check`] finds something.
    pub async fn settle(&self) {
        let unsettled = async || {
            let Some(state) = self.led() else { return Some("nobody leads".to_owned()) };
            self.unsettled(&state)
        };
        let deadline = Instant::now() + SOON;
        while let Some(why) = unsettled().await {
            assert!(Instant::now() < deadline, "not settled: {why}\n{}", self.picture());
            tokio::time::sleep(LOOK).await;
        }
        self.check();
    }

    /// What is not as it should be once nothing is to be done any more.
    fn unsettled(&self, state: &State) -> Option<String> {
        let mut wanted: BTreeSet<TaskId> = BTreeSet::new();
        for service in state.services() {
            let tasks = self.running_in(state, service.id);
            let slots: BTreeSet<Slot> = tasks.iter().filter_map(|t| t.slot()).collect();
            if slots.len() != tasks.len() {
                return Some(format!("two tasks in a slot of {}", service.spec.name));
            }
            if let Some(replicas) = service.spec.replicas()
                && tasks.len() as u64 != replicas
            {
                return Some(format!("{} of {replicas} run", tasks.len()));
            }
            wanted.extend(tasks.iter().map(|t| t.id));
        }
        let up = self.nodes.values().filter(|node| node.is_up());
        let runs: BTreeSet<TaskId> = up.flat_map(|node| node.machine.running()).collect();
        (runs != wanted).then(|| format!("machines run {runs:?}, wanted are {wanted:?}"))
    }

    /// Everything, for a message.
    pub fn picture(&self) -> String {
        let mut text = format!("after {:?}\n", self.elapsed());
        for node in self.nodes.values() {
            let up = node.is_up();
            let runs: Vec<_> = node.machine.running().iter().map(ToString::to_string).collect();
            text += &format!("{} up={up} leads={} runs={runs:?}\n", node.name, node.leads());
        }
        let newest = self.managers().map(|(_, m)| m.state()).max_by_key(|s| s.index());
        for state in newest.iter() {
            for node in state.nodes() {
                let name = self.name_of(node.id);
                text += &format!("  {name} {:?} {}\n", node.status.state, node.status.message);
            }
            for service in state.services() {
                text += &format!("  {} {:?}\n", service.spec.name, service.update_status);
                for task in state.tasks_of_service(service.id) {
                    let place = task.node_id.map(|id| self.name_of(id));
                    text += &format!(
                        "    {} slot={} {place:?} {} wanted {} {:?}\n",
                        task.id,
                        task.slot,
                        task.status.state,
                        task.desired_state,
                        task.status.error
                    );
                }
            }
        }
        text
    }
}
