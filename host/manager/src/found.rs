//! A new cluster: its authority, its tokens, its first manager.

use rand::Rng;
use swarmw_ca::{CaError, Credentials, Identity, JoinToken, KeyPair, RootCa};
use swarmw_model::{
    Availability, Base64, Cluster, ClusterId, ClusterSpec, FEATURE_LEVEL, JoinTokens, NodeId,
    NodeRole, RootCa as RootCaRecord, Time, Version,
};

/// What a founder brings.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Settings.
    pub spec: ClusterSpec,
    /// Of the first manager.
    pub availability: Availability,
    /// The first manager's address among managers: `host:port`.
    pub address: String,
}

/// A cluster that exists on paper: nothing is written yet.
#[derive(Clone, Debug)]
pub struct Founded {
    /// Of the first manager.
    pub availability: Availability,
    /// The cluster.
    pub cluster: Cluster,
    /// The first manager's credentials.
    pub credentials: Credentials,
}

/// Makes a cluster and its first manager's credentials.
///
/// # Errors
/// A key could not be made.
pub fn new_cluster(founding: &Founding, now: Time, rng: &mut impl Rng) -> Result<Founded, CaError> {
    let id = ClusterId::random(rng);
    let node = NodeId::random(rng);
    let root = RootCa::generate(id, now)?;
    let identity = Identity { node, cluster: id, role: NodeRole::Manager };
    let key = KeyPair::generate()?;
    let chain = root.sign(&key.csr_pem, &identity, founding.spec.ca.node_cert_expiry, now)?;
    let token = |rng: &mut _| JoinToken::new(&root.certificate_pem, rng).to_string();
    let cluster = Cluster {
        id,
        version: Version::default(),
        created_at: now,
        updated_at: now,
        spec: founding.spec.clone(),
        join_tokens: JoinTokens { worker: token(rng), manager: token(rng) },
        removed_nodes: Default::default(),
        feature_level: FEATURE_LEVEL,
        root_ca: RootCaRecord {
            certificate: root.certificate_pem.clone(),
            key: Base64(root.key_pem.clone().into_bytes()),
        },
    };
    let credentials = Credentials {
        identity,
        chain_pem: chain,
        key_pem: key.key_pem,
        root_pem: root.certificate_pem,
    };
    Ok(Founded { availability: founding.availability, cluster, credentials })
}
