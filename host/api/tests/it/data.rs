//! `/secrets` and `/configs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use serde_json::{Value, json};
use swarmw_api::Node as _;

use crate::client::filters;
use crate::fake::{Served, leader};

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

async fn create(served: &Served, kind: &str, body: Value) -> String {
    let made = served.client.post(&format!("/v1.41/{kind}/create"), body).await;
    assert_eq!(made.status, 201, "{}", made.message());
    made.json()["ID"].as_str().expect("an id").to_owned()
}

/// A service that names a secret and a config.
fn naming(secret: &str, config: &str) -> Value {
    let file = |name: &str| json!({"Name": name, "UID": "0", "GID": "0", "Mode": 0o444});
    json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis",
        "Secrets": [{"File": file("pw"), "SecretID": secret, "SecretName": "pw"}],
        "Configs": [{"File": file("/c"), "ConfigID": config, "ConfigName": "conf"}]}}})
}

#[tokio::test]
async fn a_secret_is_answered_without_its_data_and_a_config_with_it() {
    let served = leader().await;
    let body = json!({"Name": "pw", "Labels": {"a": "b"}, "Data": encoded("hush")});
    let secret = create(&served, "secrets", body).await;
    let body = json!({"name": "conf", "data": encoded("port=1"),
        "Templating": {"Name": "golang"}});
    let config = create(&served, "configs", body).await;

    let listed = served.client.get("/v1.41/secrets").await;
    let one = served.client.get("/secrets/pw").await;
    for answer in [&listed, &one] {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("Data") && !text.contains(&encoded("hush")), "{text}");
    }
    assert_eq!(listed.json(), json!([one.json()]));
    assert_eq!(
        one.json(),
        json!({"ID": secret, "Version": {"Index": 2},
            "CreatedAt": "2025-11-20T23:41:33.56Z", "UpdatedAt": "2025-11-20T23:41:33.56Z",
            "Spec": {"Name": "pw", "Labels": {"a": "b"}}})
    );
    let shown = served.client.get(&format!("/configs/{}", &config[..24])).await.json();
    assert_eq!(
        shown["Spec"],
        json!({"Name": "conf", "Labels": {}, "Data": encoded("port=1"),
            "Templating": {"Name": "golang"}})
    );
}

#[tokio::test]
async fn lists_are_filtered_as_docker_filters_them() {
    let served = leader().await;
    for (name, team) in [("db", "x"), ("db-2", "y"), ("web", "x")] {
        let body = json!({"Name": name, "Labels": {"team": team}, "Data": encoded("x")});
        create(&served, "secrets", body.clone()).await;
        create(&served, "configs", body).await;
    }
    for (filter, want) in [
        (r#"{"name":["db"]}"#, &["db", "db-2"][..]),
        (r#"{"names":{"db":true}}"#, &["db"]),
        (r#"{"label":["team=x"]}"#, &["db", "web"]),
        (r#"{"id":["nope"]}"#, &[]),
    ] {
        let listed = served.client.get(&format!("/secrets?{}", filters(filter))).await.json();
        let mut names: Vec<_> = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| s["Spec"]["Name"].as_str().expect("a name"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, want, "{filter}");
    }
    let refused = served.client.get(&format!("/configs?{}", filters(r#"{"names":["db"]}"#))).await;
    assert_eq!((refused.status.as_u16(), &*refused.message()), (400, "invalid filter 'names'"));
}

#[tokio::test]
async fn labels_alone_are_updated() {
    let served = leader().await;
    let id = create(&served, "secrets", json!({"Name": "pw", "Data": encoded("x")})).await;
    let rpc = "rpc error: code = InvalidArgument desc =";
    for (path, body, status, want) in [
        ("pw/update", json!({"Name": "pw"}), 400, "invalid secret version".to_owned()),
        (
            "pw/update?version=2",
            json!({"Name": "other"}),
            400,
            format!("{rpc} only updates to Labels are allowed"),
        ),
        (
            "pw/update?version=2",
            json!({"Name": "pw", "Data": encoded("y")}),
            400,
            format!("{rpc} only updates to Labels are allowed"),
        ),
        (
            "pw/update?version=1",
            json!({"Name": "pw"}),
            500,
            "rpc error: code = Unknown desc = update out of sequence".to_owned(),
        ),
        ("nope/update?version=1", json!({"Name": "pw"}), 404, "secret nope not found".to_owned()),
    ] {
        let refused = served.client.post(&format!("/secrets/{path}"), body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, want), "{path} {body}");
    }
    let body = json!({"Name": "pw", "Labels": {"a": "b"}});
    let path = format!("/secrets/{id}/update?version=2");
    let updated = served.client.post(&path, body).await;
    assert_eq!((updated.status.as_u16(), &updated.body[..]), (200, &b""[..]));
    assert_eq!(served.client.get("/secrets/pw").await.json()["Spec"]["Labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_swarms_words() {
    let served = leader().await;
    create(&served, "secrets", json!({"Name": "pw", "Data": encoded("x")})).await;
    let invalid = |text: &str| format!("rpc error: code = InvalidArgument desc = {text}");
    let name = invalid(
        "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character \
         must be [a-zA-Z0-9]",
    );
    let large = encoded(&"x".repeat(512_000));
    for (path, body, status, want) in [
        ("/secrets/create", json!({"Data": encoded("x")}), 400, invalid("name must be provided")),
        ("/secrets/create", json!({"Name": "a b", "Data": encoded("x")}), 400, name),
        (
            "/secrets/create",
            json!({"Name": "a"}),
            400,
            invalid("secret data must be larger than 0 and less than 512000 bytes"),
        ),
        (
            "/secrets/create",
            json!({"Name": "a", "Data": large}),
            400,
            invalid("secret data must be larger than 0 and less than 512000 bytes"),
        ),
        (
            "/configs/create",
            json!({"Name": "a"}),
            400,
            invalid("config data must be larger than 0 and less than 1024000 bytes"),
        ),
        (
            "/secrets/create",
            json!({"Name": "PW", "Data": encoded("x")}),
            409,
            "rpc error: code = AlreadyExists desc = secret PW already exists".to_owned(),
        ),
        (
            "/secrets/create",
            json!({"Name": "a", "Driver": {"Name": "vault"}}),
            501,
            "secret drivers are not supported by this version of swarmw: vault".to_owned(),
        ),
        (
            "/v1.36/configs/create",
            json!({"Name": "a", "Data": encoded("x"), "Templating": {"Name": "golang"}}),
            400,
            "config templating is not supported on the specified API version: 1.36".to_owned(),
        ),
        ("/services/create", naming("nothing", "nothing"), 400, invalid("secret not found: pw")),
    ] {
        let refused = served.client.post(path, body).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, want), "{path}");
    }
}

#[tokio::test]
async fn what_a_service_names_stays_until_it_goes() {
    let served = leader().await;
    let secret = create(&served, "secrets", json!({"Name": "pw", "Data": encoded("x")})).await;
    let config = create(&served, "configs", json!({"Name": "conf", "Data": encoded("x")})).await;
    let posted = naming(&secret, &config);
    let service = served.client.post("/services/create", posted.clone()).await;
    assert_eq!(service.status, 201, "{}", service.message());
    let shown = served.client.get("/services/web").await.json();
    for field in ["Secrets", "Configs"] {
        let path = format!("/TaskTemplate/ContainerSpec/{field}");
        assert_eq!(shown["Spec"].pointer(&path), posted.pointer(&path), "{field}");
    }
    for (path, kind, name) in [("/secrets/pw", "secret", "pw"), ("/configs/conf", "config", "conf")]
    {
        let refused = served.client.delete(path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.message()),
            (
                400,
                format!(
                    "rpc error: code = InvalidArgument desc = {kind} '{name}' is in use by the \
                     following service: web"
                )
            )
        );
    }
    served.client.delete("/services/web").await;
    for path in ["/secrets/pw", "/configs/conf"] {
        let gone = served.client.delete(path).await;
        assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
        assert_eq!(served.client.delete(path).await.status, 404);
    }
}

#[tokio::test]
async fn events_tell_the_name_and_no_more() {
    let served = leader().await;
    let mut changes = served.fake.changes().expect("events");
    let response = served.api.call(crate::client::request("GET", "/events", None)).await;
    let mut lines = response.into_body().into_data_stream();
    create(&served, "secrets", json!({"Name": "pw", "Data": encoded("hush")})).await;
    served.client.delete("/secrets/pw").await;
    for action in ["create", "remove"] {
        let line = lines.next().await.expect("an event").expect("bytes");
        let event: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!((&event["Type"], &event["Action"]), (&json!("secret"), &json!(action)));
        assert_eq!(event["Actor"]["Attributes"], json!({"name": "pw"}));
        let text = format!("{:?}", changes.next().await);
        assert!(!text.contains("hush") && !text.contains(&encoded("hush")), "{text}");
    }
}

#[tokio::test]
async fn a_version_is_put_in_the_place_of_another_for_all_services_in_one_write() {
    let served = leader().await;
    let post = async |path: &str, body: Value| served.client.post(path, body).await;
    let made = post("/secrets/create", json!({"Name": "key", "Data": "b25l"})).await.json();
    let first = made["ID"].as_str().expect("an id").to_owned();
    let web = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "x", "Secrets": [
        {"SecretID": first, "SecretName": "key", "File": {"Name": "k", "UID": "0", "GID": "0"}}]}}});
    let web = post("/services/create", web).await.json()["ID"].clone();

    let rotated = post("/swarmw/secrets/key/rotate", json!({"Data": "dHdv"})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.message());
    let told = rotated.json();
    assert_eq!(
        (&told["Name"], &told["Number"], &told["Services"]),
        (&json!("key"), &json!(2), &json!([web]))
    );
    let service = served.client.get("/services/web").await.json();
    let secret = &service["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"][0];
    assert_eq!((&secret["SecretID"], &secret["SecretName"]), (&told["ID"], &json!("key")));
    let shown = served.client.get("/secrets/key.v1").await.json();
    assert_eq!(
        (&shown["ID"], &shown["Swarmw"]),
        (&json!(first), &json!({"Name": "key", "Number": 1}))
    );
    assert!(shown["Spec"].get("Data").is_none(), "{shown}");

    let back = post("/swarmw/secrets/key/rotate", json!({"Rollback": true})).await.json();
    assert_eq!((&back["ID"], &back["Number"]), (&json!(first), &json!(1)));
    for (body, status, why) in [
        (json!({"Rollback": true}), 400, "secret key has no earlier version"),
        (json!({"Data": "b25l"}), 400, "secret key has these data already"),
        (json!({}), 400, "want either Data"),
        (json!({"Data": "dHdv", "Rollback": true}), 400, "want either Data"),
    ] {
        let refused = post("/swarmw/secrets/key/rotate", body).await;
        assert_eq!(refused.status.as_u16(), status);
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    assert_eq!(post("/swarmw/configs/key/rotate", json!({"Data": "eA=="})).await.status, 404);
}
