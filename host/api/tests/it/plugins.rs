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
        ("canary", "plugin canary is in use by the following service: web"),
        ("update", "plugin swarmw/update is built in and cannot be removed"),
    ] {
        let refused = served.client.delete(&format!("/swarmw/plugins/{plugin}")).await;
        assert_eq!((refused.status.as_u16(), refused.message().as_str()), (400, text));
    }
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
