//! Services: what is stored, what is shown, what survives.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::client::{Answered, filters};
use crate::fake::{Served, leader};
use swarmw_model::ServiceId;

fn spec(name: &str) -> Value {
    json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "redis:3.0.6"}},
        "Mode": {"Replicated": {"Replicas": 2}}})
}

async fn create(served: &Served, spec: Value) -> String {
    let made = served.client.post("/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.message());
    made.json()["ID"].as_str().expect("an id").to_owned()
}

async fn show(served: &Served, reference: &str) -> Value {
    served.client.get(&format!("/services/{reference}")).await.json()
}

/// Reads, lets `change` edit the spec, and writes it back, as clients do.
async fn edit(served: &Served, reference: &str, change: impl FnOnce(&mut Value)) -> Answered {
    let shown = show(served, reference).await;
    let mut spec = shown["Spec"].clone();
    change(&mut spec);
    let path = format!(
        "/services/{reference}/update?version={}&registryAuthFrom=spec",
        shown["Version"]["Index"]
    );
    served.client.post(&path, spec).await
}

/// The spec version of the stored service: whether tasks were replaced.
fn spec_version(served: &Served, id: &str) -> u64 {
    let id: ServiceId = id.parse().expect("an id");
    let state = served.fake.shared.state.lock().unwrap();
    state.service(id).expect("a service").spec_version.index
}

#[tokio::test]
async fn a_service_is_shown_as_docker_shows_it() {
    let served = leader().await;
    let mut posted = spec("web");
    posted["EndpointSpec"] = json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    posted["TaskTemplate"]["RestartPolicy"] = json!({"MaxAttempts": 3});
    let id = create(&served, posted).await;
    let port = json!({"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080,
        "PublishMode": "ingress"});
    let ingress = served.client.get("/networks/ingress").await.json()["Id"].clone();
    assert_eq!(
        show(&served, "web").await,
        json!({
            "ID": id,
            // The allocator gave it an address on the routing mesh.
            "Version": {"Index": 3},
            "CreatedAt": "2025-11-20T23:41:33.56Z",
            "UpdatedAt": "2025-11-20T23:41:33.56Z",
            "Spec": {
                "Name": "web",
                "Labels": {},
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "redis:3.0.6", "Isolation": "default"},
                    "RestartPolicy": {"Condition": "any", "MaxAttempts": 3},
                    "ForceUpdate": 0,
                    "Runtime": "container",
                },
                "Mode": {"Replicated": {"Replicas": 2}},
                "EndpointSpec": {"Mode": "vip", "Ports": [port]},
            },
            "Endpoint": {"Spec": {"Mode": "vip", "Ports": [port]}, "Ports": [port],
                "VirtualIPs": [{"NetworkID": ingress, "Addr": "10.0.0.2/24"}]},
            "SpecVersion": {"Index": 2},
        })
    );
}

#[tokio::test]
async fn defaults_are_inserted_only_when_asked_for() {
    let served = leader().await;
    create(&served, spec("web")).await;
    assert_eq!(show(&served, "web").await["Spec"]["UpdateConfig"], Value::Null);
    let full = served.client.get("/services/web?insertDefaults=true").await.json();
    let update = json!({"Parallelism": 1, "FailureAction": "pause",
        "Monitor": 5_000_000_000_i64, "MaxFailureRatio": 0, "Order": "stop-first"});
    assert_eq!(full["Spec"]["UpdateConfig"], update);
    assert_eq!(full["Spec"]["RollbackConfig"], update);
    let task = &full["Spec"]["TaskTemplate"];
    assert_eq!(task["ContainerSpec"]["StopGracePeriod"], 10_000_000_000_i64);
    assert_eq!(
        task["RestartPolicy"],
        json!({"Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0})
    );
    // Docker inserts none of it.
    assert_eq!(full["Spec"]["EndpointSpec"], Value::Null);
}

#[tokio::test]
async fn a_spec_that_went_through_a_client_restarts_nothing() {
    let served = leader().await;
    let mut posted = spec("web");
    posted["EndpointSpec"] = json!({"Ports": [{"TargetPort": 80}]});
    posted["TaskTemplate"]["ContainerSpec"]["Mounts"] = json!([{"Source": "data", "Target": "/x"}]);
    posted["TaskTemplate"]["RestartPolicy"] = json!({});
    posted["UpdateConfig"] = json!({"Parallelism": 2});
    let id = create(&served, posted).await;
    let before = spec_version(&served, &id);
    let labelled = edit(&served, "web", |spec| spec["Labels"] = json!({"a": "b"})).await;
    assert_eq!(labelled.status, 200, "{}", labelled.message());
    assert_eq!(spec_version(&served, &id), before);
    let forced = edit(&served, "web", |spec| {
        spec["TaskTemplate"]["ForceUpdate"] = json!(1);
    })
    .await;
    assert_eq!(forced.status, 200);
    assert_ne!(spec_version(&served, &id), before);
}

#[tokio::test]
async fn what_docker_has_no_field_for_survives_a_client_that_does_not_know_it() {
    let served = leader().await;
    let mut posted = spec("web");
    let ours = json!({"PolicyOptions": {"canary.steps": "5"},
        "Preferences": [{"Name": "pack", "Argument": "node.labels.rack", "After": 0}]});
    posted["Swarmw"] = ours.clone();
    create(&served, posted).await;
    assert_eq!(show(&served, "web").await["Spec"]["Swarmw"], ours);
    let updated = edit(&served, "web", |spec| {
        spec.as_object_mut().expect("an object").remove("Swarmw");
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=1"]);
    })
    .await;
    assert_eq!(updated.status, 200);
    let shown = show(&served, "web").await;
    assert_eq!(shown["Spec"]["Swarmw"], ours);
    assert_eq!(shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["A=1"]));
    edit(&served, "web", |spec| spec["Swarmw"] = json!({})).await;
    assert_eq!(show(&served, "web").await["Spec"]["Swarmw"], Value::Null);
}

fn stored_auth(served: &Served, id: &str) -> String {
    let id: ServiceId = id.parse().expect("an id");
    let state = served.fake.shared.state.lock().unwrap();
    let service = state.service(id).expect("a service");
    service.spec.task_template.registry_auth.clone()
}

#[tokio::test]
async fn registry_credentials_are_kept_and_never_shown() {
    let served = leader().await;
    let request = Request::post("/services/create")
        .header("host", "docker")
        .header("content-type", "application/json")
        .header("x-registry-auth", "c2VjcmV0")
        .body(Body::from(spec("web").to_string()))
        .expect("a request");
    let made = served.client.send(request).await;
    let id = made.json()["ID"].as_str().expect("an id").to_owned();
    assert_eq!(stored_auth(&served, &id), "c2VjcmV0");
    edit(&served, "web", |spec| spec["Labels"] = json!({"a": "b"})).await;
    assert_eq!(stored_auth(&served, &id), "c2VjcmV0");
    for path in ["/services", "/services/web", "/tasks"] {
        let text = served.client.get(path).await.body;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains("c2VjcmV0") && !text.contains("RegistryAuth"), "{path}: {text}");
    }
    let update = async |credentials: &str, from: &str| {
        let version = show(&served, "web").await["Version"]["Index"].clone();
        let path = format!("/services/web/update?version={version}&registryAuthFrom={from}");
        let request = Request::post(path)
            .header("host", "docker")
            .header("content-type", "application/json")
            .header("x-registry-auth", credentials)
            .body(Body::from(spec("web").to_string()))
            .expect("a request");
        let updated = served.client.send(request).await;
        assert_eq!(updated.status, 200, "{}", updated.message());
        stored_auth(&served, &id)
    };
    assert_eq!(update("bmV3ZXI", "").await, "bmV3ZXI");
    assert_eq!(update("", "previous-spec").await, "c2VjcmV0", "of the spec before");
    assert_eq!(update("", "previous-spec").await, "bmV3ZXI", "each is the other's");
    assert_eq!(update("", "spec").await, "bmV3ZXI");
    create(&served, spec("new")).await;
    let none = served
        .client
        .post("/services/new/update?version=99&registryAuthFrom=previous-spec", spec("new"))
        .await;
    assert!(none.message().ends_with("does not have a previous spec"), "{}", none.message());
    let none = served
        .client
        .post("/services/web/update?version=99&registryAuthFrom=nowhere", spec("web"))
        .await;
    assert_eq!(none.message(), "unsupported registryAuthFrom value: \"nowhere\"");
}

#[tokio::test]
async fn a_service_without_a_name_gets_one() {
    let served = leader().await;
    let mut nameless = spec("");
    nameless["Mode"] = json!({});
    let id = create(&served, nameless).await;
    let shown = show(&served, &id).await;
    assert!(shown["Spec"]["Name"].as_str().expect("a name").contains('_'));
    assert_eq!(shown["Spec"]["Mode"], json!({"Replicated": {"Replicas": 1}}));
}

#[tokio::test]
async fn a_rollback_by_hand_goes_forth_and_back() {
    let served = leader().await;
    create(&served, spec("web")).await;
    edit(&served, "web", |spec| {
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("redis:3.0.7");
    })
    .await;
    for image in ["redis:3.0.6", "redis:3.0.7"] {
        let shown = show(&served, "web").await;
        let path =
            format!("/services/web/update?version={}&rollback=previous", shown["Version"]["Index"]);
        let rolled = served.client.post(&path, shown["Spec"].clone()).await;
        assert_eq!(rolled.status, 200, "{}", rolled.message());
        let shown = show(&served, "web").await;
        assert_eq!(shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"], image);
        assert_eq!(shown["UpdateStatus"]["State"], "rollback_started");
        assert_eq!(shown["UpdateStatus"]["Message"], "manually requested rollback");
    }
}

#[tokio::test]
async fn services_are_listed_by_filter_and_with_their_status() {
    let served = leader().await;
    let mut labelled = spec("web");
    labelled["Labels"] = json!({"tier": "front"});
    let id = create(&served, labelled).await;
    let mut global = spec("agent");
    global["Mode"] = json!({"Global": {}});
    create(&served, global).await;
    let by_id = format!(r#"{{"id":["{}"]}}"#, &id[..12]);
    for (filter, want) in [
        ("{}", &["agent", "web"][..]),
        (r#"{"name":{"we":true}}"#, &["web"]),
        (r#"{"label":["tier=front"]}"#, &["web"]),
        (r#"{"label":["tier=back"]}"#, &[]),
        (r#"{"mode":["global"]}"#, &["agent"]),
        (r#"{"runtime":["container"]}"#, &["agent", "web"]),
        (&by_id, &["web"]),
    ] {
        let found = served.client.get(&format!("/services?{}", filters(filter))).await;
        let mut names: Vec<_> = found
            .json()
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| s["Spec"]["Name"].as_str().expect("a name").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, want, "{filter}");
    }
    let status = json!({"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0});
    let one = filters(r#"{"name":["web"]}"#);
    for (path, want) in [
        ("/services?status=true&", &status),
        ("/services?", &Value::Null),
        ("/v1.40/services?status=true&", &Value::Null),
    ] {
        let listed = served.client.get(&format!("{path}{one}")).await.json();
        assert_eq!(&listed[0]["ServiceStatus"], want, "{path}");
    }
}

#[tokio::test]
async fn a_job_is_shown_as_docker_shows_it() {
    let served = leader().await;
    let mut posted = spec("count");
    posted["Mode"] = json!({"ReplicatedJob": {"MaxConcurrent": 2}});
    let id = create(&served, posted).await;
    let shown = show(&served, "count").await;
    assert_eq!(
        shown["Spec"]["Mode"],
        json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}})
    );
    let begun = shown["CreatedAt"].clone();
    assert_eq!(shown["JobStatus"], json!({"JobIteration": {"Index": 0}, "LastExecution": begun}));
    // What a client reads it can write back, with the defaults too.
    let full = served.client.get("/services/count?insertDefaults=true").await.json();
    assert_eq!(full["Spec"]["UpdateConfig"], Value::Null);
    let answer = edit(&served, "count", |spec| *spec = full["Spec"].clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.message());
    let job = show(&served, "count").await["JobStatus"]["JobIteration"]["Index"].clone();
    assert_eq!(job, json!(1), "a write has it done once more");
    let of_now = filters(r#"{"_up-to-date":["true"]}"#);
    let tasks = served.client.get(&format!("/tasks?{of_now}")).await.json();
    assert_eq!(tasks[0]["JobIteration"], json!({"Index": 1}), "{tasks}");
    assert_eq!(tasks[0]["Slot"], Value::Null, "the first is 0, which is left out: {tasks}");
    let status =
        served.client.get("/services?status=true").await.json()[0]["ServiceStatus"].clone();
    assert_eq!(status, json!({"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 0}));
    for (mode, want) in [("replicated-job", 1), ("replicated", 0), ("global-job", 0)] {
        let path = format!("/services?{}", filters(&format!(r#"{{"mode":["{mode}"]}}"#)));
        let found = served.client.get(&path).await.json();
        assert_eq!(found.as_array().map(Vec::len), Some(want), "{mode}");
    }
    let refused = edit(&served, "count", |spec| spec["UpdateConfig"] = json!({})).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        "rpc error: code = InvalidArgument desc = Jobs may not have an update config"
    );
    assert_eq!(shown["ID"], json!(id));
}

#[tokio::test]
async fn only_tasks_of_the_present_spec_are_up_to_date() {
    let served = leader().await;
    let id = create(&served, spec("web")).await;
    edit(&served, "web", |spec| {
        spec["TaskTemplate"]["ForceUpdate"] = json!(1);
    })
    .await;
    create(&served, spec("other")).await;
    for (filter, want) in [
        (r#"{"service":["web"]}"#, 4),
        (r#"{"service":["web"],"_up-to-date":{"true":true}}"#, 2),
        (r#"{"service":["web"],"desired-state":["running"]}"#, 2),
        (r#"{"service":["web"],"desired-state":["shutdown"]}"#, 2),
        (r#"{"service":["web"],"desired-state":["running","shutdown"]}"#, 4),
        (r#"{"name":["web.1."]}"#, 2),
        (r#"{"node":["alpha"]}"#, 6),
        (r#"{"node":["alpha"],"service":["other"]}"#, 2),
        (r#"{"label":["nope"]}"#, 0),
    ] {
        let found = served.client.get(&format!("/tasks?{}", filters(filter))).await;
        assert_eq!(found.json().as_array().map(Vec::len), Some(want), "{filter}");
    }
    let tasks = served.client.get("/tasks").await.json();
    let task = served
        .client
        .get(&format!("/tasks/{}", tasks[0]["ID"].as_str().expect("an id")))
        .await
        .json();
    assert_eq!(task, tasks[0]);
    let removed = served.client.delete(&format!("/services/{id}")).await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (200, 0));
}

#[tokio::test]
async fn a_long_list_is_whole() {
    let served = leader().await;
    let mut large = spec("web");
    large["Mode"] = json!({"Replicated": {"Replicas": 600}});
    create(&served, large).await;
    let listed = served.client.get("/tasks").await;
    assert_eq!(listed.header("content-type"), "application/json");
    assert_eq!(listed.json().as_array().map(Vec::len), Some(600));
}

#[tokio::test]
async fn fields_in_the_wrong_letter_case_are_read_as_docker_reads_them() {
    let served = leader().await;
    // As docker-py writes it.
    let posted = json!({"Name": "web", "Labels": {"name": "kept"},
        "TaskTemplate": {"ContainerSpec": {"Image": "redis"}},
        "Mode": {"replicated": {"Replicas": 3}}});
    create(&served, posted).await;
    let shown = show(&served, "web").await;
    assert_eq!(shown["Spec"]["Mode"], json!({"Replicated": {"Replicas": 3}}));
    assert_eq!(shown["Spec"]["Labels"], json!({"name": "kept"}));
}

#[tokio::test]
async fn an_older_version_reads_and_answers_what_it_has() {
    let served = leader().await;
    let mut posted = spec("web");
    posted["TaskTemplate"]["ContainerSpec"]["Sysctls"] = json!({"net.core.somaxconn": "9"});
    posted["TaskTemplate"]["ContainerSpec"]["OomScoreAdj"] = json!(7);
    posted["TaskTemplate"]["Placement"] = json!({"MaxReplicas": 2});
    create(&served, posted.clone()).await;
    let path = "/Spec/TaskTemplate/ContainerSpec/Sysctls";
    for (version, is_there) in [("/v1.39", false), ("/v1.40", true), ("", true)] {
        let get = async |path: &str| served.client.get(&format!("{version}{path}")).await.json();
        let (one, all) = (get("/services/web").await, get("/services").await);
        assert_eq!(one.pointer(path).is_some(), is_there, "{version}: {one}");
        assert_eq!(all[0].pointer(path).is_some(), is_there, "{version}: {all}");
        let tasks = get("/tasks").await;
        let task = get(&format!("/tasks/{}", tasks[0]["ID"].as_str().expect("an id"))).await;
        for task in [&tasks[0], &task] {
            let sysctls = task.pointer("/Spec/ContainerSpec/Sysctls");
            assert_eq!(sysctls.is_some(), is_there, "{version}: {task}");
        }
    }
    posted["Name"] = json!("old");
    let made = served.client.post("/v1.39/services/create", posted).await;
    assert_eq!(made.status, 201, "{}", made.message());
    let template = show(&served, "old").await["Spec"]["TaskTemplate"].clone();
    assert_eq!(
        template["ContainerSpec"],
        json!({"Image": "redis:3.0.6", "Isolation": "default"}),
        "{template}"
    );
    assert_eq!(template["Placement"]["MaxReplicas"], Value::Null, "{template}");
    let mut job = spec("count");
    job["Mode"] = json!({"ReplicatedJob": {}});
    let refused = served.client.post("/v1.40/services/create", job.clone()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("service mode ReplicatedJob wants version 1.41"));
    create(&served, job).await;
    let shown = served.client.get("/v1.40/services/count").await.json();
    assert_eq!(shown["JobStatus"], Value::Null, "{shown}");
}

#[tokio::test]
async fn images_are_pinned_for_clients_that_cannot_ask_what_they_are() {
    let served = leader().await;
    let image = |shown: &Value| shown["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    let mut posted = spec("old");
    posted["TaskTemplate"]["ContainerSpec"]["Image"] = json!("reg.example/hello:1");
    let made = served.client.post("/v1.29/services/create", posted.clone()).await;
    assert_eq!((made.status.as_u16(), &made.json()["Warnings"]), (201, &json!([])));
    assert_eq!(image(&show(&served, "old").await), "reg.example/hello:1@sha256:ab");
    posted["Name"] = json!("new");
    let made = served.client.post("/v1.30/services/create", posted.clone()).await;
    assert_eq!((made.status.as_u16(), &made.json()["Warnings"]), (201, &json!([])));
    let new = show(&served, "new").await;
    assert_eq!(image(&new), "reg.example/hello:1", "such a client has asked itself");
    let version = &new["Version"]["Index"];
    let path = format!("/v1.29/services/new/update?version={version}");
    let written = served.client.post(&path, posted.clone()).await;
    assert_eq!(written.status, 200, "{}", written.message());
    assert_eq!(image(&show(&served, "new").await), "reg.example/hello:1@sha256:ab");
    posted["Name"] = json!("unknown");
    posted["TaskTemplate"]["ContainerSpec"]["Image"] = json!("redis");
    let made = served.client.post("/v1.29/services/create", posted).await.json();
    let warning = made["Warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("image redis:latest could not be accessed on a registry"));
    assert_eq!(image(&show(&served, "unknown").await), "redis");
}
