//! Which secrets and configs a node is told: those that its tasks name, and those that
//! the drivers of its tasks' volumes may use. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{
    ConfigId, ConfigReference, Data, DataId, DataReference, NodeId, SecretId, SecretReference,
    Task, TaskId,
};
use swarmw_orchestrator::mount_source;
use swarmw_proto::{pb, wire};
use swarmw_state::State;

use super::session::is_sent;

/// One message holds about so much, or one secret or config.
const MESSAGE_BYTES: usize = 1 << 20;

/// What one node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    secrets: BTreeSet<SecretId>,
    configs: BTreeSet<ConfigId>,
}

// === impl Given ===

impl Given {
    /// What the tasks of a node need that it has been told of and that have not ended.
    pub(super) fn needed(state: &State, node: NodeId) -> Self {
        let mut needed = Self::default();
        if state.secrets().next().is_none() && state.configs().next().is_none() {
            return needed;
        }
        let tasks = state.tasks_of_node(node);
        for task in tasks.filter(|t| is_sent(t) && !t.status.state.is_terminal()) {
            let container = task.spec.container_spec.as_ref();
            let secrets = container.map(SecretReference::of).unwrap_or_default();
            let configs = container.map(ConfigReference::of).unwrap_or_default();
            needed.secrets.extend(secrets.iter().filter_map(DataReference::id));
            needed.configs.extend(configs.iter().filter_map(DataReference::id));
            needed.secrets.extend(of_volumes(state, node, task));
        }
        needed
    }

    /// Whether a change of these tasks of the node may change what it needs: most tasks
    /// name nothing, and their reports are many.
    pub(super) fn concerns(&self, state: &State, tasks: &BTreeSet<TaskId>) -> bool {
        let by_volumes = state.volumes().any(|volume| !volume.spec.secrets.is_empty());
        let names = |task: &Task| {
            task.spec.container_spec.as_ref().is_some_and(|container| {
                let mounts = by_volumes && !container.mounts.is_empty();
                mounts || !container.secrets.is_empty() || !container.configs.is_empty()
            })
        };
        // What a task that is gone by now has named is not known.
        let nothing = self.secrets.is_empty() && self.configs.is_empty();
        tasks.iter().any(|id| state.task(*id).map_or(!nothing, |task| names(task)))
    }

    /// The messages that bring what `needed` has more than this.
    pub(super) fn missing(&self, needed: &Self, state: &State) -> Vec<pb::Given> {
        let mut messages = Vec::new();
        let secrets = needed.secrets.difference(&self.secrets).filter_map(|id| state.secret(*id));
        for part in parts(secrets) {
            let secrets = wire::encode(&part);
            messages.push(pb::Given { secrets, configs: nothing(), ..Default::default() });
        }
        let configs = needed.configs.difference(&self.configs).filter_map(|id| state.config(*id));
        for part in parts(configs) {
            let configs = wire::encode(&part);
            messages.push(pb::Given { secrets: nothing(), configs, ..Default::default() });
        }
        messages
    }

    /// The message that takes back what this has more than `needed`.
    pub(super) fn beyond(&self, needed: &Self) -> Option<pb::Given> {
        let secrets: Vec<_> =
            self.secrets.difference(&needed.secrets).map(ToString::to_string).collect();
        let configs: Vec<_> =
            self.configs.difference(&needed.configs).map(ToString::to_string).collect();
        (!secrets.is_empty() || !configs.is_empty()).then(|| pb::Given {
            secrets: nothing(),
            configs: nothing(),
            remove_secrets: secrets,
            remove_configs: configs,
        })
    }
}

/// The secrets of the volumes of the cluster that a task mounts.
fn of_volumes(state: &State, node: NodeId, task: &Task) -> Vec<SecretId> {
    let Some(node) = state.node(node) else { return Vec::new() };
    let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
    let volumes = mounts.filter_map(|mount| {
        let source = mount_source(task, node, mount)?;
        state.volume_named(&source).filter(|v| v.spec.is_mounted_by(mount, &source))
    });
    volumes.flat_map(|volume| volume.spec.secrets.iter().map(|secret| secret.id)).collect()
}

fn nothing() -> Vec<u8> {
    wire::encode(&[(); 0])
}

fn parts<'a, I: DataId>(all: impl Iterator<Item = &'a Arc<Data<I>>>) -> Vec<Vec<Arc<Data<I>>>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for data in all {
        let size = data.spec.data.bytes().len();
        match parts.last_mut().filter(|_| bytes + size <= MESSAGE_BYTES) {
            Some(part) => part.push(data.clone()),
            None => {
                parts.push(vec![data.clone()]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    parts
}

#[cfg(test)]
mod tests {
    use swarmw_model::{DataSpec, Secret};

    use super::*;

    #[test]
    fn messages_are_cut_and_each_has_one_at_least() {
        let secret = |n: u128, size: usize| {
            let spec = DataSpec { data: vec![7; size].into(), ..DataSpec::default() };
            Arc::new(Secret::new(SecretId::from_bits(n), spec))
        };
        let all = [secret(1, 600_000), secret(2, 400_000), secret(3, 400_000), secret(4, 2 << 20)];
        let sizes: Vec<_> = parts(all.iter()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1]);
        assert!(parts([].into_iter().collect::<Vec<&Arc<Secret>>>().into_iter()).is_empty());
    }

    #[test]
    fn what_is_told_is_what_differs() {
        let of = |ids: &[u128]| Given {
            secrets: ids.iter().map(|id| SecretId::from_bits(*id)).collect(),
            configs: BTreeSet::new(),
        };
        let state = State::default();
        assert!(of(&[1]).missing(&of(&[1]), &state).is_empty());
        assert!(of(&[]).missing(&of(&[1]), &state).is_empty(), "it is gone by now");
        assert_eq!(of(&[1]).beyond(&of(&[1, 2])), None);
        let beyond = of(&[1, 2]).beyond(&of(&[2])).expect("a message");
        assert_eq!(beyond.remove_secrets, [SecretId::from_bits(1).to_string()]);
    }
}
