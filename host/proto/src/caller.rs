//! Who calls, and what that allows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use swarmw_ca::Identity;
use swarmw_model::NodeRole;
use tonic::{Request, Status};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is, by its certificate; `None` for a node that joins.
    pub identity: Option<Identity>,
    /// Where it calls from.
    pub addr: SocketAddr,
}

/// Who may call a method.
///
/// | service | allowed |
/// |---|---|
/// | `Ca` | anyone: a joining node has no certificate yet |
/// | `Raft`, `Membership.Join`, `Api`, `Blobs.Put`, `Blobs.Has` | managers |
/// | `Membership.Leave`, `Dispatcher`, `Blobs.Get`, `Tunnel` | any node |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Managers only.
    Manager,
    /// Any node of the cluster.
    AnyNode,
}

const NOBODY: Caller =
    Caller { identity: None, addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0) };

/// The other end of a request's connection.
pub fn caller<T>(request: &Request<T>) -> &Caller {
    request.extensions().get().unwrap_or(const { &NOBODY })
}

/// The caller's identity, if the method allows it.
///
/// # Errors
/// `Unauthenticated` without a certificate, `PermissionDenied` in the wrong role.
pub fn require<T>(request: &Request<T>, allowed: Allowed) -> Result<Identity, Status> {
    let Some(identity) = caller(request).identity.clone() else {
        return Err(Status::unauthenticated("this call needs a node's certificate"));
    };
    match (allowed, identity.role) {
        (Allowed::Manager, NodeRole::Worker) => Err(Status::permission_denied(format!(
            "node {} is a worker; only managers may call this",
            identity.node
        ))),
        _ => Ok(identity),
    }
}
