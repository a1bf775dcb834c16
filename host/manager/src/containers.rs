//! Connections to the containers of tasks, on the nodes where they are. That this node may
//! is its certificate's word: agents let managers in and nobody else.

use std::time::Duration;

use swarmw_model::{Node, NodeState, Refusal, RefusalKind, TaskId};
use swarmw_proto::{Channels, PIECES_IN_FLIGHT, Wire, pb, pipe};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::manager::Inner;

/// How long a node may take until it has said that it has the task.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection that speaks HTTP as to the engine of the task's node. Nothing is sent
/// over it yet, and it is never opened a second time.
pub(crate) async fn open(inner: &Inner, task: TaskId) -> Result<Box<dyn Wire>, Refusal> {
    let state = inner.log.raft.state();
    let node = state.task(task).and_then(|task| state.node(task.node_id?));
    let node = node.ok_or_else(|| Refusal::not_found("task", task))?;
    if node.status.state == NodeState::Down {
        return Err(is_down(node));
    }
    let opened = call(&inner.channels, &node.description.agent_address, task);
    match tokio::time::timeout(PATIENCE, opened).await {
        Ok(opened) => opened.map_err(|status| refused(node, &status)),
        Err(_) => Err(not_reached(node, &format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

async fn call(channels: &Channels, address: &str, task: TaskId) -> Result<Box<dyn Wire>, Status> {
    if address.is_empty() {
        return Err(Status::unavailable("it has not said yet where it is reached"));
    }
    let (pieces, outgoing) = mpsc::channel(PIECES_IN_FLIGHT);
    let first = pb::ContainerBytes { task: task.to_string(), data: Vec::new() };
    pieces.send(first).await.map_err(|_| Status::cancelled("the call ends"))?;
    let mut client = pb::containers_client::ContainersClient::new(channels.get(address)?);
    let answers = client.open(ReceiverStream::new(outgoing)).await?.into_inner();
    Ok(pipe(answers, pieces, |piece| piece))
}

/// A node as people know it.
fn name(node: &Node) -> String {
    match node.description.hostname.as_str() {
        "" => format!("node {}", node.id),
        hostname => format!("node {hostname} ({})", node.id),
    }
}

fn is_down(node: &Node) -> Refusal {
    let message = format!("{} is down: its containers are not reached", name(node));
    Refusal::plain(RefusalKind::Unavailable, message)
}

fn not_reached(node: &Node, why: &str) -> Refusal {
    let address = &node.description.agent_address;
    let message = format!("{} is not reached at {address}: {why}", name(node));
    Refusal::plain(RefusalKind::Unavailable, message)
}

fn refused(node: &Node, status: &Status) -> Refusal {
    let told = status.message();
    match status.code() {
        Code::Unimplemented => Refusal::plain(
            RefusalKind::Unavailable,
            format!(
                "the daemon of {} is older than the way to its containers: give it the managers' \
                 release",
                name(node)
            ),
        ),
        Code::NotFound => Refusal::plain(RefusalKind::NotFound, format!("{}: {told}", name(node))),
        Code::FailedPrecondition => {
            Refusal::plain(RefusalKind::FailedPrecondition, format!("{}: {told}", name(node)))
        }
        Code::ResourceExhausted | Code::PermissionDenied => {
            Refusal::plain(RefusalKind::Unavailable, format!("{}: {told}", name(node)))
        }
        _ => not_reached(node, told),
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::{NodeId, NodeRole};

    use super::*;

    fn node() -> Node {
        let mut node =
            crate::authority::new_node(NodeId::from_bits(1), NodeRole::Worker, Default::default());
        node.description.hostname = "n2".to_owned();
        node.description.agent_address = "10.0.0.7:2377".to_owned();
        node
    }

    #[test]
    fn whoever_asks_hears_which_node_it_was_and_why() {
        for (status, kind, said) in [
            (Status::unavailable("tcp connect error"), 503, "is not reached at 10.0.0.7:2377: tcp"),
            (Status::unimplemented(""), 503, "is older than the way to its containers"),
            (Status::not_found("no such task here"), 404, "no such task here"),
            (Status::failed_precondition("a component"), 400, "a component"),
            (Status::resource_exhausted("too many"), 503, "too many"),
        ] {
            let told = refused(&node(), &status);
            assert_eq!(told.kind.http_status(), kind, "{told}");
            assert!(told.message.contains(said), "{told}");
            assert!(told.message.contains("node n2 (0000000000000000000000001)"), "{told}");
        }
        assert!(is_down(&node()).message.starts_with("node n2 "));
    }
}
