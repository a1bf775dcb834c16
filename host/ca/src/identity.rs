//! Who a certificate says its holder is.

use swarmw_model::{ClusterId, NodeId, NodeRole};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::CaError;

/// A node, its cluster and its role, as a certificate proves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node: the common name.
    pub node: NodeId,
    /// The cluster: the organization.
    pub cluster: ClusterId,
    /// The role: the organizational unit.
    pub role: NodeRole,
}

/// Swarm's organizational units.
pub(crate) const fn unit(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Manager => "swarm-manager",
        NodeRole::Worker => "swarm-worker",
    }
}

// === impl Identity ===

impl Identity {
    /// Reads a certificate in DER. Its signature is not checked here.
    ///
    /// # Errors
    /// It is none of a node.
    pub fn of_certificate(der: &[u8]) -> Result<Self, CaError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CaError::Identity("not X.509"))?;
        let subject = certificate.subject();
        let node = first(subject.iter_common_name()).and_then(|cn| cn.parse().ok());
        let cluster = first(subject.iter_organization()).and_then(|o| o.parse().ok());
        let role = match first(subject.iter_organizational_unit()) {
            Some("swarm-manager") => Some(NodeRole::Manager),
            Some("swarm-worker") => Some(NodeRole::Worker),
            _ => None,
        };
        Ok(Self {
            node: node.ok_or(CaError::Identity("the common name is no node id"))?,
            cluster: cluster.ok_or(CaError::Identity("the organization is no cluster id"))?,
            role: role.ok_or(CaError::Identity("the organizational unit is no role"))?,
        })
    }
}

fn first<'a>(
    mut values: impl Iterator<Item = &'a x509_parser::prelude::AttributeTypeAndValue<'a>>,
) -> Option<&'a str> {
    values.next()?.as_str().ok()
}

/// The issuer's name and public key, in DER.
pub(crate) fn issuer_of(leaf: &[u8], root: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let (_, root) = X509Certificate::from_der(root).ok()?;
    let name: &X509Name<'_> = leaf.issuer();
    Some((name.as_raw().to_vec(), root.public_key().raw.to_vec()))
}
