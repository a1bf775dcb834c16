//! Claims on volumes that one task at a time may write to. Pure: who gets one, and when
//! one has ended.
//!
//! A claim ends when its task has said from its own node that it has ended, for by then
//! nothing of the volume is mounted there. A node that says nothing has stopped its
//! writers by itself once it had not heard of the leader for a while (`FENCE` of the
//! agent); the leader calls it down later than that, and waits [`LEASE`] more.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::template::{self, Context};
use swarmw_model::{
    ClusterVolume, Duration, Mount, Node, NodeState, Sharing, Task, TaskState, Time, VolumeId,
};
use swarmw_state::{Change, State};

/// A node that is down, or gone, has let go of its volumes after this time. It covers
/// stopping a task that does not want to, and unmounting.
pub const LEASE: Duration = Duration::from_secs(30);

/// Since when the holders of claims have not been heard of, as this leader saw it. A
/// new leader begins to wait anew.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    silent: BTreeMap<(VolumeId, u64), Time>,
}

/// What is to be done about claims.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claimed {
    /// Claims given and ended.
    pub changes: Vec<Change>,
    /// When to look again at the latest.
    pub wake_at: Option<Time>,
}

/// How a claim's holder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It may write.
    Lives,
    /// It has ended, by the word of its node.
    Ended,
    /// Nobody knows.
    Silent,
}

// === impl Claims ===

impl Claims {
    /// Looks at every volume that wants claims.
    pub fn tick(&mut self, state: &State, now: Time) -> Claimed {
        let mut claimed = Claimed::default();
        let mut silent = BTreeMap::new();
        for volume in state.volumes() {
            if let Some(claim) = volume.claim {
                let key = (volume.id, claim.epoch);
                let ended = match holder(state, volume) {
                    Holder::Lives => false,
                    Holder::Ended => true,
                    Holder::Silent => {
                        let since = *self.silent.get(&key).unwrap_or(&now);
                        silent.insert(key, since);
                        let until = since + LEASE;
                        if until > now {
                            let sooner = claimed.wake_at.is_none_or(|at| until < at);
                            claimed.wake_at = if sooner { Some(until) } else { claimed.wake_at };
                        }
                        until <= now
                    }
                };
                if ended {
                    let (volume, epoch) = (volume.id, claim.epoch);
                    claimed.changes.push(Change::ReleaseVolume { volume, epoch });
                }
            }
        }
        for (id, task) in next(state) {
            let claims = state.volume(id).map_or(0, |volume| volume.claims);
            claimed.changes.push(Change::ClaimVolume { volume: id, task: task.id, claims });
        }
        self.silent = silent;
        claimed
    }
}

fn holder(state: &State, volume: &ClusterVolume) -> Holder {
    let Some(claim) = volume.claim else { return Holder::Ended };
    let ready = state.node(claim.node).is_some_and(|node| node.status.state == NodeState::Ready);
    match state.task(claim.task) {
        // The leader's own word on a node that is gone is no word of the node.
        Some(task) if task.status.state == TaskState::Orphaned => Holder::Silent,
        Some(task) if task.status.state.is_terminal() => Holder::Ended,
        Some(_) if ready => Holder::Lives,
        _ => Holder::Silent,
    }
}

/// Who gets the volumes that nobody has: of the tasks that want to write, the one that
/// waits longest. One look at the tasks, and none where nothing is to be had.
fn next(state: &State) -> BTreeMap<VolumeId, &Task> {
    let free = |volume: &&Arc<ClusterVolume>| {
        let alone = matches!(volume.spec.sharing, Sharing::None | Sharing::OneWriter);
        alone && volume.claim.is_none() && !volume.removing
    };
    let free: Vec<_> = state.volumes().filter(free).collect();
    let mut next = BTreeMap::new();
    if free.is_empty() {
        return next;
    }
    for task in state.tasks() {
        let begun = task.status.state >= TaskState::Assigned && !task.status.state.is_terminal();
        if !begun || task.desired_state > TaskState::Complete {
            continue;
        }
        for volume in free.iter().filter(|volume| wants(state, task, volume)) {
            let first = next.entry(volume.id).or_insert(&**task);
            if (task.created_at, task.id) < (first.created_at, first.id) {
                *first = task;
            }
        }
    }
    next
}

fn wants(state: &State, task: &Task, volume: &ClusterVolume) -> bool {
    let Some(node) = task.node_id.and_then(|node| state.node(node)) else { return false };
    let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
    let mut of_it = mounts.filter(|mount| {
        let source = mount_source(task, node, mount);
        source.is_some_and(|source| volume.spec.is_mounted_by(mount, &source))
    });
    of_it.any(|mount| volume.spec.wants_claim(mount))
}

/// A mount's source as the task's node will read it; `None` where it cannot.
pub fn mount_source(task: &Task, node: &Node, mount: &Mount) -> Option<String> {
    let platform = &node.description.platform;
    let slot = match task.assignment().and_then(|a| a.number()) {
        None => node.id.to_string(),
        Some(slot) => slot.to_string(),
    };
    let context = Context {
        service_id: task.service_id.to_string(),
        service_name: task.service.name.clone(),
        service_labels: task.service.labels.clone(),
        node_id: node.id.to_string(),
        node_hostname: node.description.hostname.clone(),
        node_os: platform.os.clone(),
        node_architecture: platform.architecture.clone(),
        task_id: task.id.to_string(),
        task_name: task.assignment().map(|a| a.name()).unwrap_or_default(),
        task_slot: slot,
    };
    // A template that cannot be read fails the task on its node.
    template::expand(&mount.source, &context).ok()
}
