//! Statuses and texts of refusals.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use swarmw_api::Standing;
use swarmw_model::{NodeId, NodeRole};
use swarmw_state::Change;

use crate::client::filters;
use crate::fake::{SELF, leader, membership, node, serve};

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
const TROUBLE: &str =
    "This node is not a swarm manager. It is in a swarm and cannot take part just now: no disk";
const STARTING: &str = "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.";

const LOCKED: &str = "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock it.";

#[tokio::test]
async fn a_refusal_waits_for_the_body_of_what_it_refuses() {
    let served = serve(Standing::Inactive).await;
    let mut stream = UnixStream::connect(&served.client.0).await.expect("connects");
    let head = "POST /services/create HTTP/1.1\r\nHost: docker\r\n\
                Content-Type: application/json\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let early = timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(early.is_err(), "who writes its body now has a broken pipe: {early:?}");
    stream.write_all(b"{}").await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 503");
}

#[tokio::test]
async fn a_node_that_is_no_manager_refuses_every_request_of_swarm() {
    let served = serve(Standing::Inactive).await;
    let starting = Standing::Manager { membership: membership(), leading: false, ready: false };
    for (standing, text) in [
        (Standing::Inactive, NO_SWARM),
        (Standing::Error("no disk".to_owned()), TROUBLE),
        (Standing::Worker(membership()), WORKER),
        (Standing::Pending(membership()), STARTING),
        (Standing::Locked, LOCKED),
        (starting, STARTING),
    ] {
        served.fake.set(standing.clone());
        for (method, path) in [
            ("GET", "/swarm"),
            ("GET", "/nodes"),
            ("GET", "/v1.41/services"),
            ("POST", "/services/create"),
            ("GET", "/tasks"),
            ("GET", "/secrets"),
            ("GET", "/services/web/logs?stdout=1"),
            ("POST", "/swarmw/plugins"),
        ] {
            let refused = served.client.call(method, path, None).await;
            assert_eq!(
                (refused.status.as_u16(), refused.message().as_str()),
                (503, text),
                "{method} {path} of {standing:?}"
            );
        }
    }
}

#[tokio::test]
async fn coming_and_going_is_guarded() {
    let served = leader().await;
    let twice = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
    for path in ["/swarm/init", "/swarm/join"] {
        let refused = served.client.post(path, json!({})).await;
        assert_eq!((refused.status.as_u16(), refused.message().as_str()), (503, twice));
    }
    let last = served.client.call("POST", "/swarm/leave", None).await;
    assert_eq!(last.status, 503);
    assert!(
        last.message().ends_with(
            "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. "
        ),
        "{}",
        last.message()
    );
    for (n, text) in [
        (
            2,
            "Removing this node leaves 1 managers out of 2. Without a Raft quorum your swarm will be inaccessible. The only way",
        ),
        (3, "Doing so may lose the consensus of your swarm. The only way"),
    ] {
        let manager = node(NodeId::from_bits(n), "beta", NodeRole::Manager);
        served.fake.apply(None, Change::AddNode(Box::new(manager))).expect("added");
        let refused = served.client.call("POST", "/swarm/leave", None).await;
        assert!(refused.message().contains(text), "{}", refused.message());
    }
    let forced = served.client.call("POST", "/swarm/leave?force=1", None).await;
    assert_eq!((forced.status.as_u16(), forced.body.len()), (200, 0));
    let gone = served.client.call("POST", "/swarm/leave", None).await;
    assert_eq!(
        (gone.status.as_u16(), gone.message().as_str()),
        (503, "This node is not part of a swarm")
    );
}

#[tokio::test]
async fn joining_passes_on_what_was_asked() {
    let served = serve(Standing::Inactive).await;
    let nobody = served.client.post("/swarm/join", json!({"JoinToken": "t"})).await;
    assert_eq!(nobody.message(), "at least 1 RemoteAddr is required to join");
    let joined = served
        .client
        .post(
            "/swarm/join",
            json!({"RemoteAddrs": ["127.0.0.1:2377"], "JoinToken": "t", "Availability": "drain",
                "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "", "DataPathAddr": "eth1"}),
        )
        .await;
    assert_eq!(joined.status, 200);
    let asked = served.fake.joined.lock().unwrap()[0].clone();
    assert_eq!(asked.remote_addrs, ["127.0.0.1:2377"]);
    assert_eq!((&*asked.join_token, &*asked.data_path_addr), ("t", "eth1"));
    assert_eq!(asked.availability, swarmw_model::Availability::Drain);
}

#[tokio::test]
async fn what_swarm_has_and_swarmw_has_not_is_refused_by_name() {
    let served = serve(Standing::Inactive).await;
    for (body, what) in
        [(json!({"Spec": {"CAConfig": {"ExternalCAs": [{"URL": "x"}]}}}), "external CAs")]
    {
        let refused = served.client.post("/swarm/init", body).await;
        assert_eq!(refused.status, 501);
        assert!(refused.message().starts_with(what), "{}", refused.message());
    }
    // What the docker client sends when nothing was asked.
    let founded = served
        .client
        .post(
            "/swarm/init",
            json!({"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "127.0.0.1", "DataPathAddr": "",
                "DataPathPort": 0, "ForceNewCluster": false, "DefaultAddrPool": null, "SubnetSize": 0,
                "AutoLockManagers": false, "Availability": "active",
                "Spec": {"Labels": null, "Orchestration": {}, "Raft": {"ElectionTick": 0,
                    "HeartbeatTick": 0}, "Dispatcher": {}, "CAConfig": {},
                    "TaskDefaults": {}, "EncryptionConfig": {"AutoLockManagers": false}}}),
        )
        .await;
    assert_eq!(founded.json(), json!(SELF));
    let asked = served.fake.inits.lock().unwrap()[0].clone();
    assert_eq!(asked.spec, swarmw_model::ClusterSpec::default());
    assert_eq!((asked.data_path_port, &*asked.data_path_addr), (4789, ""));
    assert_eq!(asked.address_pools, swarmw_model::AddressPools::default());
}

#[tokio::test]
async fn founding_passes_on_where_networks_are() {
    let served = serve(Standing::Inactive).await;
    for (body, want) in [
        (
            json!({"DataPathPort": 80}),
            "Datapath port number is not in valid range (1024-49151) : 80",
        ),
        (json!({"SubnetSize": 30}), "subnet size is out of range: 30"),
        (
            json!({"DefaultAddrPool": ["10.0.0.0/25"], "SubnetSize": 24}),
            "invalid CIDR: \"10.0.0.0/25\". Subnet size is too small for pool: 24",
        ),
    ] {
        let refused = served.client.post("/swarm/init", body).await;
        assert_eq!((refused.status.as_u16(), refused.message().as_str()), (400, want));
    }
    let body = json!({"DataPathAddr": "eth1", "DataPathPort": 7777, "SubnetSize": 26,
        "DefaultAddrPool": ["10.20.0.0/16", "10.30.0.0/16"]});
    assert_eq!(served.client.post("/swarm/init", body).await.status, 200);
    let asked = served.fake.inits.lock().unwrap()[0].clone();
    assert_eq!((asked.data_path_port, &*asked.data_path_addr), (7777, "eth1"));
    let pools: Vec<_> = asked.address_pools.pools.iter().map(ToString::to_string).collect();
    assert_eq!(pools, ["10.20.0.0/16", "10.30.0.0/16"]);
    assert_eq!(asked.address_pools.subnet_size, 26);
}

/// Method, path, body; status and message.
type Case = (&'static str, String, Option<Value>, u16, &'static str);

#[tokio::test]
async fn refusals_have_swarms_status_and_text() {
    let served = leader().await;
    let spec = |name: &str| {
        json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "redis"}},
            "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}})
    };
    let web = served.client.post("/services/create", spec("web")).await;
    let web = web.json()["ID"].as_str().expect("an id").to_owned();
    let with = |key: &str, value: Value| {
        let mut spec = spec("new");
        spec[key] = value;
        Some(spec)
    };
    let node_update = |body: Value| (format!("/nodes/alpha/update?version={}", 1), Some(body));
    let (bad_role_path, bad_role) = node_update(json!({"Role": "foo", "Availability": "active"}));
    let (last_path, last) = node_update(json!({"Role": "worker", "Availability": "active"}));
    let port_in_use = format!(
        "rpc error: code = InvalidArgument desc = port '8080' is already in use by service 'web' ({web}) as an ingress port"
    );
    let no_previous = format!(
        "rpc error: code = FailedPrecondition desc = service {web} does not have a previous spec"
    );
    let not_down = format!(
        "rpc error: code = FailedPrecondition desc = node {SELF} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"
    );
    let cases: Vec<Case> = vec![
        ("GET", "/nodes/nope".into(), None, 404, "node nope not found"),
        ("GET", "/services/nope".into(), None, 404, "service nope not found"),
        ("GET", "/tasks/nope".into(), None, 404, "task nope not found"),
        ("GET", "/secrets/nope".into(), None, 404, "secret nope not found"),
        ("GET", "/configs/nope".into(), None, 404, "config nope not found"),
        ("GET", "/swarmw/plugins/a/nope".into(), None, 404, "plugin a/nope not found"),
        ("DELETE", "/services/nope".into(), None, 404, "service nope not found"),
        (
            "POST",
            "/services/create".into(),
            Some(spec("web")),
            409,
            "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists",
        ),
        (
            "POST",
            "/services/create".into(),
            Some(spec("other")),
            400,
            Box::leak(port_in_use.into_boxed_str()),
        ),
        (
            "POST",
            "/services/create".into(),
            Some(spec("a.b")),
            400,
            "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component",
        ),
        (
            "POST",
            "/services/create".into(),
            with("TaskTemplate", json!({})),
            400,
            "mismatched Runtime and *Spec fields",
        ),
        (
            "POST",
            "/services/create".into(),
            with(
                "TaskTemplate",
                json!({"ContainerSpec": {"Image": "x"}, "Placement": {"Constraints": ["node.role"]}}),
            ),
            500,
            "rpc error: code = Unknown desc = constraint expected one operator from ==, !=",
        ),
        (
            "POST",
            "/services/create".into(),
            with("Mode", json!({"ReplicatedJob": {}, "Replicated": {}})),
            400,
            "must specify only one service mode",
        ),
        (
            "POST",
            "/services/create".into(),
            with(
                "TaskTemplate",
                json!({"Runtime": "attachment", "networkAttachmentSpec": {"ContainerID": "x"}}),
            ),
            400,
            "invalid task spec: spec type \"attachment\" not supported: containers join attachable \
             networks by themselves (docker run --network, docker network connect), and what runs \
             as a service has a ContainerSpec",
        ),
        (
            "POST",
            "/services/web/update".into(),
            Some(spec("web")),
            400,
            "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax",
        ),
        (
            "POST",
            "/services/web/update?version=1".into(),
            Some(spec("web")),
            500,
            "rpc error: code = Unknown desc = update out of sequence",
        ),
        (
            "POST",
            "/services/web/update?version=999".into(),
            Some(spec("web")),
            500,
            "rpc error: code = Unknown desc = update out of sequence",
        ),
        (
            "POST",
            "/services/web/update?version=3".into(),
            Some(spec("renamed")),
            501,
            "rpc error: code = Unimplemented desc = renaming services is not supported",
        ),
        (
            "POST",
            "/services/web/update?version=3".into(),
            {
                let mut global = spec("web");
                global["Mode"] = json!({"Global": {}});
                Some(global)
            },
            501,
            "rpc error: code = Unimplemented desc = service mode change is not allowed",
        ),
        (
            "POST",
            "/services/web/update?version=3&rollback=previous".into(),
            Some(spec("web")),
            400,
            Box::leak(no_previous.into_boxed_str()),
        ),
        ("POST", bad_role_path, bad_role, 400, "invalid Role: \"foo\""),
        (
            "POST",
            last_path,
            last,
            400,
            "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm",
        ),
        ("DELETE", "/nodes/alpha".into(), None, 400, Box::leak(not_down.into_boxed_str())),
        (
            "GET",
            format!("/services?{}", filters(r#"{"foo":["x"]}"#)),
            None,
            400,
            "invalid filter 'foo'",
        ),
        (
            "GET",
            format!("/nodes?{}", filters(r#"{"role":["foo"]}"#)),
            None,
            500,
            "invalid role filter: 'foo'",
        ),
        (
            "GET",
            format!("/tasks?{}", filters(r#"{"service":["nope"]}"#)),
            None,
            404,
            "service nope not found",
        ),
        (
            "GET",
            "/services/web/logs".into(),
            None,
            400,
            "Bad parameters: you must choose at least one stream",
        ),
        (
            "GET",
            "/v1.99/nodes".into(),
            None,
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.47",
        ),
        (
            "GET",
            "/v1.10/nodes".into(),
            None,
            400,
            "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
        ),
        ("PUT", "/services".into(), None, 404, "page not found"),
        ("GET", "/nonsense".into(), None, 404, "page not found"),
        ("GET", "/swarm/nonsense".into(), None, 404, "page not found"),
        (
            "POST",
            "/swarm/unlock".into(),
            Some(json!({"UnlockKey": ""})),
            409,
            "swarm is not locked",
        ),
    ];
    for (method, path, body, status, text) in cases {
        let refused = served.client.call(method, &path, body).await;
        assert_eq!(
            (refused.status.as_u16(), refused.message().as_str()),
            (status, text),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn routed_answers_carry_dockers_headers_and_unrouted_ones_do_not() {
    let served = leader().await;
    for (path, marked) in [("/nodes/nope", true), ("/v1.99/nodes", true), ("/nope", false)] {
        let answered = served.client.get(path).await;
        assert_eq!(answered.headers.contains_key("api-version"), marked, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused() {
    let served = leader().await;
    let send = async |content_type: Option<&str>, body: String| {
        let mut request = http::Request::post("/services/create").header("host", "docker");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(axum::body::Body::from(body)).expect("a request");
        served.client.send(request).await
    };
    let text = send(Some("text/plain"), "{}".to_owned()).await;
    assert_eq!(
        (text.status.as_u16(), text.message().as_str()),
        (400, "unsupported Content-Type header (text/plain): must be 'application/json'")
    );
    let broken = send(Some("application/json"), "{".to_owned()).await;
    assert_eq!(broken.status, 400);
    assert!(broken.message().starts_with("invalid JSON: "), "{}", broken.message());
    let wrong = send(Some("application/json"), r#"{"Name": 7}"#.to_owned()).await;
    assert!(wrong.message().starts_with("invalid JSON: "), "{}", wrong.message());
    let large = format!("{{\"Name\": \"{}\"}}", "a".repeat(4 << 20));
    let large = send(Some("application/json"), large).await;
    assert_eq!(large.message(), "the request's body is larger than 4194304 bytes");
    let empty = send(None, String::new()).await;
    assert_eq!(empty.message(), "mismatched Runtime and *Spec fields");
}

#[tokio::test]
async fn a_manager_that_the_quorum_needs_is_not_demoted() {
    let served = leader().await;
    let id = NodeId::from_bits(2);
    let second = node(id, "beta", NodeRole::Manager);
    served.fake.apply(None, Change::AddNode(Box::new(second))).expect("added");
    served.fake.shared.statuses.lock().unwrap().insert(
        id,
        swarmw_model::ManagerStatus {
            reachability: swarmw_model::Reachability::Unreachable,
            ..Default::default()
        },
    );
    let body = json!({"Role": "worker", "Availability": "active"});
    let refused = served.client.post("/nodes/alpha/update?version=1", body).await;
    assert_eq!(
        (refused.status.as_u16(), refused.message().as_str()),
        (
            400,
            "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a loss of quorum"
        )
    );
}
