//! What Prometheus scrapes.

use serde_json::json;
use swarmw_api::Standing;

use crate::fake::{leader, membership, serve};

#[tokio::test]
async fn a_manager_tells_of_the_cluster_and_of_what_the_plugins_did() {
    let served = leader().await;
    let spec = json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "redis"}},
        "Mode": {"Replicated": {"Replicas": 3}}});
    served.client.post("/services/create", spec).await;

    let answer = served.client.get("/v1.47/swarmw/metrics").await;

    assert_eq!(answer.status, 200);
    let kind = answer.headers["content-type"].to_str().expect("text");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = String::from_utf8_lossy(&answer.body);
    let plugin = r#"plugin="swarmw/update""#;
    for line in [
        format!(r#"swarmw_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")),
        "swarmw_leader 1".to_owned(),
        r#"swarmw_nodes{role="manager",availability="active",state="ready"} 1"#.to_owned(),
        r#"swarmw_services{update=""} 1"#.to_owned(),
        r#"swarmw_tasks{state="running",desired_state="running"} 3"#.to_owned(),
        format!(r#"swarmw_plugin_calls_total{{{plugin},function="compile"}} 5"#),
        format!(r#"swarmw_plugin_cpu_seconds_total{{{plugin},function="compile"}} 2.0"#),
        format!(r#"swarmw_plugin_faults_total{{{plugin},function="compile",fault="trap"}} 1"#),
        format!("swarmw_plugin_rows_needed_total{{{plugin}}} 100"),
        format!("swarmw_plugin_breaker_open{{{plugin}}} 0"),
        r#"swarmw_name_queries_total{outcome="answered"} 7"#.to_owned(),
        r#"swarmw_network_connections_total{outcome="failed"} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_worker_tells_of_itself() {
    let served = serve(Standing::Worker(membership())).await;

    let answer = served.client.get("/swarmw/metrics").await;

    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("swarmw_leader 0\n"), "{text}");
}
