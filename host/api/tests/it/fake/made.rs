//! Objects as tests need them.

use std::collections::BTreeMap;

use bytes::Bytes;

use swarmw_api::{LogLine, LogOutput};
use swarmw_model::{
    Availability, Blob, FEATURE_LEVEL, Node, NodeDescription, NodeId, NodeRole, NodeSpec,
    NodeState, NodeStatus, Platform, Plugin, PluginClaim, PluginId, PluginKind, PluginMetadata,
    PluginRelease, RaftMember, Resources, TaskId, Version,
};

use super::{NOW, SELF};

pub fn node(id: NodeId, name: &str, role: NodeRole) -> Node {
    let manager = role == NodeRole::Manager;
    Node {
        id,
        version: Version::default(),
        created_at: NOW,
        updated_at: NOW,
        spec: NodeSpec { role, availability: Availability::Active, ..NodeSpec::default() },
        description: description(name),
        status: NodeStatus {
            state: NodeState::Ready,
            message: String::new(),
            addr: "127.0.0.1".to_owned(),
        },
        role,
        number: 0,
        member: manager.then(|| RaftMember { raft_id: 1, addr: "127.0.0.1:2377".to_owned() }),
    }
}

pub(super) fn description(name: &str) -> NodeDescription {
    NodeDescription {
        feature_level: FEATURE_LEVEL,
        hostname: name.to_owned(),
        platform: Platform { architecture: "x86_64".to_owned(), os: "linux".to_owned() },
        resources: Resources {
            nano_cpus: 2_000_000_000,
            memory_bytes: 1 << 30,
            generic_resources: Vec::new(),
        },
        ..NodeDescription::default()
    }
}

pub fn plugin(id: u128, name: &str, claims: &[&str], built_in: bool) -> Plugin {
    let metadata = PluginMetadata {
        version: "1.0.0".to_owned(),
        summary: "For tests.".to_owned(),
        claims: claims.iter().map(|c| PluginClaim::Name((*c).to_owned())).collect(),
        options: Vec::new(),
        grants: Vec::new(),
    };
    let release = PluginRelease::new(Blob { digest: "sha256:00".to_owned(), size: 3 }, metadata);
    let kind = PluginKind::UpdatePolicy;
    let plugin = Plugin::new(PluginId::from_bits(id), name.to_owned(), kind, release);
    Plugin { built_in, ..plugin }
}

/// A line of a log, for tests of their form.
pub fn line(task: TaskId, text: &'static str) -> LogLine {
    LogLine {
        task,
        service: swarmw_model::ServiceId::from_bits(2),
        node: SELF,
        output: LogOutput::Stdout,
        at: NOW,
        text: Bytes::from_static(text.as_bytes()),
        attributes: BTreeMap::new(),
    }
}
