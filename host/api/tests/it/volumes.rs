//! `/volumes`: of the node, of the cluster, of neither.

use serde_json::{Value, json};
use swarmw_model::TaskId;

use crate::client::filters;
use crate::fake::FakeEngine;
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

/// Names as an engine gives them.
fn anonymous(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn with_engine(served: &Served, volumes: &[&str]) -> FakeEngine {
    let engine = FakeEngine::start(served.folder.path());
    *served.fake.engine.lock().unwrap() = Some(engine.socket.clone());
    let local = |name: &&str| json!({"Name": name, "Driver": "local", "Labels": null});
    *engine.volumes.lock().unwrap() = volumes.iter().map(local).collect();
    engine
}

/// What changes something that the engine was asked.
fn written(engine: &FakeEngine) -> Vec<String> {
    engine.take_writes().into_iter().map(|(what, _)| what).collect()
}

#[tokio::test]
async fn named_volumes_stay_where_the_engine_would_take_them() {
    let served = leader().await;
    let (a, b, c) = (anonymous('a'), anonymous('b'), anonymous('c'));
    let engine = with_engine(&served, &[&a, "wiki", &b, "deadbeef", &c]);
    engine.volumes.lock().unwrap()[4]["Labels"] = json!({"keep": "1"});
    engine.holds.lock().unwrap().insert(b.clone(), 409);
    create(&served, json!({"Name": "disk", "Driver": "image"})).await;
    engine.take_writes();
    let spared = filters(r#"{"label!":["keep"]}"#);
    for (query, taken) in [(&*spared, vec![&a]), ("", vec![&a, &c])] {
        let pruned = served.client.post(&format!("/v1.47/volumes/prune?{query}"), json!({})).await;
        let reclaimed = 1000 * taken.len();
        assert_eq!(
            pruned.json(),
            json!({"VolumesDeleted": taken, "SpaceReclaimed": reclaimed}),
            "{query}"
        );
        let asked = taken.iter().copied().chain([&b]).map(|name| format!("DELETE /volumes/{name}"));
        let mut asked: Vec<_> = asked.collect();
        asked.sort();
        assert_eq!(written(&engine), asked, "{query}: one by one, and nothing else");
    }
    let listed = filters(r#"{"dangling":{"true":true},"driver":{"local":true}}"#);
    served.client.post("/volumes/prune", json!({})).await;
    let reads = engine.take_reads();
    assert_eq!(reads[0], format!("/volumes?{listed}"));
}

#[tokio::test]
async fn an_engine_that_takes_all_is_asked_where_all_is_meant() {
    let served = leader().await;
    let engine = with_engine(&served, &["wiki"]);
    for (path, label, passed) in [
        ("/v1.47", r#"{"all":["1"],"label":["a=b"]}"#, r#"{"label":{"a=b":true}}"#),
        ("/v1.41", r#"{"label!":["a"]}"#, r#"{"label!":{"a":true}}"#),
        ("/v1.41", "{}", "{}"),
    ] {
        served.fake.volumes.lock().unwrap().clear();
        create(&served, json!({"Name": "disk", "Driver": "image", "Labels": {"a": "b"}})).await;
        engine.take_writes();
        let path = format!("{path}/volumes/prune?{}", filters(label));
        let pruned = served.client.post(&path, json!({})).await.json();
        assert_eq!(written(&engine), [format!("POST /volumes/prune?{}", filters(passed))]);
        // Those of plugins go by the same rule.
        let spared = label.contains("label!");
        let taken = if spared { vec!["engines"] } else { vec!["engines", "disk"] };
        assert_eq!(pruned, json!({"VolumesDeleted": taken, "SpaceReclaimed": 7}), "{label}");
    }
    let path = format!("/volumes/prune?{}", filters(r#"{"all":["yes"]}"#));
    let refused = served.client.post(&path, json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.message().as_str()),
        (400, "invalid filter 'all=[yes]'")
    );
    assert_eq!(written(&engine), [""; 0]);
}

#[tokio::test]
async fn a_prune_of_volumes_that_fails_in_the_middle_names_what_is_gone() {
    let served = leader().await;
    let (a, b, c) = (anonymous('a'), anonymous('b'), anonymous('c'));
    let engine = with_engine(&served, &[&a, &b, &c]);
    engine.holds.lock().unwrap().insert(b.clone(), 500);
    let failed = served.client.post("/volumes/prune", json!({})).await;
    assert_eq!(failed.status, 500);
    let want = format!("remove {b}: busy; these volumes were removed before: {a}");
    assert_eq!(failed.message(), want);
    // Without any it is the engine's error and no more.
    engine.holds.lock().unwrap().insert(a.clone(), 500);
    let failed = served.client.post("/volumes/prune", json!({})).await;
    assert_eq!(failed.message(), format!("remove {a}: busy"));
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
