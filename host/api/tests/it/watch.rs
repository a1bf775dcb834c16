//! What changes in the cluster, from a revision on.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use serde_json::{Value, json};

use swarmw_api::Standing;
use swarmw_model::{ConfigId, DataSpec, Payload};
use swarmw_state::{Change, HISTORY_EVENTS};

use crate::client::filters;
use crate::fake::{Served, following, leader, leading, membership, serve, serve_with};

/// A reader of lines.
struct Reader {
    pieces: BodyDataStream,
    rest: Vec<u8>,
}

impl Reader {
    async fn of(served: &Served, query: &str) -> Self {
        let request = Request::get(format!("/swarmw/watch?{query}")).body(Body::empty());
        let response = served.api.call(request.expect("a request")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { pieces: response.into_body().into_data_stream(), rest: Vec::new() }
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let piece: Bytes = self.pieces.next().await?.expect("a piece");
            self.rest.extend(piece);
        }
    }

    /// The next lines, as `kind action name`.
    async fn told(&mut self, many: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < many {
            told.push(words(&self.next().await.expect("a line")));
        }
        told
    }
}

fn words(line: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = match line["Object"]["Spec"]["Name"].as_str() {
        Some(name) => name.to_owned(),
        None => text(&line["Object"]["Name"]),
    };
    format!("{} {} {name}", text(&line["Kind"]), text(&line["Action"])).trim().to_owned()
}

async fn config(served: &Served, name: &str) {
    let made = served.client.post("/configs/create", json!({"Name": name, "Data": "YQ=="})).await;
    assert_eq!(made.status, 201, "{}", made.message());
}

async fn service(served: &Served, name: &str, labels: Value) {
    let spec = json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "redis:1"}},
        "Labels": labels, "Mode": {"Replicated": {"Replicas": 2}}});
    let made = served.client.post("/services/create", spec).await;
    assert_eq!(made.status, 201, "{}", made.message());
}

async fn relabel(served: &Served, name: &str, labels: Value) {
    let shown = served.client.get(&format!("/services/{name}")).await.json();
    let mut spec = shown["Spec"].clone();
    spec["Labels"] = labels;
    let path = format!("/services/{name}/update?version={}", shown["Version"]["Index"]);
    assert_eq!(served.client.post(&path, spec).await.status, 200);
}

/// The revision that a list shows.
async fn revision(served: &Served, list: &str) -> u64 {
    let answer = served.client.get(list).await;
    answer.header("x-swarmw-revision").parse().expect("a revision")
}

#[tokio::test]
async fn a_list_and_a_watch_from_its_revision_miss_nothing() {
    let served = leader().await;
    service(&served, "web", json!({})).await;
    for list in
        ["/services", "/tasks", "/nodes", "/secrets", "/configs", "/swarmw/networks", "/swarm"]
    {
        let from = revision(&served, list).await;
        let mut reader = Reader::of(&served, &format!("from={from}")).await;
        config(&served, &format!("after{}", list.replace('/', "-"))).await;
        let line = reader.next().await.expect("a line");
        assert_eq!(words(&line), format!("config create after{}", list.replace('/', "-")));
        assert_eq!(line["Revision"], from + 1, "{list}");
        assert_eq!(line["Object"]["Spec"]["Data"], "YQ==");
    }
}

#[tokio::test]
async fn the_life_of_a_service_and_its_tasks_is_told_as_the_lists_show_them() {
    let served = leader().await;
    let mut reader = Reader::of(&served, "kinds=service,task").await;
    let first = reader.next().await.expect("a line");
    assert_eq!(first["Kind"], "bookmark", "who begins now is told where");
    service(&served, "web", json!({})).await;
    let created = reader.next().await.expect("a line");
    assert_eq!(words(&created), "service create web");
    let mut tasks = Vec::new();
    while tasks.len() < 4 {
        let line = reader.next().await.expect("a line");
        if line["Kind"] == "task" {
            tasks.push(line);
        }
    }
    let shown = served.client.get("/tasks").await.json();
    let last = &tasks[3];
    assert_eq!(last["Action"], "update");
    assert!(shown.as_array().expect("a list").contains(&last["Object"]), "{last}");
    // All of them come of one entry of the log.
    let at = &last["Revision"];
    assert!(tasks.iter().all(|line| line["Revision"] == *at));
    assert_eq!(last["Resume"], *at);
    assert!(tasks[..3].iter().all(|line| line["Resume"].as_u64() < at.as_u64()));

    served.client.delete("/services/web").await;
    let gone = loop {
        let line = reader.next().await.expect("a line");
        if line["Kind"] == "service" && line["Action"] == "remove" {
            break line;
        }
    };
    assert_eq!(gone["Object"]["Spec"]["Name"], "web");
}

#[tokio::test]
async fn who_was_cut_off_resumes_without_a_gap_on_a_follower_too() {
    let served = leader().await;
    let follower = serve_with(following(), served.fake.shared.clone()).await;
    let mut reader = Reader::of(&served, "kinds=config").await;
    reader.next().await.expect("a bookmark");
    for name in ["a", "b"] {
        config(&served, name).await;
    }
    assert_eq!(reader.told(1).await, ["config create a"]);
    let from = reader.next().await.expect("a line")["Resume"].clone();
    drop(reader);
    for name in ["c", "d"] {
        config(&served, name).await;
    }
    let mut reader = Reader::of(&follower, &format!("kinds=config&from={from}")).await;
    assert_eq!(reader.told(2).await, ["config create c", "config create d"]);
    assert!(follower.fake.forwarded.lock().unwrap().is_empty(), "it answers by itself");
}

#[tokio::test]
async fn what_begins_or_ceases_to_pass_a_filter_comes_and_goes() {
    let served = leader().await;
    let query = filters(r#"{"label":["tier=web"]}"#);
    let mut reader = Reader::of(&served, &format!("kinds=service&{query}")).await;
    reader.next().await.expect("a bookmark");
    service(&served, "other", json!({})).await;
    service(&served, "web", json!({"tier": "web"})).await;
    relabel(&served, "web", json!({"tier": "web", "more": "1"})).await;
    relabel(&served, "web", json!({"tier": "db"})).await;
    relabel(&served, "other", json!({"tier": "web"})).await;
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("service create other") {
        told.extend(reader.told(1).await);
    }
    // An endpoint is given to a service by an update of its own.
    told.dedup();
    assert_eq!(
        told,
        ["service create web", "service update web", "service remove web", "service create other"]
    );
}

#[tokio::test]
async fn tasks_are_filtered_by_their_service() {
    let served = leader().await;
    service(&served, "web", json!({})).await;
    let query = format!("kinds=task&from=0&{}", filters(r#"{"service":["web"]}"#));
    let mut reader = Reader::of(&served, &query).await;
    service(&served, "other", json!({})).await;
    config(&served, "end").await;
    let web = served.client.get("/services/web").await.json()["ID"].clone();
    for _ in 0..4 {
        let line = reader.next().await.expect("a line");
        assert_eq!((&line["Kind"], &line["Object"]["ServiceID"]), (&json!("task"), &web));
    }
}

#[tokio::test]
async fn nothing_secret_is_told() {
    let served = leader().await;
    let mut reader = Reader::of(&served, "from=0").await;
    let made = json!({"Name": "key", "Data": "ZGVlcA=="});
    served.client.post("/secrets/create", made).await;
    loop {
        let line = reader.next().await.expect("a line");
        let text = line.to_string();
        assert!(
            !text.contains("ZGVlcA")
                && !text.contains("SWMTKN")
                && !text.contains("the root's key")
        );
        if words(&line) == "secret create key" {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_gone_and_says_where_to_begin() {
    let served = leader().await;
    let before = revision(&served, "/configs").await;
    for n in 0..17 {
        big(&served, n);
    }
    let refused = served.client.get(&format!("/swarmw/watch?from={before}")).await;
    assert_eq!(refused.status, 410);
    let oldest = before + 1;
    assert_eq!(
        refused.message(),
        format!(
            "revision {before} is too old: the oldest that can be watched from is {oldest}; list \
             again, and watch from the revision in the list's header X-Swarmw-Revision"
        )
    );
    let mut reader = Reader::of(&served, &format!("from={oldest}")).await;
    assert_eq!(reader.next().await.expect("a line")["Revision"], oldest + 1);
}

/// A config of nearly a mebibyte: sixteen of them are kept.
fn big(served: &Served, n: u128) {
    let data = Payload::from(vec![b'x'; 1_000_000]);
    let spec = DataSpec { name: format!("big{n}"), data, ..DataSpec::default() };
    let config = swarmw_model::Config::new(ConfigId::from_bits(n + 1), spec);
    served.fake.apply(None, Change::CreateConfig(Box::new(config))).expect("made");
}

#[tokio::test]
async fn a_slow_reader_is_told_why_it_hears_no_more() {
    let served = leader().await;
    let mut reader = Reader::of(&served, "kinds=config").await;
    let began = reader.next().await.expect("a bookmark")["Resume"].clone();
    for n in 0..20 {
        big(&served, n);
    }
    let last = reader.next().await.expect("a line");
    assert_eq!((&last["Kind"], &last["Resume"]), (&json!("end"), &began));
    let why = last["Message"].as_str().expect("why");
    assert!(why.contains("too slow") && why.contains("list again"), "{why}");
    assert_eq!(reader.next().await, None);
    const { assert!(HISTORY_EVENTS > 20, "it was for their bytes") };
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_hears_nothing_is_told_where_it_stands() {
    let served = leader().await;
    let now = *served.fake.shared.reached.borrow();
    let mut reader = Reader::of(&served, &format!("kinds=service&from={now}")).await;
    served
        .fake
        .apply(None, Change::RemoveConfig(ConfigId::from_bits(1)))
        .expect_err("there is none, and yet the log goes on");
    let line = reader.next().await.expect("a line");
    assert_eq!(line, json!({"Revision": now + 1, "Resume": now + 1, "Kind": "bookmark"}));
}

#[tokio::test(start_paused = true)]
async fn a_revision_of_the_future_is_waited_for_and_refused() {
    let served = leader().await;
    let now = *served.fake.shared.reached.borrow();
    let refused = async |from: u64| {
        let request = Request::get(format!("/swarmw/watch?from={from}")).body(Body::empty());
        let response = served.api.call(request.expect("a request")).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let (status, text) = refused(now + 5).await;
    assert_eq!(status, 400);
    assert!(text.contains(&format!("revision {} is not there yet", now + 5)), "{text}");

    // A manager that lags a little.
    let wait = Reader::of(&served, "from=4");
    let fake = served.fake.clone();
    let write = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        while *fake.shared.reached.borrow() < 4 {
            let spec = DataSpec { name: "a".to_owned(), ..DataSpec::default() };
            let config = swarmw_model::Config::new(ConfigId::from_bits(9), spec);
            let _ = fake.apply(None, Change::CreateConfig(Box::new(config)));
        }
    };
    assert!(now < 4);
    tokio::join!(wait, write);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let served = leader().await;
    let label = filters(r#"{"role":["manager"]}"#);
    let absent = filters(r#"{"service":["nobody"]}"#);
    for (query, status, why) in [
        ("from=x".to_owned(), 400, "invalid revision \"x\""),
        ("kinds=servise".to_owned(), 400, "invalid kind \"servise\": want some of cluster, node"),
        (label.clone(), 400, "invalid filter 'role'"),
        (format!("kinds=node,service&{label}"), 400, "invalid filter 'role'"),
        (format!("kinds=task&{absent}"), 404, "service nobody not found"),
    ] {
        let refused = served.client.get(&format!("/swarmw/watch?{query}")).await;
        assert_eq!(refused.status, status, "{query}");
        assert!(refused.message().contains(why), "{query}: {}", refused.message());
    }
    drop(Reader::of(&served, &format!("kinds=node&{label}")).await);
    for standing in [Standing::Inactive, Standing::Worker(membership())] {
        let elsewhere = serve(standing).await;
        assert_eq!(elsewhere.client.get("/swarmw/watch").await.status, 503);
    }
    let starting = match leading() {
        Standing::Manager { membership, .. } => {
            Standing::Manager { membership, leading: false, ready: false }
        }
        other => other,
    };
    assert_eq!(serve(starting).await.client.get("/swarmw/watch").await.status, 503);
}
