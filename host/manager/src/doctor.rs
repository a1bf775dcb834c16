//! Asks nodes how their networks are, each by a call of its own: one that is away keeps
//! nobody else from answering.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{NetFindings, NetReport, NetStatus, Node, NodeId, NodeState};
use swarmw_proto::{Channels, pb, wire};
use swarmw_state::State;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tracing::error;

use crate::dispatcher::should_have_heard;
use crate::manager::Inner;

/// How long a node may take; it gives its own looks a second less.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nodes that are asked at a time: with 3,000 silent ones the API's minute is over.
const AT_A_TIME: usize = 256;

/// Says of each node how it stands, in the order of the question.
pub(crate) async fn examine(inner: &Arc<Inner>, nodes: &[NodeId]) -> Vec<NetReport> {
    let mut reports = ask_all(inner, nodes).await;
    let state = inner.log.raft.state();
    let numbered = state.nodes().map(|node| (node.number, node.id)).collect();
    // Nobody is blamed for packets that get lost without having been asked as well.
    let asked: BTreeSet<_> = nodes.iter().copied().collect();
    let silent = NetReport::silent(&reports, &numbered);
    let unasked: Vec<_> = silent.difference(&asked).copied().collect();
    let others = ask_all(inner, &unasked).await;
    NetReport::judge_data_path(&mut reports, &others, &numbered);
    NetReport::compare(&mut reports);
    reports
}

/// Asks nodes, and has their answers in the same order.
async fn ask_all(inner: &Arc<Inner>, nodes: &[NodeId]) -> Vec<NetReport> {
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    // Whoever asked may go: then nobody is asked any more.
    let mut asking = JoinSet::new();
    for (place, id) in nodes.iter().copied().enumerate() {
        let (inner, turns) = (inner.clone(), turns.clone());
        asking.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (place, of_node(&inner, id).await)
        });
    }
    let mut told = Vec::with_capacity(nodes.len());
    while let Some(asked) = asking.join_next().await {
        match asked {
            Ok((place, report)) => told.extend(report.map(|report| (place, report))),
            Err(panic) => error!(%panic, "a node's report on its networks got lost"),
        }
    }
    told.sort_unstable_by_key(|(place, _)| *place);
    told.into_iter().map(|(_, report)| report).collect()
}

async fn of_node(inner: &Inner, id: NodeId) -> Option<NetReport> {
    let before = inner.log.raft.state();
    let node = before.node(id)?;
    let asked = ask(&inner.channels, &node.description.agent_address);
    let report = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(findings)) => {
            let after = inner.log.raft.state();
            let heard = |state: &State| should_have_heard(state, id);
            let should: Vec<_> = [heard(&before), heard(&after)].into_iter().flatten().collect();
            NetReport::of(id, &node.description.hostname, findings, &should)
        }
        Ok(Err(status)) if !swarmw_proto::fell_silent(&status) => refused(node, &status),
        // A sign of life is waited for as long as the answer.
        Ok(Err(_)) | Err(_) => {
            silent(node, format!("it did not answer within {} s", PATIENCE.as_secs()))
        }
    };
    Some(report)
}

async fn ask(channels: &Channels, address: &str) -> Result<NetFindings, Status> {
    if address.is_empty() {
        return Err(Status::unavailable("it has not said yet where it is reached"));
    }
    let mut client = pb::doctor_client::DoctorClient::new(channels.get(address)?);
    let reply = client.examine(pb::ExamineRequest {}).await?.into_inner();
    wire::decode(&reply.findings).map_err(|error| Status::internal(error.to_string()))
}

fn refused(node: &Node, status: &Status) -> NetReport {
    if status.code() != Code::Unimplemented {
        return silent(node, format!("it could not be asked: {}", status.message()));
    }
    NetReport {
        node: node.id,
        hostname: node.description.hostname.clone(),
        status: NetStatus::Old,
        why: "its binary is older than `net doctor`".to_owned(),
        advice: "give it the managers' release".to_owned(),
        findings: None,
    }
}

/// A node that was not heard, and what the leader knows besides.
fn silent(node: &Node, why: String) -> NetReport {
    let address = &node.description.agent_address;
    let advice = match node.status.state {
        NodeState::Ready => format!(
            "its session with the leader is alive: see whether a firewall keeps managers from \
             {address}, or its daemon has too much to do"
        ),
        _ => "the leader does not hear of it either: see whether its machine and its daemon run"
            .to_owned(),
    };
    NetReport {
        node: node.id,
        hostname: node.description.hostname.clone(),
        status: NetStatus::Silent,
        why,
        advice,
        findings: None,
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::NodeRole;

    use super::*;

    fn node(state: NodeState) -> Node {
        let mut node =
            crate::authority::new_node(NodeId::from_bits(1), NodeRole::Worker, Default::default());
        node.description.hostname = "n1".to_owned();
        node.description.agent_address = "10.0.0.7:2377".to_owned();
        node.status.state = state;
        node
    }

    #[test]
    fn a_node_without_the_method_is_too_old_and_any_other_error_is_silence() {
        let old = refused(&node(NodeState::Ready), &Status::unimplemented(""));
        assert_eq!((old.status, old.hostname.as_str()), (NetStatus::Old, "n1"));
        let away = refused(&node(NodeState::Down), &Status::unavailable("tcp connect error"));
        assert_eq!(away.status, NetStatus::Silent);
        assert!(away.why.ends_with("tcp connect error"), "{}", away.why);
    }

    #[test]
    fn a_silent_node_that_the_leader_hears_is_another_case_than_one_that_is_down() {
        let heard = silent(&node(NodeState::Ready), String::new()).advice;
        assert!(heard.contains("firewall") && heard.contains("10.0.0.7:2377"), "{heard}");
        let down = silent(&node(NodeState::Down), String::new()).advice;
        assert!(down.contains("does not hear of it either"), "{down}");
    }
}
