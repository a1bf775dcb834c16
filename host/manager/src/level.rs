//! What managers of an older swarmw would not understand, or would do otherwise: it is
//! refused before it enters the log. `apply` must not ask what nodes say of their binaries,
//! as a replica that an older one has written to disk has not kept it.

use swarmw_model::{
    ContainerOptions, IngressSource, Node, NodeRole, Refusal, RefusalKind, ServiceSpec, TasksFrom,
};
use swarmw_state::{Change, State};

/// The level of a binary that says none: there was no other.
const FIRST: u32 = 1;

/// Refuses a write for which a manager, or a node that is to be one, is too old.
pub(crate) fn check(state: &State, change: &Change) -> Result<(), Refusal> {
    let needs_networks = |spec: &ServiceSpec| {
        let says_source = spec.ingress_source() != IngressSource::default();
        match spec.networks_wanted() {
            [] if !says_source => Ok(()),
            _ => state.needs_networks(),
        }
    };
    let needs_jobs = |spec: &ServiceSpec| match spec.mode.is_job() {
        false => Ok(()),
        true => state.needs_jobs(),
    };
    let needs_generic_resources =
        |spec: &ServiceSpec| match spec.task_template.reserved_generic().is_empty() {
            true => Ok(()),
            false => state.needs_generic_resources(),
        };
    match change {
        Change::CreateService { spec, .. } | Change::UpdateService { spec, .. } => {
            needs_networks(spec)?;
            needs_jobs(spec)?;
            needs_generic_resources(spec)?;
            match spec.container_options() == ContainerOptions::default() {
                true => Ok(()),
                false => state.needs_host_access(),
            }
        }
        Change::UpdateCluster { spec, .. } => {
            if !spec.host_access().is_empty() {
                state.needs_host_access()?;
            }
            if spec.tasks_from() != TasksFrom::default() {
                state.needs_tasks_from()?;
            }
            match spec.encryption.auto_lock_managers {
                true => state.needs_autolock(),
                false => Ok(()),
            }
        }
        Change::RotateSecret(_) | Change::RotateConfig(_) => state.needs_versions(),
        Change::UpdateNode { id, spec, .. } if spec.role == NodeRole::Manager => {
            match state.node(*id).filter(|node| node.spec.role != NodeRole::Manager) {
                // One that was never heard says its level when it asks for a seat.
                Some(node) if !node.description.hostname.is_empty() => {
                    may_manage(state, node, node.description.feature_level)
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Refuses a manager whose binary cannot do what all managers of the cluster can.
pub(crate) fn may_manage(state: &State, node: &Node, level: u32) -> Result<(), Refusal> {
    let present = state.cluster().map_or(0, |cluster| cluster.feature_level);
    let level = level.max(FIRST);
    if level >= present {
        return Ok(());
    }
    Err(Refusal::rpc(
        RefusalKind::FailedPrecondition,
        format!(
            "node {} runs a swarmw of feature level {level}, and the managers of this cluster \
             have level {present}: install a swarmw of this level on the node first",
            node.called()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use swarmw_model::{
        ClusterOptions, ClusterSpec, GenericResource, GlobalJob, JoinTokens,
        NetworkAttachmentConfig, NodeDescription, NodeId, NodeSpec, ResourceRequirements,
        Resources, ServiceId, ServiceMode, TaskSpec, Time, Version,
    };
    use swarmw_state::Transaction;

    use super::*;
    use crate::authority::new_node;
    use crate::found::tests::founded;

    const OWN: NodeId = NodeId::from_bits(1);
    const OTHER: NodeId = NodeId::from_bits(2);

    /// A cluster of a level with a worker that says another of itself.
    fn state(present: u32, level: u32) -> State {
        let mut cluster = founded().cluster;
        cluster.feature_level = present;
        let mut worker = new_node(OTHER, NodeRole::Worker, Default::default());
        worker.description = NodeDescription {
            hostname: "w1".into(),
            feature_level: level,
            ..NodeDescription::default()
        };
        let changes = vec![
            Change::InitCluster {
                cluster: Box::new(cluster),
                node: Box::new(new_node(OWN, NodeRole::Manager, Default::default())),
                plugins: Vec::new(),
            },
            Change::AddNode(Box::new(worker)),
        ];
        let mut state = State::default();
        state.apply(1, &Transaction { at: Time::ZERO, request: None, changes });
        state
    }

    #[test]
    fn a_node_of_an_older_swarmw_is_not_promoted() {
        let promote = |present, level| {
            let spec = NodeSpec { role: NodeRole::Manager, ..NodeSpec::default() };
            let change = Change::UpdateNode { id: OTHER, version: Version::default(), spec };
            check(&state(present, level), &change).map_err(|why| why.to_string())
        };
        assert_eq!(promote(2, 2), Ok(()));
        assert_eq!(promote(1, 0), Ok(()));
        assert_eq!(
            promote(2, 0),
            Err("rpc error: code = FailedPrecondition desc = node w1 runs a swarmw of feature \
                 level 1, and the managers of this cluster have level 2: install a swarmw of this \
                 level on the node first"
                .to_owned())
        );
    }

    #[test]
    fn services_have_networks_once_every_manager_knows_them() {
        let spec = ServiceSpec {
            task_template: Arc::new(TaskSpec {
                networks: vec![NetworkAttachmentConfig {
                    target: "n".into(),
                    ..Default::default()
                }],
                ..TaskSpec::default()
            }),
            ..ServiceSpec::default()
        };
        let create = Change::CreateService { id: ServiceId::from_bits(1), spec: Box::new(spec) };
        assert_eq!(check(&state(2, 2), &create), Ok(()));
        let why = check(&state(1, 1), &create).expect_err("refused").to_string();
        assert!(why.contains("networks need a swarmw that knows them on every manager"), "{why}");
    }

    #[test]
    fn there_are_jobs_once_every_manager_knows_them() {
        let spec = ServiceSpec {
            mode: ServiceMode::GlobalJob(GlobalJob::default()),
            ..ServiceSpec::default()
        };
        let create = Change::CreateService { id: ServiceId::from_bits(1), spec: Box::new(spec) };
        assert_eq!(check(&state(3, 3), &create), Ok(()));
        let why = check(&state(2, 2), &create).expect_err("refused").to_string();
        assert!(why.contains("jobs need a swarmw that knows them on every manager"), "{why}");
    }

    #[test]
    fn tasks_have_generic_resources_once_every_manager_knows_them() {
        let asked = GenericResource::Discrete { kind: "gpu".into(), count: 1 };
        let reserved = Resources { generic_resources: vec![asked], ..Resources::default() };
        let spec = ServiceSpec {
            task_template: Arc::new(TaskSpec {
                resources: Some(ResourceRequirements {
                    reservations: Some(reserved),
                    ..ResourceRequirements::default()
                }),
                ..TaskSpec::default()
            }),
            ..ServiceSpec::default()
        };
        let create = Change::CreateService { id: ServiceId::from_bits(1), spec: Box::new(spec) };
        assert_eq!(check(&state(4, 4), &create), Ok(()));
        let why = check(&state(3, 3), &create).expect_err("refused").to_string();
        assert!(why.contains("generic resources need a swarmw that knows them"), "{why}");
    }

    #[test]
    fn tasks_are_reached_from_other_nodes_once_every_manager_knows_it() {
        let options = ClusterOptions { tasks_from: TasksFrom::Nodes, ..ClusterOptions::default() };
        let update = Change::UpdateCluster {
            version: Version::default(),
            spec: Box::new(ClusterSpec { swarmw: Some(options), ..ClusterSpec::default() }),
            rotate: JoinTokens::default(),
            unlock_key: None,
        };
        assert_eq!(check(&state(6, 6), &update), Ok(()));
        let why = check(&state(5, 5), &update).expect_err("refused").to_string();
        assert!(why.contains("no managers need a swarmw that knows it on every manager"), "{why}");
    }
}
