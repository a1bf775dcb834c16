//! `/volumes`: of the node, of the cluster, of neither.

use serde_json::{Value, json};
use swarmw_model::TaskId;

use crate::client::filters;
use crate::fake::{Served, leader, serve};

fn names(listed: &Value) -> Vec<&str> {
    let volumes = listed["Volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().filter_map(|volume| volume["Name"].as_str()).collect()
}

async fn create(served: &Served, body: Value) -> Value {
    let made = served.client.post("/volumes/create", body).await;
    assert_eq!(made.status, 201, "{}", made.message());
    made.json()
}

#[tokio::test]
async fn a_volume_is_made_where_its_driver_keeps_it() {
    let served = leader().await;
    let here = create(&served, json!({"Name": "disk", "Driver": "image", "Labels": {"a": "b"}}));
    assert_eq!(here.await["Scope"], "local");
    let shared = json!({"Name": "wiki", "Driver": "shared", "DriverOpts": {"host": "h1"},
        "ClusterVolumeSpec": {"AccessMode": {"Scope": "multi", "Sharing": "onewriter"},
            "AccessibilityRequirements": {"Requisite": [{"Segments": {"zone": "a"}}]}}});
    let made = create(&served, shared.clone()).await;
    assert_eq!(made["Scope"], "global");
    let spec = &made["ClusterVolume"]["Spec"];
    assert_eq!(spec["AccessMode"]["Sharing"], "onewriter");
    assert_eq!(spec["AccessibilityRequirements"]["Requisite"][0]["Segments"]["zone"], "a");
    let again = create(&served, shared).await;
    assert_eq!(again["ClusterVolume"]["ID"], made["ClusterVolume"]["ID"]);

    let listed = served.client.get("/v1.47/volumes").await.json();
    assert_eq!(names(&listed), ["disk", "wiki"]);
    for (filter, want) in [
        (r#"{"driver":["shared"]}"#, vec!["wiki"]),
        (r#"{"name":["is"]}"#, vec!["disk"]),
        (r#"{"label":["a=b"]}"#, vec!["disk"]),
        (r#"{"scope":["global"]}"#, vec!["wiki"]),
        (r#"{"dangling":["false"]}"#, vec![]),
    ] {
        let path = format!("/volumes?{}", filters(filter));
        assert_eq!(names(&served.client.get(&path).await.json()), want, "{filter}");
    }
    let one = served.client.get("/volumes/wiki").await.json();
    assert_eq!(one["ClusterVolume"]["ID"], made["ClusterVolume"]["ID"]);
    // Docker's own list of what takes room, with a node's volumes and how large they are.
    let df = served.client.get("/system/df").await.json();
    assert_eq!(names(&df), ["disk"]);
    assert_eq!(df["Volumes"][0]["UsageData"], json!({"Size": 4096, "RefCount": 0}));
    assert_eq!(df["Images"], json!([]));
    let images = served.client.get("/system/df?type=image").await.json();
    assert_eq!(names(&images), [""; 0]);

    for (volume, body, status, text) in [
        ("disk", json!({"Size": 1 << 30}), 200, ""),
        ("disk", json!({"Size": "1G"}), 400, "want {\"Size\": BYTES}"),
        ("wiki", json!({"Size": 1 << 30}), 501, "expanding volumes of the cluster is not"),
        (
            "nothing",
            json!({"Size": 1 << 30}),
            404,
            "expand nothing: no plugin keeps a volume of this name",
        ),
    ] {
        let answer = served.client.post(&format!("/swarmw/volumes/{volume}/expand"), body).await;
        assert_eq!(answer.status.as_u16(), status, "{volume}");
        if status == 200 {
            assert_eq!(answer.json()["Options"]["size"], "1073741824");
        } else {
            assert!(answer.message().contains(text), "{}", answer.message());
        }
    }
    let unknown = served.client.get("/volumes/nothing").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.message().as_str()),
        (404, "get nothing: no such volume")
    );
}

#[tokio::test]
async fn what_is_not_possible_is_refused_by_name() {
    let served = leader().await;
    let cluster = |spec: Value| {
        json!({"Name": "v1", "Driver": "shared", "DriverOpts": {"host": "h1"},
            "ClusterVolumeSpec": spec})
    };
    for (body, status, text) in [
        (json!({"Name": "v1", "Driver": "shared"}), 400, "option host is required"),
        (
            json!({"Name": "v1", "Driver": "image", "ClusterVolumeSpec": {}}),
            400,
            "a volume of the cluster wants a plugin whose data are the same",
        ),
        (json!({"Name": "../etc", "Driver": "image"}), 400, "includes invalid characters"),
        (json!({"Name": "v1", "Driver": "nfs"}), 503, "this node has no container engine"),
        (cluster(json!({"Group": "g"})), 501, "groups of volumes are not supported"),
        (cluster(json!({"Availability": "drain"})), 501, "paused or drained are not supported"),
        (cluster(json!({"AccessMode": {"Sharing": "some"}})), 400, "invalid sharing \"some\""),
        (
            cluster(json!({"AccessMode": {"Scope": "single", "Sharing": "all"}})),
            501,
            "scope single",
        ),
        (cluster(json!({"AccessMode": {"BlockVolume": {}}})), 501, "block volumes are not"),
        (cluster(json!({"CapacityRange": {"LimitBytes": 5}})), 501, "--limit-bytes"),
    ] {
        let refused = served.client.post("/volumes/create", body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.message());
        assert!(refused.message().contains(text), "{body}: {}", refused.message());
    }
    assert_eq!(names(&served.client.get("/volumes").await.json()), [""; 0]);
}

#[tokio::test]
async fn a_volume_in_use_stays_and_its_users_are_told() {
    let served = leader().await;
    create(&served, json!({"Name": "wiki", "Driver": "shared", "DriverOpts": {"host": "h1"}}))
        .await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis",
        "Mounts": [{"Type": "volume", "Source": "wiki", "Target": "/data"}]}}});
    let service = served.client.post("/services/create", spec).await.json();
    let refused = served.client.delete("/volumes/wiki").await;
    assert_eq!(
        (refused.status.as_u16(), refused.message().as_str()),
        (409, "remove wiki: volume is in use - [web]")
    );
    served.client.delete(&format!("/services/{}", service["ID"].as_str().expect("an id"))).await;

    create(&served, json!({"Name": "disk", "Driver": "image"})).await;
    served.fake.volumes.lock().unwrap()[0].users.push(TaskId::from_bits(1));
    let refused = served.client.delete("/volumes/disk").await;
    assert_eq!(refused.status, 409, "{}", refused.message());
    served.fake.volumes.lock().unwrap()[0].users.clear();
    assert_eq!(served.client.delete("/volumes/disk").await.status, 204);
    assert_eq!(served.client.delete("/volumes/disk").await.status, 404);
    assert_eq!(served.client.delete("/volumes/disk?force=1").await.status, 204);
}

#[tokio::test]
async fn data_that_cannot_be_reached_keep_their_volume_unless_by_force() {
    let served = leader().await;
    create(&served, json!({"Name": "far", "Driver": "shared", "DriverOpts": {"host": "down"}}))
        .await;
    let refused = served.client.delete("/volumes/far").await;
    assert_eq!(refused.status, 500);
    assert!(refused.message().starts_with("the host is down; it is still there"));
    assert_eq!(names(&served.client.get("/volumes").await.json()), ["far"]);
    assert_eq!(served.client.delete("/volumes/far?force=1").await.status, 204);
    assert_eq!(names(&served.client.get("/volumes").await.json()), [""; 0]);
}

#[tokio::test]
async fn pruning_takes_what_this_node_has_and_nobody_uses() {
    let served = leader().await;
    create(&served, json!({"Name": "used", "Driver": "image"})).await;
    served.fake.volumes.lock().unwrap()[0].users.push(TaskId::from_bits(1));
    create(&served, json!({"Name": "unused", "Driver": "image"})).await;
    create(&served, json!({"Name": "wiki", "Driver": "shared", "DriverOpts": {"host": "h"}})).await;
    let pruned = served.client.post("/volumes/prune", json!({})).await.json();
    assert_eq!(pruned, json!({"VolumesDeleted": [], "SpaceReclaimed": 0}), "all have names");
    let path = format!("/volumes/prune?{}", filters(r#"{"all":["true"]}"#));
    let pruned = served.client.post(&path, json!({})).await.json();
    assert_eq!(pruned["VolumesDeleted"], json!(["unused"]));
    assert_eq!(names(&served.client.get("/volumes").await.json()), ["used", "wiki"]);
}

#[tokio::test]
async fn a_node_in_no_swarm_has_none_and_refuses_those_of_the_cluster() {
    let served = serve(swarmw_api::Standing::Inactive).await;
    assert_eq!(names(&served.client.get("/volumes").await.json()), [""; 0]);
    let body = json!({"Name": "wiki", "Driver": "shared", "DriverOpts": {"host": "h1"}});
    let refused = served.client.post("/volumes/create", body).await;
    assert_eq!(refused.status, 503);
    assert!(refused.message().starts_with("This node is not a swarm manager."));
}
