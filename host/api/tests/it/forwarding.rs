//! A manager that does not lead passes requests on; tries again are harmless.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::client::request;
use crate::fake::{Served, following, leader, leading, serve_with};

/// A leader, and a follower that passes each request on twice.
async fn two() -> (Served, Served) {
    let leader = leader().await;
    let follower = serve_with(following(), leader.fake.shared.clone()).await;
    *follower.fake.leader.lock().unwrap() = Some(leader.api.clone());
    (leader, follower)
}

#[tokio::test]
async fn a_try_again_gets_the_first_answer() {
    let (leader, follower) = two().await;
    let spec = json!({"TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    let made = follower.client.post("/v1.41/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.message());
    {
        let state = leader.fake.shared.state.lock().unwrap();
        assert_eq!(state.service_count(), 1);
    }
    let path = format!("/services/{}", made.json()["ID"].as_str().expect("an id"));
    let shown = follower.client.get(&path).await.json();
    let update = format!("{path}/update?version={}", shown["Version"]["Index"]);
    let updated = follower.client.post(&update, shown["Spec"].clone()).await;
    assert_eq!(updated.status, 200, "{}", updated.message());
    // The second try finds nothing to remove, and yet succeeds as the first did.
    let removed = follower.client.delete(&path).await;
    assert_eq!(removed.status, 200, "{}", removed.message());
    let again = follower.client.delete(&path).await;
    assert_eq!(again.status, 404);
    let seen = follower.fake.forwarded.lock().unwrap().clone();
    assert_eq!(seen[0].0, "/v1.41/services/create");
    assert_eq!(seen[0].1.len(), 25);
    assert_ne!(seen[0].1, seen[1].1, "each request has an id of its own");
}

#[tokio::test]
async fn a_clients_own_id_is_kept() {
    let (leader, follower) = two().await;
    let id = "0000000000000000000000abc";
    let mut posted = request("POST", "/swarmw/plugins", None);
    posted.headers_mut().insert("x-swarmw-request-id", id.parse().expect("a value"));
    *posted.body_mut() = axum::body::Body::from("acme/canary");
    let added = follower.client.send(posted).await;
    assert_eq!(added.status, 201, "{}", added.message());
    assert_eq!(follower.fake.forwarded.lock().unwrap()[0].1, id);
    assert_eq!(leader.fake.shared.state.lock().unwrap().plugins().count(), 2);

    let mut wrong = request("DELETE", "/services/x", None);
    wrong.headers_mut().insert("x-swarmw-request-id", "7".parse().expect("a value"));
    let refused = leader.client.send(wrong).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("x-swarmw-request-id"));
}

#[tokio::test]
async fn a_forwarded_request_is_never_forwarded_again() {
    let (leader, _follower) = two().await;
    leader.fake.set(following());
    let before = leader.fake.shared.applied.load(Ordering::SeqCst);
    let request = Request::delete("/v1.41/services/web").body(Bytes::new()).expect("a request");
    let answered = leader.api.forwarded(request).await;
    assert_eq!(answered.status(), 503);
    assert!(answered.headers().contains_key("x-swarmw-leader-moved"));
    assert_eq!(leader.fake.shared.applied.load(Ordering::SeqCst), before);
    leader.fake.set(leading());
}

#[tokio::test]
async fn what_is_the_nodes_own_is_not_forwarded() {
    let (_leader, follower) = two().await;
    for path in ["/_ping", "/info", "/version", "/volumes"] {
        assert_eq!(follower.client.get(path).await.status, 200, "{path}");
    }
    assert!(follower.fake.forwarded.lock().unwrap().is_empty());
    let info = follower.client.get("/info").await.json();
    assert_eq!(info["Swarm"]["Nodes"], 1);
}

#[tokio::test]
async fn a_write_whose_answer_an_election_swallowed_is_tried_again() {
    let (leader, follower) = two().await;
    let spec =
        |name: &str| json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    // The same manager leads again.
    leader.fake.lost.lock().unwrap().push(leading());
    let made = leader.client.post("/services/create", spec("one")).await;
    assert_eq!(made.status, 201, "{}", made.message());
    // Another one does: the request goes there.
    follower.fake.set(leading());
    *leader.fake.leader.lock().unwrap() = Some(follower.api.clone());
    leader.fake.lost.lock().unwrap().push(following());
    let made = leader.client.post("/services/create", spec("two")).await;
    assert_eq!(made.status, 201, "{}", made.message());
    assert_eq!(leader.fake.forwarded.lock().unwrap().len(), 1);
    let state = leader.fake.shared.state.lock().unwrap();
    assert_eq!(state.service_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_write_that_an_election_ends_is_tried_again_too() {
    let leader = leader().await;
    *leader.fake.slow.lock().unwrap() = Duration::from_secs(20);
    leader.fake.lost.lock().unwrap().push(leading());
    let spec = json!({"TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    let made = leader.api.call(request("POST", "/services/create", Some(spec))).await;
    assert_eq!(made.status(), 201, "{:?}", made.body());
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_the_client_is_told_so_in_the_end() {
    let (_leader, follower) = two().await;
    *follower.fake.leader.lock().unwrap() = None;
    let answered = follower.api.call(request("GET", "/services", None)).await;
    assert_eq!(answered.status(), 500);
    let body = axum::body::to_bytes(answered.into_body(), 4_096).await;
    let body: serde_json::Value = serde_json::from_slice(&body.expect("a body")).expect("an error");
    assert_eq!(
        body["message"],
        "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that \
         too few managers are online. Make sure more than half of the managers are online."
    );
}
