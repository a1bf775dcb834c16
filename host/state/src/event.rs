//! What a transaction changed, told to loops, watchers and caches.

use std::sync::Arc;

use swarmw_model::{
    Attachment, ClusterVolume, Config, Network, Node, Plugin, Secret, Service, Task,
};

/// One object before and after: `old` is absent for a new object, `new` for a
/// removed one.
#[derive(Clone, Debug)]
pub enum Event {
    /// The cluster's settings, tokens or authority.
    Cluster,
    /// A node.
    Node {
        /// Before.
        old: Option<Arc<Node>>,
        /// After.
        new: Option<Arc<Node>>,
    },
    /// A service.
    Service {
        /// Before.
        old: Option<Arc<Service>>,
        /// After.
        new: Option<Arc<Service>>,
    },
    /// A task.
    Task {
        /// Before.
        old: Option<Arc<Task>>,
        /// After.
        new: Option<Arc<Task>>,
    },
    /// A volume of the cluster.
    Volume {
        /// Before.
        old: Option<Arc<ClusterVolume>>,
        /// After.
        new: Option<Arc<ClusterVolume>>,
    },
    /// A secret.
    Secret {
        /// Before.
        old: Option<Arc<Secret>>,
        /// After.
        new: Option<Arc<Secret>>,
    },
    /// A config.
    Config {
        /// Before.
        old: Option<Arc<Config>>,
        /// After.
        new: Option<Arc<Config>>,
    },
    /// A plugin.
    Plugin {
        /// Before.
        old: Option<Arc<Plugin>>,
        /// After.
        new: Option<Arc<Plugin>>,
    },
    /// A network.
    Network {
        /// Before.
        old: Option<Arc<Network>>,
        /// After.
        new: Option<Arc<Network>>,
    },
    /// A container that joined a network by itself.
    Attachment {
        /// Before.
        old: Option<Arc<Attachment>>,
        /// After.
        new: Option<Arc<Attachment>>,
    },
}

// === impl Event ===

impl Event {
    /// The same for who keeps it: a secret that is removed is nowhere any more.
    pub(crate) fn without_secrets(&self) -> Self {
        let shown = |secret: &Option<Arc<Secret>>| {
            secret.as_ref().map(|secret| Arc::new(secret.without_data()))
        };
        match self {
            Self::Secret { old, new } => Self::Secret { old: shown(old), new: shown(new) },
            other => other.clone(),
        }
    }
}
