//! Events of the cluster and of the engine in one stream.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use serde_json::{Value, json};

use swarmw_api::{Node as _, Standing};
use swarmw_model::{PluginState, Reachability};
use swarmw_state::Change;

use crate::client::filters;
use crate::engine::engine;
use crate::fake::{SELF, Served, leader, leading, serve};

/// Reads events until `enough`.
async fn collect(served: &Served, query: &str, enough: usize) -> Vec<Value> {
    let request = Request::get(format!("/events?{query}")).body(Body::empty()).expect("a request");
    let response = served.api.call(request).await;
    assert_eq!(response.status(), 200);
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis:1"}},
        "Mode": {"Replicated": {"Replicas": 1}}});
    served.client.post("/services/create", spec.clone()).await;
    let mut scaled = spec;
    scaled["Mode"] = json!({"Replicated": {"Replicas": 3}});
    let shown = served.client.get("/services/web").await.json();
    let path = format!("/services/web/update?version={}", shown["Version"]["Index"]);
    served.client.post(&path, scaled).await;
    served.client.delete("/services/web").await;
    let mut text = String::new();
    let mut pieces = response.into_body().into_data_stream();
    while text.lines().count() < enough {
        let piece = pieces.next().await.expect("more events").expect("a piece");
        text.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

#[tokio::test]
async fn a_services_life_is_told() {
    let served = leader().await;
    let query = filters(r#"{"type":["service"]}"#);
    let events = collect(&served, &query, 3).await;
    let told: Vec<_> =
        events.iter().map(|e| (&e["Action"], &e["Actor"]["Attributes"], &e["scope"])).collect();
    assert_eq!(
        told,
        [
            (&json!("create"), &json!({"name": "web"}), &json!("swarm")),
            (
                &json!("update"),
                &json!({"name": "web", "replicas.old": "1", "replicas.new": "3"}),
                &json!("swarm")
            ),
            (&json!("remove"), &json!({"name": "web"}), &json!("swarm")),
        ]
    );
    assert_eq!(events[0]["time"], 1_763_682_093);
}

#[tokio::test]
async fn who_listens_before_there_is_a_cluster_hears_of_it_afterwards() {
    let served = serve(Standing::Inactive).await;
    let request = Request::get("/events").body(Body::empty()).expect("a request");
    let mut pieces = served.api.call(request).await.into_body().into_data_stream();
    served.fake.set(leading());
    served.fake.found();
    let told = async {
        loop {
            let spec = json!({"Name": served.fake.random().to_string(), "Data": "YQ=="});
            served.client.post("/configs/create", spec).await;
            tokio::select! {
                piece = pieces.next() => break piece.expect("a piece").expect("text"),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("an event");
    assert!(String::from_utf8_lossy(&told).contains(r#""Type":"config""#), "{told:?}");
}

#[tokio::test]
async fn events_are_filtered() {
    let served = leader().await;
    let query = filters(r#"{"event":["remove"],"service":["web"],"scope":["swarm"]}"#);
    let events = collect(&served, &query, 1).await;
    assert_eq!(events[0]["Action"], "remove");
}

#[tokio::test]
async fn the_engines_events_are_told_whole_beside_the_clusters() {
    let served = leader().await;
    let engine = engine(served.folder.path());
    *served.fake.engine.lock().unwrap() = Some(engine.socket);
    let events = collect(&served, "", 4).await;
    let mut kinds: Vec<_> = events.iter().map(|e| e["Type"].as_str().expect("a type")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["container", "service", "service", "service"]);
}

#[tokio::test]
async fn what_was_put_back_on_the_node_is_told_by_its_own_stream() {
    let served = leader().await;
    *served.fake.repaired.lock().unwrap() = vec!["device br5 is missing".to_owned()];
    let query = filters(r#"{"event":["repair"],"node":["alpha"],"scope":["local"]}"#);
    let events = collect(&served, &query, 1).await;
    let Value::Object(event) = &events[0] else { panic!("{events:?}") };
    assert_eq!((&event["Type"], &event["scope"]), (&json!("node"), &json!("local")));
    assert_eq!(event["Actor"]["ID"], json!(SELF));
    let attributes = json!({"name": "alpha", "what": "device br5 is missing"});
    assert_eq!(event["Actor"]["Attributes"], attributes);
}

#[tokio::test]
async fn what_is_past_is_told_between_its_two_moments() {
    let served = leader().await;
    let lives = collect(&served, &filters(r#"{"type":["service"]}"#), 3).await;
    // All of it happened at 1763682093.56.
    let kind = filters(r#"{"type":["service"]}"#);
    for (moments, told) in [
        ("since=1763682093&until=1763682094", 3),
        ("since=1763682093.56&until=1763682093.56", 3),
        ("until=1763682093.56", 3),
        ("since=1763682093.57&until=1763682093.58", 0),
        ("since=12&until=1763682093.55", 0),
    ] {
        let answer = served.client.get(&format!("/events?{moments}&{kind}")).await;
        let text = String::from_utf8(answer.body.to_vec()).expect("text");
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(events, lives[..told], "{moments}");
    }
    let refused = served.client.get("/events?since=yesterday").await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn what_comes_follows_what_is_past() {
    let served = leader().await;
    let spec = json!({"Name": "before", "Data": "YQ=="});
    served.client.post("/configs/create", spec).await;
    let query = filters(r#"{"type":["config"]}"#);
    let request =
        Request::get(format!("/events?since=1&{query}")).body(Body::empty()).expect("a request");
    let mut pieces = served.api.call(request).await.into_body().into_data_stream();
    let spec = json!({"Name": "after", "Data": "YQ=="});
    served.client.post("/configs/create", spec).await;
    let mut names = Vec::new();
    while names.len() < 2 {
        let piece = pieces.next().await.expect("more events").expect("a piece");
        for line in std::str::from_utf8(&piece).expect("text").lines() {
            let event: Value = serde_json::from_str(line).expect("an event");
            names.push(event["Actor"]["Attributes"]["name"].as_str().expect("a name").to_owned());
        }
    }
    assert_eq!(names, ["before", "after"]);
}

#[tokio::test]
async fn who_leads_and_who_is_reached_is_told_of_nodes() {
    let served = leader().await;
    let query = filters(r#"{"type":["node"]}"#);
    let request = Request::get(format!("/events?{query}")).body(Body::empty()).expect("a request");
    let mut pieces = served.api.call(request).await.into_body().into_data_stream();
    let told = async {
        // Each look is some time after the one before.
        loop {
            {
                let mut statuses = served.fake.shared.statuses.lock().unwrap();
                let status = statuses.get_mut(&SELF).expect("the leader");
                status.leader = !status.leader;
                status.reachability = match status.leader {
                    true => Reachability::Reachable,
                    false => Reachability::Unreachable,
                };
            }
            tokio::select! {
                piece = pieces.next() => break piece.expect("a piece").expect("text"),
                () = tokio::time::sleep(Duration::from_millis(700)) => {}
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("an event");
    let event: Value = serde_json::from_slice(&told).expect("an event");
    assert_eq!((&event["Type"], &event["Action"]), (&json!("node"), &json!("update")));
    let attributes = &event["Actor"]["Attributes"];
    let leads = attributes["leader.new"] == "true";
    let words = |leads: bool| match leads {
        true => ("true", "reachable"),
        false => ("false", "unreachable"),
    };
    let ((old, was), (new, is)) = (words(!leads), words(leads));
    assert_eq!(
        attributes,
        &json!({"name": "alpha", "leader.old": old, "leader.new": new,
            "reachability.old": was, "reachability.new": is})
    );
}

#[tokio::test]
async fn a_stream_that_has_an_end_ends() {
    let served = leader().await;
    let events = served.client.get("/events?until=12").await;
    assert_eq!((events.status.as_u16(), events.body.len()), (200, 0));
}

#[tokio::test]
async fn a_plugins_life_is_told() {
    let served = leader().await;
    let query = filters(r#"{"type":["plugin"]}"#);
    let request = Request::get(format!("/events?{query}")).body(Body::empty()).expect("a request");
    let response = served.api.call(request).await;
    let put = |query: &'static str, text: &'static str| {
        let request = Request::post(format!("/swarmw/plugins{query}"))
            .header("host", "swarmw")
            .body(Body::from(text))
            .expect("a request");
        served.client.send(request)
    };
    let act = async |path: &str| {
        let answer = served.client.post(&format!("/swarmw/plugins/canary/{path}"), json!({})).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.message());
    };
    put("", "acme/canary:1.0.0").await;
    put("?shadow=1", "acme/canary:2.0.0").await;
    act("promote").await;
    put("", "acme/canary:3.0.0").await;
    put("?shadow=1", "acme/canary:4.0.0").await;
    served.client.post("/swarmw/plugins/canary/discard", json!({})).await;
    act("disable").await;
    act("enable").await;
    act("grant?grant=helper%3Da").await;
    let id = served.fake.shared.state.lock().unwrap().plugin_named("acme/canary").unwrap().id;
    let trouble = |digest: &str| Change::PluginTrouble {
        id,
        digest: digest.to_owned(),
        message: "test trapped".to_owned(),
    };
    served.fake.apply(None, trouble("sha256:3.0.0")).expect("written");
    let lie = Change::SetPluginState {
        id,
        state: PluginState::Quarantined,
        message: "its test lied".to_owned(),
        force: true,
    };
    served.fake.apply(None, lie).expect("written");
    served.client.delete("/swarmw/plugins/canary").await;

    let wanted = [
        "create",
        "shadow",
        "promote",
        "upgrade",
        "shadow",
        "discard",
        "disable",
        "enable",
        "grant",
        "breaker-open",
        "quarantine",
        "remove",
    ];
    let mut text = String::new();
    let mut pieces = response.into_body().into_data_stream();
    while text.lines().count() < wanted.len() {
        let piece = pieces.next().await.expect("more events").expect("a piece");
        text.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let actions: Vec<_> = events.iter().map(|e| e["Action"].as_str().expect("a word")).collect();
    assert_eq!(actions, wanted);
    let of = |at: usize, key: &str| &events[at]["Actor"]["Attributes"][key];
    assert_eq!(of(0, "name"), "acme/canary");
    assert_eq!((of(2, "version.old"), of(2, "version.new")), (&json!("1.0.0"), &json!("2.0.0")));
    assert_eq!((of(1, "candidate"), of(1, "version")), (&json!("2.0.0"), &json!("1.0.0")));
    assert_eq!(of(8, "granted"), "helper=a");
    assert_eq!(
        (of(9, "fault"), of(10, "fault")),
        (&json!("test trapped"), &json!("its test lied"))
    );
}
