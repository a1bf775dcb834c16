//! What Docker has no word for.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::client::Answered;
use crate::fake::{Served, leader};

async fn put(served: &Served, path: &str, bytes: impl Into<Body>) -> Answered {
    let request =
        Request::post(path).header("host", "swarmw").body(bytes.into()).expect("a request");
    served.client.send(request).await
}

#[tokio::test]
async fn a_plugin_comes_and_goes() {
    let served = leader().await;
    let added = put(&served, "/swarmw/plugins", "acme/canary").await;
    assert_eq!(added.status, 201);
    assert_eq!(added.json()["Name"], "acme/canary");
    let listed = served.client.get("/swarmw/plugins").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    for reference in ["acme/canary", "canary"] {
        let one = served.client.get(&format!("/swarmw/plugins/{reference}")).await;
        assert_eq!(one.json()["ID"], added.json()["ID"]);
    }
    let removed = served.client.delete("/v1.47/swarmw/plugins/acme/canary").await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0));
    let again = put(&served, "/swarmw/plugins", "").await;
    assert_eq!(again.status, 400);
}

#[tokio::test]
async fn a_plugin_that_is_needed_stays() {
    let served = leader().await;
    put(&served, "/swarmw/plugins", "canary").await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}},
        "UpdateConfig": {"FailureAction": "canary"}});
    served.client.post("/services/create", spec).await;
    for (plugin, text) in [
        (
            "canary",
            "plugin canary is in use by the following service: web; end that with `swarmw service \
             update --update-failure-action pause --policy-opt-rm PLUGIN.OPTION`",
        ),
        ("update", "plugin swarmw/update is built in and cannot be removed"),
    ] {
        let refused = served.client.delete(&format!("/swarmw/plugins/{plugin}")).await;
        assert_eq!((refused.status.as_u16(), refused.message().as_str()), (400, text));
    }
}

#[tokio::test]
async fn what_is_offered_is_reported_before_it_is_added() {
    let served = leader().await;
    let dry = put(&served, "/swarmw/plugins?dry=1&plan=1", "acme/canary").await;
    assert_eq!(dry.status, 200);
    assert_eq!(dry.json()["Plugin"]["Name"], "acme/canary");
    assert_eq!(dry.json()["Plan"]["Services"], 7);
    let dry = put(&served, "/swarmw/plugins?dry=1", "acme/canary").await;
    assert_eq!(dry.json()["Plan"], json!(null));
    let listed = served.client.get("/swarmw/plugins").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "nothing was added");
}

#[tokio::test]
async fn powers_are_granted_by_name() {
    let served = leader().await;
    let path = "/swarmw/plugins?grant=observe%3Dhttp%3A%2F%2Fm%2F*&grant=mount%3Dnfs4%3Aa%3A%2Fb";
    let added = put(&served, path, "acme/canary").await;
    let want = json!([{"observe": "http://m/*"}, {"mount": ["nfs4", "a:/b"]}]);
    assert_eq!(added.json()["Granted"], want, "{}", added.message());
    for (query, text) in [
        ("grant=root", "invalid grant \"root\": want observe=URL, mount=TYPE:SOURCE, "),
        ("yes=1&grant=helper%3Da", "yes grants all powers: it goes without grant and revoke"),
        ("upgrade=acme/none", "plugin acme/none not found"),
    ] {
        let refused = put(&served, &format!("/swarmw/plugins?{query}"), "acme/other").await;
        assert!(refused.message().starts_with(text), "{query}: {}", refused.message());
    }
}

#[tokio::test]
async fn a_reference_is_fetched_with_the_clients_credentials() {
    let served = leader().await;
    let request = Request::post("/swarmw/plugins?reference=reg.example%2Fcanary%3A1")
        .header("host", "swarmw")
        .header("x-registry-auth", "me")
        .body(Body::empty())
        .expect("a request");
    let added = served.client.send(request).await;
    assert_eq!(added.json()["Name"], "acme/fetched", "{}", added.message());
    assert_eq!(added.json()["Source"], "reg.example/canary:1@sha256:me");
}

#[tokio::test]
async fn another_version_runs_in_shadow_and_is_promoted() {
    let served = leader().await;
    put(&served, "/swarmw/plugins", "acme/canary:1.0.0").await;
    let other = put(&served, "/swarmw/plugins?shadow=1", "acme/canary:2.0.0").await;
    assert_eq!(other.status, 201, "{}", other.message());
    let shown = served.client.get("/swarmw/plugins/canary").await.json();
    assert_eq!(shown["Metadata"]["Version"], "1.0.0");
    assert_eq!(shown["Candidate"]["Release"]["Metadata"]["Version"], "2.0.0");
    assert_eq!(shown["Shadow"]["Comparisons"], 3);
    assert_eq!(shown["Services"], json!([]));
    let path = "/swarmw/plugins/acme/canary/promote?grant=helper%3Da";
    let promoted = served.client.post(path, json!({})).await;
    assert_eq!(promoted.status, 200, "{}", promoted.message());
    let shown = served.client.get("/swarmw/plugins/canary").await.json();
    assert_eq!(
        (&shown["Metadata"]["Version"], &shown["Candidate"]),
        (&json!("2.0.0"), &json!(null))
    );
    let again = served.client.post("/swarmw/plugins/canary/discard", json!({})).await;
    assert!(again.message().contains("has no other version"), "{}", again.message());
}

#[tokio::test]
async fn a_plugin_is_switched_off_and_on() {
    let served = leader().await;
    put(&served, "/swarmw/plugins", "canary").await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}},
        "UpdateConfig": {"FailureAction": "canary"}});
    served.client.post("/services/create", spec).await;
    let refused = served.client.post("/swarmw/plugins/canary/disable", json!({})).await;
    assert!(refused.message().contains("the following service: web"), "{}", refused.message());
    for (path, state) in [("disable?force=1", "disabled"), ("enable", "enabled")] {
        let path = format!("/swarmw/plugins/canary/{path}");
        let answer = served.client.post(&path, json!({})).await;
        assert_eq!(answer.json()["Status"]["State"], state, "{}", answer.message());
    }
    for path in ["/swarmw/plugins/canary/explode", "/swarmw/plugins/enable"] {
        assert_eq!(served.client.post(path, json!({})).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_log_is_lines_of_json() {
    let served = leader().await;
    for name in ["acme/canary", "acme/logs"] {
        put(&served, "/swarmw/plugins", name).await;
    }
    let log = served.client.get("/swarmw/plugins/canary/logs?tail=2").await;
    let text = String::from_utf8_lossy(&log.body).into_owned();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[1]["Text"], &lines[1]["Level"]), (&json!("acme/canary 3"), &json!("info")));
    let named = served.client.get("/swarmw/plugins/acme/logs").await.json();
    assert_eq!(named["Name"], "acme/logs", "a whole name comes first");
    let wrong = served.client.get("/swarmw/plugins/canary/logs?tail=x").await;
    assert_eq!(wrong.message(), "invalid tail \"x\": want a number of lines, or all");
    assert_eq!(served.client.get("/swarmw/plugins/none/logs").await.status, 404);
}

#[tokio::test]
async fn blobs_are_bounded() {
    let served = leader().await;
    let stored = put(&served, "/swarmw/blobs", vec![7; 5 << 20]).await;
    assert_eq!(stored.status, 201);
    assert_eq!(stored.json(), json!({"Digest": "sha256:00", "Size": 5 << 20}));
    let large = put(&served, "/swarmw/blobs", vec![7; (64 << 20) + 1]).await;
    assert_eq!(large.message(), "the request's body is larger than 67108864 bytes");
}
