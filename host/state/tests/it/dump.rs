//! A state as text, by everything that can be read of it.

use std::fmt::Write;

use swarmw_model::{PluginId, RequestId, Slot};
use swarmw_state::State;

/// Tables and indexes, without the index of the last entry and the names of writes.
pub fn dump(state: &State) -> String {
    let mut text = String::new();
    let out = &mut text;
    writeln!(out, "{:?} next raft id {}", state.cluster(), state.next_raft_id()).unwrap();
    for node in state.nodes() {
        let tasks: Vec<_> = state.tasks_of_node(node.id).map(|t| t.id).collect();
        writeln!(out, "{node:?} has {tasks:?}").unwrap();
    }
    for service in state.services() {
        let named = state.service_named(&service.spec.name).map(|s| s.id);
        writeln!(out, "{service:?} named {named:?} rollout {:?}", state.rollout(service.id))
            .unwrap();
    }
    for task in state.tasks() {
        writeln!(out, "{task:?}").unwrap();
    }
    let mut with_tasks: Vec<_> = state.services_with_tasks().collect();
    with_tasks.sort();
    for id in with_tasks {
        let tasks: Vec<_> = state.tasks_of_service(id).map(|t| (t.slot(), t.id)).collect();
        let first: Vec<_> = state.tasks_of_slot(id, Slot::Replica(1)).map(|t| t.id).collect();
        writeln!(out, "tasks of {id}: {tasks:?}, of slot 1: {first:?}").unwrap();
    }
    for plugin in state.plugins() {
        let named: Option<PluginId> = state.plugin_named(&plugin.name).map(|p| p.id);
        writeln!(out, "{plugin:?} named {named:?}").unwrap();
    }
    for volume in state.volumes() {
        let named = state.volume_named(&volume.spec.name).map(|v| v.id);
        writeln!(out, "{volume:?} named {named:?}").unwrap();
    }
    for secret in state.secrets() {
        let named = state.secret_named(&secret.spec.name).map(|s| s.id);
        writeln!(out, "{secret:?} {:?} named {named:?}", secret.spec.data.bytes()).unwrap();
    }
    for config in state.configs() {
        let named = state.config_named(&config.spec.name).map(|c| c.id);
        writeln!(out, "{config:?} {:?} named {named:?}", config.spec.data.bytes()).unwrap();
    }
    for network in state.networks_with_subnets() {
        let within = network.pools.iter().map(|p| state.addresses_within(network.id, p.subnet));
        let (within, going) = (within.collect::<Vec<_>>(), state.network(network.id).is_none());
        writeln!(out, "{} going {going} within {within:?}", network.id).unwrap();
        let named = state.network_named(&network.spec.name).map(|n| n.id);
        let services: Vec<_> = state.services_of_network(network.id).map(|s| s.id).collect();
        let addresses: Vec<_> = state.addresses(network.id).collect();
        let vni = state.vni_holder(network.vni);
        writeln!(out, "{network:?} named {named:?} of {services:?} {vni:?} {addresses:?}").unwrap();
    }
    for attachment in state.attachments() {
        let beside: Vec<_> = state.attachments_of_node(attachment.node).map(|a| a.id).collect();
        writeln!(out, "{attachment:?} beside {beside:?}").unwrap();
    }
    let numbered = (1..10).map(|number| state.node_numbered(number));
    writeln!(out, "numbers {:?}", numbered.collect::<Vec<_>>()).unwrap();
    writeln!(out, "ports {:?}", state.ports().collect::<Vec<_>>()).unwrap();
    text
}

/// The names of writes that are kept among these.
pub fn requests(state: &State, upto: u128) -> String {
    let kept = (0..upto).map(|n| state.outcomes_of(RequestId::from_bits(n)));
    format!("{:?}", kept.collect::<Vec<_>>())
}
