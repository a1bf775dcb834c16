//! A new cluster: its authority, its tokens, its first manager.

use std::net::IpAddr;

use rand::Rng;
use swarmw_ca::{CaError, Credentials, Identity, JoinToken, KeyPair, RootCa};
use swarmw_model::{
    AddressPools, Availability, Base64, Cluster, ClusterId, ClusterSpec, FEATURE_LEVEL, JoinTokens,
    NodeId, NodeRole, RootCa as RootCaRecord, Time, UnlockKey, Version,
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
    /// Where networks that name no subnet get one; see
    /// [`address_pools`](swarmw_model::validate::address_pools).
    pub address_pools: AddressPools,
    /// The UDP port of VXLAN between nodes; see
    /// [`data_path_port`](swarmw_model::validate::data_path_port).
    pub data_path_port: u16,
    /// Where the first manager's VXLAN ends; `None`: at the host of `address`.
    pub data_path: Option<IpAddr>,
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
        unlock_key: founding.spec.encryption.auto_lock_managers.then(|| UnlockKey::random(rng)),
        removed_nodes: Default::default(),
        feature_level: FEATURE_LEVEL,
        address_pools: founding.address_pools.clone(),
        data_path_port: founding.data_path_port,
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

#[cfg(test)]
pub(crate) mod tests {
    use swarmw_model::{AddressPools, DATA_PATH_PORT};

    use super::*;

    /// A cluster on paper, with Docker's defaults.
    pub(crate) fn founded() -> Founded {
        let founding = Founding {
            spec: ClusterSpec::default(),
            availability: Availability::Active,
            address: "m1:2377".into(),
            address_pools: AddressPools::default(),
            data_path_port: DATA_PATH_PORT,
            data_path: None,
        };
        new_cluster(&founding, Time::ZERO, &mut rand::rng()).expect("keys")
    }
}
