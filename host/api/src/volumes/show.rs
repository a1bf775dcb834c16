//! Volumes in Docker's shape.

use serde_json::{Value, json};

use swarmw_model::{ClusterVolume, NodeVolume, Sharing};
use swarmw_state::State as Cluster;

/// One that a plugin keeps on this node.
pub(super) fn here(volume: &NodeVolume) -> Value {
    json!({
        "CreatedAt": volume.created_at,
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    })
}

/// One of the cluster, with the nodes whose tasks have it.
pub(crate) fn of_cluster(state: &Cluster, volume: &ClusterVolume) -> Value {
    let spec = &volume.spec;
    let published: Vec<Value> = state
        .nodes_with_volume(spec)
        .iter()
        .map(|node| json!({"NodeID": node, "State": "published"}))
        .collect();
    let requisite: Vec<Value> =
        spec.reachable.iter().map(|segments| json!({"Segments": segments})).collect();
    let scope = if spec.sharing == Sharing::None { "single" } else { "multi" };
    let secrets: Vec<Value> =
        spec.secrets.iter().map(|s| json!({"Key": s.key, "Secret": s.name})).collect();
    let mut shown = json!({
        "ClusterVolume": {
            "ID": volume.id,
            "Version": volume.version,
            "CreatedAt": volume.created_at,
            "UpdatedAt": volume.updated_at,
            "Spec": {
                "AccessMode": {"Scope": scope, "Sharing": spec.sharing, "MountVolume": {}},
                "AccessibilityRequirements": {"Requisite": requisite},
                "CapacityRange": {},
                "Secrets": secrets,
                "Availability": if volume.removing { "drain" } else { "active" },
            },
            "PublishStatus": published,
            "Info": {"VolumeID": volume.id},
        },
        "CreatedAt": volume.created_at,
        "Driver": spec.driver.name,
        "Labels": spec.labels,
        "Mountpoint": "",
        "Name": spec.name,
        "Options": spec.driver.options,
        "Scope": "global",
    });
    if let Some(claim) = &volume.claim {
        // What Docker has no field for.
        shown["Status"] = json!({
            "Writer": claim.task, "WriterNode": claim.node, "Epoch": claim.epoch,
        });
    }
    shown
}
