//! Networks come and go, and what is refused.

use serde_json::{Value, json};
use swarmw_api::Standing;
use swarmw_model::NetworkId;

use super::{bridge, create, names, overlay, run, service, shadow, with_engine};
use crate::client::filters;
use crate::fake::{following, leader, membership, serve, serve_with};

#[tokio::test]
async fn what_is_wrong_is_refused_in_swarms_words() {
    let served = leader().await;
    with_engine(&served, vec![bridge("mine", "b2")]);
    let web = create(&served, overlay("web")).await;
    run(&served, service("api", &["web"])).await;
    let service_id = served.client.get("/services/api").await.json()["ID"].clone();
    let service_id = service_id.as_str().expect("an id");
    let with = |field: &str, value: Value| {
        let mut body = overlay("new");
        body[field] = value;
        body
    };
    let ingress = served.client.get("/networks/ingress").await.json()["Id"].clone();
    let ingress = ingress.as_str().expect("an id");
    let conflict = |name: &str| format!("network with name {name} already exists");
    let unsupported = |what: &str| format!("{what} not supported by this version of swarmw");
    for (path, body, status, want) in [
        ("networks/create", overlay("web"), 409, conflict("web")),
        ("networks/create", overlay("mine"), 409, conflict("mine")),
        ("networks/create", json!({"Name": "web", "Driver": "bridge"}), 409, conflict("web")),
        (
            "networks/create",
            overlay("host"),
            403,
            "host is a pre-defined network and cannot be created".to_owned(),
        ),
        (
            "networks/create",
            with("Ingress", json!(true)),
            409,
            format!(
                "rpc error: code = AlreadyExists desc = ingress network ({ingress}) is already present"
            ),
        ),
        (
            "networks/create",
            with("ConfigFrom", json!({"Network": "x"})),
            501,
            unsupported("networks of the cluster out of a configuration (ConfigOnly, ConfigFrom) are"),
        ),
        (
            "networks/create",
            with("EnableIPv4", json!(false)),
            501,
            unsupported("networks of the cluster without IPv4 are"),
        ),
        (
            "networks/create",
            with("Scope", json!("global")),
            501,
            unsupported("overlay networks of another scope than swarm are"),
        ),
        ("services/create", service("other", &["nope"]), 404, "network nope not found".to_owned()),
        (
            "services/create",
            service("other", &["mine"]),
            403,
            "The network mine cannot be used with services. Only networks scoped to the swarm can \
             be used, such as those created with the overlay driver."
                .to_owned(),
        ),
        (
            "services/create",
            {
                let mut spec = service("other", &["ingress"]);
                spec["EndpointSpec"] = json!({});
                spec
            },
            400,
            "rpc error: code = InvalidArgument desc = Service cannot be explicitly attached to the \
             ingress network \"ingress\""
                .to_owned(),
        ),
    ] {
        let refused = served.client.post(&format!("/{path}"), body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, want), "{path} {body}");
    }
    for (path, status, want) in [
        (
            "/networks/web",
            400,
            format!(
                "rpc error: code = FailedPrecondition desc = network {web} is in use by service {service_id}"
            ),
        ),
        ("/networks/nope", 404, "network nope not found".to_owned()),
        (
            "/networks/ingress",
            400,
            format!(
                "rpc error: code = FailedPrecondition desc = ingress network cannot be removed \
                 because service {service_id} depends on it"
            ),
        ),
    ] {
        let refused = served.client.delete(path).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, want), "{path}");
    }
}

#[tokio::test]
async fn who_may_not_make_networks_is_told_so() {
    let served = serve(Standing::Worker(membership())).await;
    let refused = served.client.post("/networks/create", overlay("web")).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.message()),
        (
            403,
            "Cannot create a multi-host network from a worker node. Please create the network \
             from a manager node."
        )
    );
    served.fake.set(Standing::Inactive);
    let refused = served.client.post("/networks/create", overlay("web")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.message().starts_with("This node is not a swarm manager. Use"));
    served.fake.set(Standing::Worker(membership()));
    let web = NetworkId::from_bits(9).to_string();
    with_engine(&served, vec![bridge("mine", "b2"), shadow("web", "s1", &web)]);
    let refused = served.client.delete("/networks/web").await;
    assert_eq!(refused.status, 503);
    assert!(refused.message().contains("Worker nodes can't be used"));
}

#[tokio::test]
async fn networks_are_removed_and_pruned() {
    let served = leader().await;
    let engine = with_engine(&served, vec![bridge("mine", "b2"), bridge("twice", "b3")]);
    for name in ["used", "idle", "kept", "twice"] {
        let mut body = overlay(name);
        if name == "kept" {
            body["Labels"] = json!({"keep": "yes"});
        }
        // `twice` is there before the cluster's of this name.
        if name == "twice" {
            engine.networks.lock().unwrap().pop();
        }
        create(&served, body).await;
    }
    engine.networks.lock().unwrap().push(bridge("twice", "b3"));
    run(&served, service("api", &["used"])).await;
    let refused = served.client.delete("/networks/twice").await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.message()),
        (400, "network twice is ambiguous (2 matches found based on name)")
    );
    engine.take_writes();
    let gone = served.client.delete("/networks/mine").await;
    assert_eq!(gone.status, 204);
    assert_eq!(engine.take_writes(), [("DELETE /networks/b2".to_owned(), Value::Null)]);

    let until = format!("/networks/prune?{}", filters(r#"{"until":["2020-01-01T00:00:00Z"]}"#));
    let pruned = served.client.post(&until, json!({})).await.json();
    assert_eq!(pruned["NetworksDeleted"], json!(["old"]));
    engine.take_writes();
    let path = format!("/networks/prune?{}", filters(r#"{"label!":["keep"],"until":["24h"]}"#));
    served.client.post(&path, json!({})).await;
    let path = format!("/networks/prune?{}", filters(r#"{"label!":["keep"]}"#));
    let pruned = served.client.post(&path, json!({})).await.json();
    let mut gone: Vec<_> = pruned["NetworksDeleted"].as_array().expect("names").clone();
    gone.sort_by_key(ToString::to_string);
    assert_eq!(gone, ["idle", "old", "twice"]);
    let (asked, _) = engine.take_writes().pop().expect("asked");
    let sparing = filters(r#"{"label!":{"keep":true,"swarmw.network":true}}"#);
    assert_eq!(asked, format!("POST /networks/prune?{sparing}"));
    let left = served.client.get(&format!("/networks?{}", filters(r#"{"scope":["swarm"]}"#))).await;
    let left = left.json();
    let swarms: Vec<_> =
        names(&left).into_iter().filter(|name| !["mine", "twice"].contains(name)).collect();
    assert_eq!(swarms, ["ingress", "kept", "used"]);
    let path = format!("/networks/prune?{}", filters(r#"{"until":["x"]}"#));
    assert_eq!(served.client.post(&path, json!({})).await.status, 400);
    let id = served.client.get("/networks/kept").await.json()["Id"].clone();
    let removed = served.client.delete(&format!("/networks/{}", id.as_str().expect("an id"))).await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0));
    assert_eq!(served.client.get("/networks/kept").await.status, 404);
}

#[tokio::test]
async fn a_prune_that_the_engine_fails_in_names_what_is_gone() {
    let served = leader().await;
    let engine = with_engine(&served, Vec::new());
    let prune = async || {
        let answer = served.client.post("/networks/prune", json!({})).await;
        (answer.status.as_u16(), answer.message())
    };
    *engine.prunes_no_more.lock().unwrap() = Some("no space left on device".to_owned());
    create(&served, overlay("idle")).await;
    let why = "no space left on device; these networks of the cluster were removed before: idle";
    assert_eq!(prune().await, (500, why.to_owned()));
    // Without any it is the engine's error and no more.
    assert_eq!(prune().await, (500, "no space left on device".to_owned()));
    // One that does not answer at all, neither.
    create(&served, overlay("idle")).await;
    std::fs::remove_file(&engine.socket).expect("removed");
    let (status, why) = prune().await;
    assert_eq!(status, 503, "{why}");
    assert!(why.ends_with("these networks of the cluster were removed before: idle"), "{why}");
}

#[tokio::test]
async fn a_follower_asks_the_leader_and_without_one_tells_what_it_knows() {
    let leader = leader().await;
    let follower = serve_with(following(), leader.fake.shared.clone()).await;
    *follower.fake.leader.lock().unwrap() = Some(leader.api.clone());
    let id = create(&follower, overlay("web")).await;
    assert_eq!(
        leader.fake.shared.state.lock().unwrap().networks().filter(|n| n.is_overlay()).count(),
        2
    );
    assert_eq!(follower.client.get("/networks/web").await.json()["Id"], id);
    *follower.fake.leader.lock().unwrap() = None;
    let begun = std::time::Instant::now();
    let listed = follower.client.get("/networks").await.json();
    assert_eq!(names(&listed), ["ingress", "web"]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    *follower.fake.leader.lock().unwrap() = Some(leader.api.clone());
    // Each request was passed on twice: the second try is answered as the first one was.
    assert_eq!(follower.client.delete("/networks/web").await.status, 204);
    assert_eq!(follower.client.delete("/networks/web").await.status, 404);
}

#[tokio::test]
async fn of_shadows_it_is_told_who_joins_and_leaves_them() {
    use futures::StreamExt;
    let served = leader().await;
    let engine = with_engine(&served, Vec::new());
    let web = create(&served, overlay("web")).await;
    let event = |action: &str, id: &str, driver: &str| {
        json!({"Type": "network", "Action": action, "Actor": {"ID": id,
            "Attributes": {"name": "web", "type": driver, "container": "c1"}}})
    };
    *engine.events.lock().unwrap() = vec![
        event("create", "s1", "swarmw"),
        event("connect", "s1", "swarmw"),
        event("create", "b2", "bridge"),
        json!({"Type": "image", "Action": "pull", "Actor": {"ID": "swarmw"}}),
        event("disconnect", "s1", "swarmw"),
        event("destroy", "s1", "swarmw"),
        event("destroy", "b2", "bridge"),
    ];
    let response = served.api.call(crate::client::request("GET", "/events", None)).await;
    let mut lines = response.into_body().into_data_stream();
    for want in [
        event("connect", &web, "overlay"),
        event("create", "b2", "bridge"),
        json!({"Type": "image", "Action": "pull", "Actor": {"ID": "swarmw"}}),
        event("disconnect", &web, "overlay"),
        event("destroy", "b2", "bridge"),
    ] {
        let line = lines.next().await.expect("an event").expect("bytes");
        assert_eq!(serde_json::from_slice::<Value>(&line).expect("JSON"), want);
    }
}

#[tokio::test]
async fn events_of_networks_are_told_with_their_names() {
    use futures::StreamExt;
    let served = leader().await;
    let path = format!("/events?{}", filters(r#"{"network":["web"]}"#));
    let response = served.api.call(crate::client::request("GET", &path, None)).await;
    let mut lines = response.into_body().into_data_stream();
    create(&served, overlay("other")).await;
    create(&served, overlay("web")).await;
    served.client.delete("/networks/web").await;
    for action in ["create", "remove"] {
        let line = lines.next().await.expect("an event").expect("bytes");
        let event: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!((&event["Type"], &event["Action"]), (&json!("network"), &json!(action)));
        assert_eq!(event["scope"], "swarm");
        assert_eq!(event["Actor"]["Attributes"], json!({"name": "web"}));
    }
}
