//! What a cluster at rest does not do.

use std::sync::Arc;

use rand::Rng;
use swarmw_model::{
    ContainerSpec, NodeState, Placement, PlacementPreference, Replicated, ServiceId, ServiceMode,
    ServiceSpec, SpreadOver, TaskSpec,
};
use swarmw_state::Change;

use crate::agent::Obedient;
use crate::swarm::{Swarm, eventually};

fn spec(name: &str, replicas: u64, spread: Option<&str>) -> ServiceSpec {
    let over = |label: &str| PlacementPreference {
        spread: Some(SpreadOver { spread_descriptor: label.into() }),
    };
    let placement = Placement {
        constraints: vec!["node.role==worker".into(), "node.labels.zone!=x".into()],
        preferences: spread.into_iter().map(over).collect(),
        ..Default::default()
    };
    ServiceSpec {
        name: name.into(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: "app:1".into(), ..Default::default() }),
            placement: Some(placement),
            ..Default::default()
        }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_cluster_makes_no_wasm_call() {
    let swarm = Swarm::of(1).await;
    let mut agents = Vec::new();
    for _ in 0..2 {
        let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
        agents.push(Obedient::start(&credentials, swarm.addresses()));
    }
    let manager = swarm.leader().await.manager();
    eventually("both nodes are ready", || async {
        let state = manager.state();
        let ready = state.nodes().filter(|n| n.status.state == NodeState::Ready);
        (ready.count() >= 2).then_some(())
    })
    .await;
    let create = async |name: &str, replicas: u64, spread: Option<&str>| {
        let spec = spec(name, replicas, spread);
        manager.check_service(&spec, None).await.unwrap();
        let id = ServiceId::from_bits(rand::rng().random());
        manager.write(None, Change::CreateService { id, spec: Box::new(spec) }).await.unwrap();
        id
    };
    let web = create("web", 4, Some("node.labels.rack")).await;
    let before = swarm.running(web, 4).await;
    let calls = manager.wasm_calls();
    assert!(calls > 0, "the policies are components");

    // Another service with the same constraints: every verdict that it needs is known.
    // Only to share tasks out by a preference is asked anew, once for all of a tick.
    let api = create("api", 6, None).await;
    swarm.running(api, 6).await;
    assert_eq!(manager.wasm_calls(), calls, "nothing new was asked");
    let gone = before[0].id;
    manager.write(None, Change::RemoveService { id: api }).await.unwrap();
    eventually("the tasks of the other service are gone", || async {
        let state = manager.state();
        (state.tasks_of_service(api).count() == 0).then_some(())
    })
    .await;
    assert!(swarm.running(web, 4).await.iter().any(|t| t.id == gone), "web is untouched");
    assert_eq!(manager.wasm_calls(), calls, "nor for what was removed");
}
