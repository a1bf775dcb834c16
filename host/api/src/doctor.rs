//! `GET /swarmw/net/doctor`: how the networks of the cluster's nodes are.
//!
//! | parameter | |
//! |---|---|
//! | `node` | id, name or the beginning of an id: that one alone |
//!
//! The answer is a list of [`NetReport`](swarmw_model::NetReport), by the nodes' names, 200
//! whatever they say: `Status` is `ok`, `differs`, `none` (it joins no networks), `old` (its
//! binary cannot say) or `silent` (it did not answer within 5 s). Nodes look, and mend nothing.

use axum::extract::{Request, State};

use swarmw_model::Node;
use swarmw_state::Lookup;

use crate::api::Host;
use crate::body::Params;
use crate::reply::{Reply, ok};

/// `GET /swarmw/net/doctor`
pub(crate) async fn examine(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let state = host.read().await?;
    let nodes: Vec<_> = match params.get("node") {
        "" => {
            let mut nodes: Vec<_> =
                state.nodes().map(|node| (node.description.hostname.clone(), node.id)).collect();
            nodes.sort_unstable();
            nodes.into_iter().map(|(_, id)| id).collect()
        }
        reference => vec![Node::find(&state, reference)?.id],
    };
    ok(host.examine_networks(nodes).await?)
}
