//! Which manager leads and which are reached: no part of the replicated state, so it is seen
//! as it changes, by this manager's own lights, and is in no history.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value};

use swarmw_model::{Filters, ManagerStatus, NodeId};

use super::{Changes, passes, told_as};
use crate::api::Host;
use crate::node::Standing;

/// How often a reader's stream looks at the managers.
const LOOK: Duration = Duration::from_millis(500);

type Statuses = BTreeMap<NodeId, ManagerStatus>;

/// The events of nodes whose seat among the managers changes, from now on.
pub(super) fn changes(host: Host, filters: Filters) -> BoxStream<'static, Bytes> {
    let seen: Option<Statuses> = None;
    let looks = stream::unfold((host, seen), move |(host, seen)| {
        let filters = filters.clone();
        async move {
            if seen.is_some() {
                tokio::time::sleep(LOOK).await;
            }
            let statuses = as_known(&host, host.manager_statuses().await, seen.as_ref());
            let lines = match &seen {
                Some(seen) => lines(&host, &filters, seen, &statuses),
                None => Vec::new(),
            };
            Some((stream::iter(lines), (host, Some(statuses))))
        }
    });
    looks.flatten().boxed()
}

/// Only the leader knows who is reached; the others take everybody for reachable.
fn as_known(host: &Host, mut statuses: Statuses, seen: Option<&Statuses>) -> Statuses {
    if matches!(host.standing(), Standing::Manager { leading: true, .. }) {
        return statuses;
    }
    for (node, status) in &mut statuses {
        if let Some(before) = seen.and_then(|seen| seen.get(node)) {
            status.reachability = before.reachability;
        }
    }
    statuses
}

fn lines(host: &Host, filters: &Filters, seen: &Statuses, statuses: &Statuses) -> Vec<Bytes> {
    let event = |(node, new): (&NodeId, &ManagerStatus)| {
        let mut attributes = differences(seen.get(node)?, new)?;
        let state = host.state()?;
        attributes.set("name", &state.node(*node)?.description.hostname);
        Some(told_as("node", "update", &node.to_string(), attributes.0, host.now()))
    };
    let told = statuses.iter().filter_map(event);
    let told = told.filter(|event: &Value| passes(filters, event));
    told.map(|event| Bytes::from(format!("{event}\n"))).collect()
}

fn differences(old: &ManagerStatus, new: &ManagerStatus) -> Option<Changes> {
    let mut changes = Changes(Map::new());
    changes.differ("leader", old.leader.to_string(), new.leader.to_string());
    changes.differ("reachability", old.reachability.to_string(), new.reachability.to_string());
    (!changes.0.is_empty()).then_some(changes)
}
