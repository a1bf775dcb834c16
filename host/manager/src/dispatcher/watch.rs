//! The leader watches: changes go to the sessions they concern, silent nodes are
//! called down.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use swarmw_model::{Duration, Node, NodeId, NodeState, PluginKind};
use swarmw_raft::Received;
use swarmw_state::{Change, Event, State};
use tracing::{info, warn};

use super::networks::{Concerned, NetworkMarks, peer};
use super::ports::PortTable;
use super::{Dispatcher, Session};

/// Swarm's words for a node that is silent for too long.
const SILENT: &str = "heartbeat failure";
/// Swarm's words for a node not heard of since a new leader leads.
const NEW_LEADER: &str = "Node moved to \"unknown\" state due to leadership change";

/// The heartbeat period that the cluster has set.
pub(super) fn heartbeat_period(state: &State) -> Duration {
    state.cluster().map_or(Duration::from_secs(5), |c| c.spec.dispatcher.heartbeat_period)
}

/// Marks sessions for every change that concerns them.
pub(super) async fn route(dispatcher: Dispatcher) {
    let mut events = dispatcher.0.log.raft.subscribe();
    let (mut ports, mut concerned) = begin(&dispatcher);
    publish(&dispatcher, &mut ports);
    loop {
        let mut next = tokio::select! {
            () = dispatcher.0.cancel.cancelled() => return,
            received = events.next() => received,
        };
        if next.is_none() {
            return;
        }
        // Batches that came meanwhile are looked at together.
        let mut batches = Vec::new();
        while let Some(received) = next {
            match received {
                Received::Batch(batch) => batches.push(batch),
                Received::Lagged => {
                    batches.clear();
                    (ports, concerned) = begin(&dispatcher);
                }
            }
            next = events.try_next();
        }
        for batch in &batches {
            batch.events.iter().for_each(|event| ports.observe(event));
            concerned.observe(batch.index, &batch.events);
        }
        mark_networks(&dispatcher, concerned.take());
        // Connections are led away from a task before its node is told to stop it.
        publish(&dispatcher, &mut ports);
        mark(&dispatcher, batches.iter().flat_map(|batch| batch.events.iter()));
    }
}

/// Looks at one state, and has every session do the same: what came before it is told by
/// no event that is heard from now on.
fn begin(dispatcher: &Dispatcher) -> (PortTable, Concerned) {
    let state = dispatcher.0.log.raft.state();
    let begun = (PortTable::new(&state), Concerned::new(&state));
    dispatcher.sessions().values().for_each(|s| s.inbox.mark_all());
    begun
}

fn publish(dispatcher: &Dispatcher, ports: &mut PortTable) {
    if let Some(published) = ports.refresh(&dispatcher.0.log.raft.state()) {
        dispatcher.0.ports.send_replace(Arc::new(published));
        dispatcher.sessions().values().for_each(|s| s.inbox.mark_ports());
    }
}

/// Before the tasks are marked that need to be told of it.
fn mark_networks(dispatcher: &Dispatcher, marked: BTreeMap<NodeId, NetworkMarks>) {
    if marked.is_empty() {
        return;
    }
    let sessions = dispatcher.sessions();
    for (node, marks) in marked {
        if let Some(session) = sessions.get(&node) {
            session.inbox.mark_networks(marks);
        }
    }
}

fn mark<'a>(dispatcher: &Dispatcher, events: impl Iterator<Item = &'a Event>) {
    let sessions = dispatcher.sessions();
    events.for_each(|event| mark_one(&sessions, event));
}

fn mark_one(sessions: &HashMap<NodeId, Session>, event: &Event) {
    match event {
        Event::Task { old, new } => {
            for task in old.iter().chain(new) {
                if let Some(session) = task.node_id.and_then(|node| sessions.get(&node)) {
                    session.inbox.mark_tasks([task.id]);
                }
            }
        }
        Event::Cluster => sessions.values().for_each(|s| s.inbox.mark_welcome()),
        Event::Node { old, new } => {
            let seat = |n: &Option<Arc<Node>>| n.as_ref().and_then(|n| n.member.clone());
            let seen = |n: &Option<Arc<Node>>| n.as_ref().and_then(|n| peer(n));
            let session = new.iter().chain(old).find_map(|n| sessions.get(&n.id));
            if seat(old) != seat(new) {
                sessions.values().for_each(|s| s.inbox.mark_welcome());
            } else if let Some(session) = session {
                session.inbox.mark_welcome();
            }
            // With the ports a node is told what it is to the others.
            if let Some(session) = session.filter(|_| seen(old) != seen(new)) {
                session.inbox.mark_ports();
            }
        }
        Event::Plugin { old, new } => {
            if old.iter().chain(new).any(|p| p.kind == PluginKind::VolumeDriver) {
                sessions.values().for_each(|s| s.inbox.mark_drivers());
            }
        }
        Event::Volume { .. } => sessions.values().for_each(|s| s.inbox.mark_drivers()),
        // Whoever has it keeps it, and what is new nobody needs yet.
        Event::Secret { .. } | Event::Config { .. } => {}
        Event::Service { .. } | Event::Network { .. } | Event::Attachment { .. } => {}
    }
}

/// Calls nodes down that are silent for too long. A new leader gives every node
/// the same grace, and calls it unknown until it is heard of, so that nothing new
/// is placed on a node that may have died with the old leader.
pub(super) async fn watch_silence(dispatcher: Dispatcher) {
    let log = &dispatcher.0.log;
    let state = log.raft.state();
    let period = heartbeat_period(&state);
    let known: Vec<_> =
        state.nodes().filter(|n| n.status.state != NodeState::Down).map(|n| n.id).collect();
    let unheard: Vec<NodeId> = {
        let sessions = dispatcher.sessions();
        known.into_iter().filter(|id| !sessions.contains_key(id)).collect()
    };
    for node in &unheard {
        dispatcher.liveness().heard(*node, log.now(), period);
    }
    judge(&dispatcher, &unheard, NodeState::Unknown, NEW_LEADER).await;
    loop {
        let next = dispatcher.liveness().next();
        tokio::select! {
            () = dispatcher.0.cancel.cancelled() => return,
            () = dispatcher.0.heard.notified() => {}
            () = log.until(next) => {}
        }
        let late = dispatcher.liveness().expire(log.now());
        for node in &late {
            info!(%node, "node is down: {SILENT}");
        }
        judge(&dispatcher, &late, NodeState::Down, SILENT).await;
    }
}

async fn judge(dispatcher: &Dispatcher, nodes: &[NodeId], state: NodeState, message: &str) {
    let changes = nodes
        .iter()
        .map(|id| Change::SetNodeState { id: *id, state, message: message.to_owned() })
        .collect();
    if let Err(why) = dispatcher.0.log.decide(changes).await {
        warn!(%why, ?nodes, "a verdict on nodes was not accepted");
    }
}
