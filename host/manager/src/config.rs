//! What a manager is made of, and why it may not start.

use std::path::PathBuf;
use std::sync::Arc;

use swarmw_ambient::Ambient;
use swarmw_ca::Tls;
use swarmw_model::{NodeId, Refusal, UnlockKey, Version};
use swarmw_plugin_host::Compiler;
use swarmw_proto::Channels;
use swarmw_raft::{Peers, RaftError, Storage, Timing};
use tokio::sync::watch;

use crate::blobs::BlobError;
use crate::forward::Handler;
use crate::observe::Observer;
use crate::reach::ReachHandler;

/// What a manager needs of its node.
pub struct ManagerConfig {
    /// Where the log and its snapshots are kept.
    pub storage: Storage,
    /// Where components and images are kept.
    pub blobs: PathBuf,
    /// The node.
    pub node: NodeId,
    /// Where other managers reach it: `host:port`.
    pub address: String,
    /// Time and chance.
    pub ambient: Ambient,
    /// The node's identity towards others.
    pub tls: Tls,
    /// Connections to other nodes.
    pub channels: Channels,
    /// Compiles components.
    pub compiler: Compiler,
    /// Elections.
    pub timing: Timing,
    /// How Raft's messages travel.
    pub peers: Arc<dyn Peers>,
    /// Answers requests of the API that followers pass on.
    pub handler: Handler,
    /// Answers nodes that are no managers and ask for containers of tasks.
    pub reach: ReachHandler,
    /// Asks what update policies want to be told.
    pub observer: Observer,
    /// Told how managers lock their files.
    pub lock: watch::Sender<Lock>,
}

/// How managers lock their files, as a version of the cluster says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The cluster's.
    pub version: Version,
    /// What unlocks them; `None`: they are not locked.
    pub key: Option<UnlockKey>,
}

/// Why a manager could not start.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The log or the snapshots.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The cluster could not be written down.
    #[error("{0}")]
    Refused(Refusal),
}
