//! Connections to who has an address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;

use swarmw_model::{EndpointId, NetworkId, PortProtocol};
use swarmw_network::Stream;
use swarmw_proto::pb;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Code, Status};
use tracing::debug;

use super::target::{Here, Led, Target, led, own};
use super::{DIAL_DEADLINE, Failure, Forward, ONE_DEADLINE, Parts};
use crate::traffic;

/// Why there is no connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// It is of none of the asker's networks.
    NotOurs,
    Failed(Failure),
}

// === impl Forward ===

impl Forward {
    /// A connection to a port of an address, for somebody on these networks.
    pub(super) async fn reach(
        &self,
        parts: &Parts,
        networks: &[NetworkId],
        address: IpAddr,
        port: u16,
    ) -> Result<Box<dyn Stream>, Missed> {
        let all = self.targets(parts, networks, address)?;
        let reached = tokio::time::timeout(DIAL_DEADLINE, in_turn(parts, all, port)).await;
        let reached = reached.unwrap_or(Err(Failure::TimedOut));
        self.count(reached.is_ok());
        reached.map_err(Missed::Failed)
    }

    /// Who stands behind an address, in turn.
    fn targets(
        &self,
        parts: &Parts,
        networks: &[NetworkId],
        address: IpAddr,
    ) -> Result<Vec<Target>, Missed> {
        let known = parts.heard.known();
        let ended = parts.heard.ended();
        let ended = ended.borrow();
        let here = Here { node: parts.node, ended: &ended };
        match led(&known, here, networks, address) {
            Led::NotOurs => Err(Missed::NotOurs),
            Led::Nowhere => Err(Missed::Failed(Failure::Unreachable)),
            Led::To(one) => Ok(vec![one]),
            Led::InTurn(network, all) => {
                let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(turns.next(network, address, all))
            }
        }
    }

    /// The last step for another node's agent, to who has an address here; with the place
    /// that the connection has until it ends.
    pub(crate) async fn arrive(
        &self,
        first: &pb::TunnelFrame,
    ) -> Result<(Box<dyn Stream>, OwnedSemaphorePermit), Status> {
        let network = first.network.parse();
        let network = network.map_err(|_| Status::invalid_argument("not a network"))?;
        let address = first.address.parse();
        let address = address.map_err(|_| Status::invalid_argument("not an address"))?;
        let port = u16::try_from(first.target_port);
        let port = port.map_err(|_| Status::invalid_argument("not a port"))?;
        if first.protocol != PortProtocol::Tcp.to_string() {
            return Err(Status::unimplemented("addresses of networks are reached by TCP alone"));
        }
        let place = self.0.arriving.clone().try_acquire_owned();
        let place = place.map_err(|_| status(Failure::TooMany))?;
        let parts = self.parts().await.ok_or_else(|| status(Failure::Unreachable))?;
        let own = {
            let known = parts.heard.known();
            let ended = parts.heard.ended();
            let here = Here { node: parts.node, ended: &ended.borrow() };
            own(&known, here, network, address)
        };
        let own = own.ok_or_else(|| status(Failure::Unreachable))?;
        let reached = tokio::time::timeout(ONE_DEADLINE, here(&parts, &own, port)).await;
        let reached = reached.unwrap_or(Err(Failure::TimedOut));
        self.count(reached.is_ok());
        Ok((reached.map_err(status)?, place))
    }
}

/// The first of them that is reached.
async fn in_turn(parts: &Parts, all: Vec<Target>, port: u16) -> Result<Box<dyn Stream>, Failure> {
    // As a kernel says it of a virtual address that nobody serves.
    let mut missed = Failure::Refused;
    for target in all {
        match tokio::time::timeout(ONE_DEADLINE, one(parts, &target, port)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(failure)) => missed = failure,
            Err(_) => missed = Failure::TimedOut,
        }
        debug!(address = %target.address, port, why = %missed, "a task is not reached");
    }
    Err(missed)
}

async fn one(parts: &Parts, target: &Target, port: u16) -> Result<Box<dyn Stream>, Failure> {
    if target.node == parts.node {
        return here(parts, target, port).await;
    }
    let known = parts.heard.known();
    let agent = known.peers.get(&target.node).map_or("", |peer| &peer.agent);
    if agent.is_empty() {
        return Err(Failure::Unreachable);
    }
    let task = match target.id {
        EndpointId::Task(task) => task.to_string(),
        EndpointId::Attachment(_) => String::new(),
    };
    let first = pb::TunnelFrame {
        task,
        target_port: u32::from(port),
        protocol: PortProtocol::Tcp.to_string(),
        data: Vec::new(),
        network: target.network.to_string(),
        address: target.address.to_string(),
    };
    let tunnel = traffic::open(&parts.channels, agent, first).await;
    let tunnel = tunnel.map_err(|status| failure(&status))?;
    Ok(Box::new(traffic::stream(tunnel)))
}

/// A connection to who is on this node.
async fn here(parts: &Parts, target: &Target, port: u16) -> Result<Box<dyn Stream>, Failure> {
    let connected = match (target.user_space, target.id, &parts.networks) {
        (true, EndpointId::Task(task), _) => {
            let found = parts.worker.find(task);
            let (_, executor) = found.ok_or(Failure::Unreachable)?;
            // One that serves nothing listens nowhere.
            let address = executor.address(task, port, PortProtocol::Tcp).await;
            TcpStream::connect(address.ok_or(Failure::Refused)?).await
        }
        (_, _, Some(networks)) => networks.connect(SocketAddr::new(target.address, port)).await,
        (_, _, None) => Err(io::ErrorKind::HostUnreachable.into()),
    };
    let stream = connected.map_err(|error| Failure::of(&error))?;
    stream.set_nodelay(true).map_err(|error| Failure::of(&error))?;
    Ok(Box::new(stream))
}

/// What an agent is told of why there is no connection…
fn status(failure: Failure) -> Status {
    let code = match failure {
        Failure::Refused => Code::Aborted,
        Failure::TimedOut => Code::DeadlineExceeded,
        Failure::Unreachable => Code::NotFound,
        Failure::TooMany => Code::ResourceExhausted,
    };
    Status::new(code, failure.to_string())
}

/// …and what it makes of it.
fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::Aborted => Failure::Refused,
        Code::DeadlineExceeded => Failure::TimedOut,
        Code::ResourceExhausted => Failure::TooMany,
        _ => Failure::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_connection_is_the_same_on_both_ends_of_a_tunnel() {
        for said in [Failure::Refused, Failure::TimedOut, Failure::Unreachable, Failure::TooMany] {
            assert_eq!(failure(&status(said)), said);
        }
        assert_eq!(failure(&Status::unavailable("away")), Failure::Unreachable);
    }
}
