//! Containers that no service made.

use serde_json::json;
use swarmw_api::Standing;

use super::{bridge, create, overlay, shadow, with_engine};
use crate::client::filters;
use crate::fake::{leader, membership, serve};

#[tokio::test]
async fn containers_join_attachable_networks_by_their_shadows() {
    let served = leader().await;
    let open =
        create(&served, json!({"Name": "open", "Driver": "overlay", "Attachable": true})).await;
    create(&served, overlay("closed")).await;
    let engine = with_engine(&served, vec![bridge("mine", "b2")]);
    let posted = |network: &str| {
        json!({"Image": "x", "HostConfig": {"NetworkMode": network},
            "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": ["a"]}}}})
    };
    let closed = "Could not attach to network closed: rpc error: code = PermissionDenied desc = \
                  network closed not manually attachable";
    for (network, sent) in [
        ("open", Some("open")),
        (&open[..], Some("open")),
        (&open[..20], Some("open")),
        ("mine", Some("mine")),
        ("host", Some("host")),
        ("container:abc", Some("container:abc")),
        ("nope", Some("nope")),
        ("closed", None),
    ] {
        let made = served.client.post("/containers/create?name=c", posted(network)).await;
        let asked = engine.take_writes();
        match sent {
            Some(sent) => {
                assert_eq!(made.status, 201, "{network}: {}", made.message());
                let want = ("POST /containers/create?name=c".to_owned(), posted(sent));
                assert_eq!(asked, [want], "{network}");
            }
            None => {
                assert_eq!((made.status.as_u16(), &*made.message()), (403, closed));
                assert!(asked.is_empty());
            }
        }
    }
    assert_eq!(*served.fake.shadows.lock().unwrap(), [open.clone(), open.clone(), open.clone()]);

    let body = json!({"Container": "c", "EndpointConfig": {"Aliases": ["a"]}});
    for (network, path) in [
        ("open".to_owned(), format!("/networks/engines-{open}/connect")),
        ("mine".to_owned(), "/networks/mine/connect".to_owned()),
    ] {
        let joined =
            served.client.post(&format!("/networks/{network}/connect"), body.clone()).await;
        assert_eq!(joined.status, 200, "{}", joined.message());
        assert_eq!(engine.take_writes(), [(format!("POST {path}"), body.clone())]);
    }
    let refused = served.client.post("/networks/closed/connect", body.clone()).await;
    assert_eq!((refused.status.as_u16(), &*refused.message()), (403, closed));

    engine.networks.lock().unwrap().push(shadow("open", "s1", &open));
    let body = json!({"Container": "c", "Force": true});
    for network in ["open", &open[..]] {
        served.client.post(&format!("/networks/{network}/disconnect"), body.clone()).await;
        let want = ("POST /networks/s1/disconnect".to_owned(), body.clone());
        assert_eq!(engine.take_writes(), [want], "{network}");
    }
}

#[tokio::test]
async fn a_network_whose_name_the_engine_has_is_joined_by_its_id() {
    let served = leader().await;
    let web =
        create(&served, json!({"Name": "web", "Driver": "overlay", "Attachable": true})).await;
    let engine = with_engine(&served, vec![bridge("web", "b2")]);
    let posted = |network: &str| json!({"HostConfig": {"NetworkMode": network}});
    for (network, sent) in [("web", "web".to_owned()), (&web, format!("engines-{web}"))] {
        served.client.post("/containers/create", posted(network)).await;
        let want = ("POST /containers/create".to_owned(), posted(&sent));
        assert_eq!(engine.take_writes(), [want], "{network}");
    }
    assert_eq!(*served.fake.shadows.lock().unwrap(), [web], "the name is the engine's");
}

/// A network that is no more, and whose shadow goes in a while.
const REMOVED: &str = "0123456789abcdefghijklmno";

#[tokio::test]
async fn a_network_that_was_made_again_is_joined_by_its_own_shadow() {
    let posted = |network: &str| json!({"HostConfig": {"NetworkMode": network}});
    let served = leader().await;
    let web =
        create(&served, json!({"Name": "web", "Driver": "overlay", "Attachable": true})).await;
    let engine = with_engine(&served, vec![shadow("web", "s1", REMOVED)]);
    served.client.post("/containers/create", posted("web")).await;
    let want = ("POST /containers/create".to_owned(), posted(&format!("engines-{web}")));
    assert_eq!(engine.take_writes(), [want]);

    // A worker knows of the one that is no more alone.
    let served = serve(Standing::Worker(membership())).await;
    let engine = with_engine(&served, vec![shadow("far", "s1", REMOVED)]);
    served.client.post("/containers/create", posted("far")).await;
    let want = ("POST /containers/create".to_owned(), posted("engines-far"));
    assert_eq!(engine.take_writes(), [want]);
}

#[tokio::test]
async fn a_worker_asks_for_networks_that_it_does_not_know() {
    let served = serve(Standing::Worker(membership())).await;
    let engine = with_engine(&served, vec![bridge("mine", "b2")]);
    for network in ["far", "nope"] {
        let body = json!({"Image": "x", "HostConfig": {"NetworkMode": network}});
        let made = served.client.post("/containers/create", body.clone()).await;
        assert_eq!(made.status, 201, "{}", made.message());
        assert_eq!(engine.take_writes(), [("POST /containers/create".to_owned(), body)]);
    }
    assert_eq!(*served.fake.shadows.lock().unwrap(), ["far", "nope"]);
    let body = json!({"Container": "c"});
    served.client.post("/networks/far/connect", body.clone()).await;
    assert_eq!(engine.take_writes(), [("POST /networks/engines-far/connect".to_owned(), body)]);
}

#[tokio::test]
async fn containers_are_shown_with_the_clusters_ids() {
    let served = leader().await;
    let web = create(&served, overlay("web")).await;
    let engine = with_engine(&served, vec![bridge("mine", "b2"), shadow("web", "s1", &web)]);
    let container = |id: &str| {
        json!({"Id": "c1", "NetworkSettings": {"Networks": {
            "web": {"NetworkID": id, "IPAddress": "10.0.7.5"}, "mine": {"NetworkID": "b2"}}}})
    };
    *engine.containers.lock().unwrap() = vec![container("s1")];
    let listed = served.client.get("/v1.47/containers/json?all=1").await.json();
    assert_eq!(listed, json!([container(&web)]));
    assert_eq!(served.client.get("/containers/c1/json").await.json(), container(&web));
    let shown = served.client.get("/networks/web").await.json();
    assert_eq!(
        shown["Containers"]["c1"],
        json!({"Name": "one", "EndpointID": "e1", "MacAddress": "02:42",
            "IPv4Address": "10.0.7.5/24", "IPv6Address": ""})
    );
    engine.take_reads();
    let by_id = filters(&json!({"network": [web, "mine"]}).to_string());
    served.client.get(&format!("/containers/json?all=1&{by_id}")).await;
    let sent = filters(r#"{"network":{"mine":true,"s1":true}}"#);
    let asked = engine.take_reads().pop().expect("asked");
    assert_eq!(asked, format!("/containers/json?all=1&{sent}"));
}
