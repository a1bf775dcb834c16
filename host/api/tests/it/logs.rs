//! Logs over HTTP.

use serde_json::json;

use swarmw_api::{LogSource, LogsRequest};
use swarmw_model::{Refusal, RefusalKind, TaskId, Time};

use crate::fake::{leader, line};

#[tokio::test]
async fn a_services_logs_are_framed_and_a_terminals_are_not() {
    let served = leader().await;
    let task = TaskId::from_bits(3);
    *served.fake.lines.lock().unwrap() = vec![line(task, "one\n"), line(task, "two\n")];
    for (name, tty, kind, body) in [
        (
            "web",
            false,
            "application/vnd.docker.multiplexed-stream",
            &b"\x01\0\0\0\0\0\0\x04one\n\x01\0\0\0\0\0\0\x04two\n"[..],
        ),
        ("shell", true, "application/vnd.docker.raw-stream", b"one\ntwo\n"),
    ] {
        let spec = json!({"Name": name,
            "TaskTemplate": {"ContainerSpec": {"Image": "redis", "TTY": tty}}});
        served.client.post("/services/create", spec).await;
        let logs = served.client.get(&format!("/services/{name}/logs?stdout=1")).await;
        assert_eq!(logs.header("content-type"), kind);
        assert_eq!(&logs.body[..], body, "{name}");
        let old = served.client.get(&format!("/v1.41/services/{name}/logs?stdout=1")).await;
        assert_eq!(old.header("content-type"), "");
    }
}

#[tokio::test]
async fn logs_that_are_not_whole_end_with_dockers_warning() {
    let served = leader().await;
    *served.fake.lines.lock().unwrap() = vec![line(TaskId::from_bits(3), "one\n")];
    let why = "warning: incomplete log stream. some logs could not be retrieved for the \
               following reasons: node 0000000000000000000000009 is not available";
    *served.fake.lines_missing.lock().unwrap() = Some(Refusal::rpc(RefusalKind::Unknown, why));
    let said = format!("Error grabbing logs: rpc error: code = Unknown desc = {why}\n");
    let length = u32::try_from(said.len()).expect("a short text").to_be_bytes();
    let line = &b"\x01\0\0\0\0\0\0\x04one\n"[..];
    let framed = [line, &b"\x03\0\0\0"[..], &length[..], said.as_bytes()].concat();
    let raw = format!("one\n{said}").into_bytes();
    for (name, tty, body) in [("web", false, framed), ("shell", true, raw)] {
        let spec = json!({"Name": name,
            "TaskTemplate": {"ContainerSpec": {"Image": "redis", "TTY": tty}}});
        served.client.post("/services/create", spec).await;
        let logs = served.client.get(&format!("/services/{name}/logs?stdout=1")).await;
        assert_eq!(logs.body[..], body[..], "{name}");
    }
}

#[tokio::test]
async fn what_is_asked_of_logs_reaches_the_daemon() {
    let served = leader().await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    served.client.post("/services/create", spec).await;
    let tasks = served.client.get("/tasks").await.json();
    let task = tasks[0]["ID"].as_str().expect("an id");
    let path = format!("/tasks/{task}/logs?stderr=1&follow=1&tail=10&since=12.5&details=1");
    assert_eq!(served.client.get(&path).await.status, 200);
    assert_eq!(
        served.fake.logs_asked.lock().unwrap()[0],
        LogsRequest {
            source: LogSource::Task(task.parse().expect("an id")),
            follow: true,
            tail: Some(10),
            since: Time::from_nanos(12_500_000_000),
            stdout: false,
            stderr: true,
            details: true,
        }
    );
}

#[tokio::test]
async fn a_number_of_lines_is_a_number() {
    let served = leader().await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}}});
    served.client.post("/services/create", spec).await;
    for (tail, want) in [
        ("x", "tail value must be a positive integer or \"all\""),
        ("-1", "negative tail values not supported"),
    ] {
        let answer = served.client.get(&format!("/services/web/logs?stdout=1&tail={tail}")).await;
        assert_eq!(answer.status, 400, "{tail}");
        assert_eq!(answer.message(), want, "{tail}");
    }
    for ignored in ["tail=all", "tail=", "tail=0", "since=99999999999"] {
        let answer = served.client.get(&format!("/services/web/logs?stdout=1&{ignored}")).await;
        assert_eq!(answer.status, 200, "{ignored}");
    }
}
