//! `/nodes`.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use swarmw_model::{
    Duration, Filters, ManagerStatus, Node, NodeId, NodeRole, NodeSpec, Reachability, Refusal,
    RefusalKind,
};
use swarmw_state::{Change, Lookup};

use crate::api::Host;
use crate::body::{self, Params};
use crate::engine::asked_in;
use crate::forward::begin;
use crate::listing::{at, prefix};
use crate::page::{Cut, Page};
use crate::reply::{self, Reply, done, ok};
use crate::since::{self, In};
use crate::words;

/// Keys of `filters`.
pub(crate) const FILTERS: &[&str] = &["id", "label", "node.label", "membership", "name", "role"];

/// Beyond its certificate's life, how long a removed node is turned away.
const DENY_MARGIN: Duration = Duration::from_secs(3600);

/// A node as it is answered: with how it stands as a manager, and without what nodes
/// tell each other for networks.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(flatten)]
    node: Node,
    #[serde(skip_serializing_if = "Option::is_none")]
    manager_status: Option<ManagerStatus>,
}

fn shown(node: &Node, managers: &BTreeMap<NodeId, ManagerStatus>) -> Shown {
    let manager_status = node.member.as_ref().map(|member| {
        managers.get(&node.id).cloned().unwrap_or_else(|| ManagerStatus {
            addr: member.addr.clone(),
            ..ManagerStatus::default()
        })
    });
    let mut node = node.clone();
    node.number = 0;
    let description = &mut node.description;
    description.data_path_address.clear();
    description.feature_level = 0;
    (description.gateway_v6, description.kernel_ports) = (false, false);
    Shown { node, manager_status }
}

/// A node as far as it is in the replicated state: without how it is reached as a manager,
/// which the leader alone knows.
pub(crate) fn replicated(node: &Node) -> Value {
    let Shown { node, .. } = shown(node, &BTreeMap::new());
    json!(node)
}

/// Refuses words that say nothing.
pub(crate) fn check(filters: &Filters) -> Result<(), Refusal> {
    for (key, known) in
        [("role", &["manager", "worker"][..]), ("membership", &["accepted", "pending"])]
    {
        if let Some(wrong) =
            filters.values(key).iter().find(|v| !known.contains(&v.to_lowercase().as_str()))
        {
            // 500, as Docker has it.
            return Err(Refusal::plain(
                RefusalKind::Unknown,
                format!("invalid {key} filter: '{wrong}'"),
            ));
        }
    }
    Ok(())
}

/// Whether a node is wanted.
pub(crate) fn passes(filters: &Filters, node: &Node) -> bool {
    prefix(filters, "id", &node.id.to_string())
        && prefix(filters, "name", &node.description.hostname)
        && filters.labels("label", &node.description.engine.labels)
        && filters.labels("node.label", &node.spec.labels)
        && filters.any("role", |r| r.eq_ignore_ascii_case(node.spec.role.as_str()))
        // Who has a certificate is accepted; nobody waits for one.
        && filters.any("membership", |m| m.eq_ignore_ascii_case("accepted"))
}

/// `GET /nodes`
pub(crate) async fn list(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let page = Page::of("node", &params)?;
    let filters = params.filters(FILTERS)?;
    check(&filters)?;
    let state = host.read().await?;
    let managers = host.manager_statuses().await;
    let nodes: Vec<_> = state.nodes().filter(|node| passes(&filters, node)).cloned().collect();
    let Cut { items, head } = page.cut(nodes, |node| node.id);
    let version = asked_in(&request);
    let listed = reply::list(items, move |text, node| {
        reply::write(text, &In::version(version, since::NODE, &shown(node, &managers)));
    })?;
    Ok(at(state.index(), head.on(listed)))
}

/// `GET /nodes/{id}`
pub(crate) async fn inspect(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let state = host.read().await?;
    let node = Node::find(&state, &reference)?;
    let shown = shown(&node, &host.manager_statuses().await);
    ok(In::version(asked_in(&request), since::NODE, &shown))
}

/// `POST /nodes/{id}/update`
pub(crate) async fn update(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let version = Params::of(request.uri()).version("node")?;
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let mut spec = body::json(request).await?;
    words::of_node(&mut spec)?;
    let spec: NodeSpec = body::typed(spec)?;
    let node = Node::find(&begun.state, &reference)?;
    if node.spec.role == NodeRole::Manager && spec.role == NodeRole::Worker {
        check_quorum_without(node.id, &host.manager_statuses().await)?;
    }
    let id = node.id;
    let change = Change::UpdateNode { id, version, spec };
    host.write(begun.request, change).await?;
    done()
}

/// Refuses to demote a manager where those that are left and heard are too few to
/// go on. The last one is refused where the state changes.
fn check_quorum_without(
    id: NodeId,
    managers: &BTreeMap<NodeId, ManagerStatus>,
) -> Result<(), Refusal> {
    let left = managers.iter().filter(|(manager, _)| **manager != id);
    let reachable =
        left.clone().filter(|(_, status)| status.reachability == Reachability::Reachable).count();
    let left = left.count();
    if left > 0 && reachable < left / 2 + 1 {
        return Err(Refusal::rpc(
            RefusalKind::FailedPrecondition,
            "can't remove member from the raft: this would result in a loss of quorum",
        ));
    }
    Ok(())
}

/// `DELETE /nodes/{id}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply<Response> {
    let force = Params::of(request.uri()).is_on("force");
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let node = Node::find(&begun.state, &reference)?;
    let life = begun.state.cluster().map_or(Duration::ZERO, |c| c.spec.ca.node_cert_expiry);
    let change =
        Change::RemoveNode { id: node.id, force, deny_until: host.now() + life + DENY_MARGIN };
    host.write(begun.request, change).await?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_the_quorum_needs_is_not_demoted() {
        let manager = |n: u128, reachability| {
            let status = ManagerStatus { reachability, ..ManagerStatus::default() };
            (NodeId::from_bits(n), status)
        };
        use Reachability::{Reachable as Up, Unreachable as Down};
        for (managers, fine) in [
            (&[Up][..], true),
            (&[Up, Up], true),
            (&[Up, Down], false),
            (&[Up, Up, Up], true),
            (&[Up, Up, Down], false),
            (&[Up, Up, Up, Down], true),
        ] {
            let all = (1..).zip(managers).map(|(n, r)| manager(n, *r)).collect();
            let verdict = check_quorum_without(NodeId::from_bits(1), &all);
            assert_eq!(verdict.is_ok(), fine, "{managers:?}");
        }
    }
}
