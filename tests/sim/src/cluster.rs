//! A cluster, and what a test does with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_ca::{Credentials, Identity, KeyPair, RootCa};
use swarmw_manager::Manager;
use swarmw_model::{Availability, ClusterSpec, DispatcherConfig, NodeId, NodeRole, Time};
use swarmw_plugin_host::Compiler;
use swarmw_proto::Transport;
use swarmw_raft::Timing;
use swarmw_state::State;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::clock::Simulated;
use crate::machine::{Image, Images};
use crate::network::Network;
use crate::node::{Common, Node};
use crate::terms::Terms;

/// What a cluster is made of.
#[derive(Clone)]
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
    /// What compiles on the nodes that come after the first, where that is another.
    pub later_compiler: Option<Compiler>,
}

/// A cluster.
pub struct Cluster {
    /// Its network.
    pub network: Network,
    pub(crate) nodes: BTreeMap<String, Arc<Node>>,
    common: Common,
    pub(crate) ambient: Ambient,
    begun: Instant,
    pub(crate) terms: Terms,
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
            later_compiler: None,
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
        let mut common = self.common.clone();
        if number > 1
            && let Some(compiler) = &self.settings.later_compiler
        {
            common.compiler = compiler.clone();
        }
        let node = Arc::new(Node::new(&name, host, folder, ambient, common));
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

    /// Lets time pass.
    pub async fn run(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// The state as a manager has it.
    ///
    /// # Panics
    /// The node is no manager.
    pub fn state(&self, node: &Node) -> Arc<State> {
        node.manager().expect("a manager").state()
    }

    /// Elections that were won so far.
    pub fn elections(&self) -> usize {
        self.terms.count()
    }

    /// The managers that run.
    pub fn managers(&self) -> impl Iterator<Item = (&Arc<Node>, Arc<Manager>)> {
        self.nodes.values().filter_map(|node| Some((node, node.manager()?)))
    }
}
