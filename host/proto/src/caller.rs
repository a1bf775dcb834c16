//! Who calls, and what that allows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use swarmw_ca::{Identity, Tls};
use swarmw_model::NodeRole;
use tonic::{Request, Status};

/// The other end of a connection.
#[derive(Clone)]
pub struct Caller {
    /// Who it is, by its certificate; `None` for a node that joins.
    pub identity: Option<Identity>,
    /// Where it calls from.
    pub addr: SocketAddr,
    /// Knows which nodes have been removed since the connection was made.
    pub(crate) tls: Option<Tls>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, addr, .. } = self;
        f.debug_struct("Caller").field("identity", identity).field("addr", addr).finish()
    }
}

/// Who may call a method.
///
/// | service | allowed |
/// |---|---|
/// | `Ca` | anyone: a joining node has no certificate yet |
/// | `Raft`, `Membership.Join`, `Api`, `Blobs.Put`, `Blobs.Has`, `Doctor`, `Containers` | managers |
/// | `Membership.Leave`, `Dispatcher`, `Blobs.Get`, `Tunnel` | any node |
/// | `Reach` | any node, where the cluster says so |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Managers only.
    Manager,
    /// Any node of the cluster.
    AnyNode,
}

const NOBODY: Caller = Caller {
    identity: None,
    addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    tls: None,
};

/// The other end of a request's connection.
pub fn caller<T>(request: &Request<T>) -> &Caller {
    request.extensions().get().unwrap_or(const { &NOBODY })
}

/// The caller's identity, if the method allows it.
///
/// # Errors
/// `Unauthenticated` without a certificate, `PermissionDenied` in the wrong role or
/// after the node was removed.
pub fn require<T>(request: &Request<T>, allowed: Allowed) -> Result<Identity, Status> {
    let Caller { identity, tls, .. } = caller(request);
    let Some(identity) = identity.clone() else {
        return Err(Status::unauthenticated("this call needs a node's certificate"));
    };
    if tls.as_ref().is_some_and(|tls| tls.is_denied(identity.node)) {
        return Err(Status::permission_denied(format!(
            "node {} has been removed from the swarm",
            identity.node
        )));
    }
    match (allowed, identity.role) {
        (Allowed::Manager, NodeRole::Worker) => Err(Status::permission_denied(format!(
            "node {} is a worker; only managers may call this",
            identity.node
        ))),
        _ => Ok(identity),
    }
}
