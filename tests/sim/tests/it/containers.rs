//! The way to containers of tasks on other nodes: for managers, and never a long wait.

use swarmw_ca::Tls;
use swarmw_model::{ClusterOptions, NodeRole, NodeState, RefusalKind, TaskId, TasksFrom};
use swarmw_proto::{Channels, pb};
use swarmw_sim::{Cluster, replicated};
use swarmw_state::Change;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{cluster, secs, small};

async fn open(channel: Channel) -> Code {
    let mut client = pb::containers_client::ContainersClient::new(channel);
    let task = TaskId::from_bits(1).to_string();
    let first = pb::ContainerBytes { task, data: Vec::new() };
    let opened = client.open(futures::stream::iter([first])).await;
    opened.expect_err("there is no such task").code()
}

#[tokio::test(start_paused = true)]
async fn agents_let_managers_to_their_containers_and_no_worker() {
    let cluster = small(1).await;
    let (transport, ambient) = cluster.outsider();
    let root = cluster.node("n1").member().tls().root_pem();
    for address in [cluster.node("n1").address(), cluster.node("n2").address()] {
        let stranger = Channels::bootstrap_over(transport.clone(), &ambient, &address, Some(&root));
        assert_eq!(open(stranger.expect("an address")).await, Code::Unauthenticated);
        for (role, expected) in
            [(NodeRole::Worker, Code::PermissionDenied), (NodeRole::Manager, Code::NotFound)]
        {
            let credentials = cluster.credentials(role).await;
            let tls = Tls::by(ambient.clone(), &credentials).expect("credentials");
            let channels = Channels::over(transport.clone(), tls);
            let code = open(channels.get(&address).expect("an address")).await;
            assert_eq!(code, expected, "{role}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_is_named_within_seconds() {
    let cluster = small(1).await;
    let service = cluster.create(replicated("web", "app:1", 1)).await;
    let task = cluster.running(service, 1).await[0].clone();
    assert_eq!(task.node_id, Some(cluster.node("n2").id()), "managers are drained here");
    let task = task.id;
    let manager = cluster.leader().await.manager().expect("the leader's manager");
    let refused = manager.open_container(task).await.err().expect("it has no engine");
    assert!(refused.message.ends_with("it has no engine"), "{refused}");

    cluster.isolate(&["n2"]);
    let begun = cluster.elapsed();
    let refused = manager.open_container(task).await.err().expect("cut off");
    let took = cluster.elapsed() - begun;
    assert_eq!(refused.kind, RefusalKind::Unavailable);
    assert!(refused.message.starts_with("node n2 ("), "{refused}");
    assert!(refused.message.contains("is not reached at"), "{refused}");
    assert!(took <= secs(6), "{took:?}");

    cluster.node_is("n2", NodeState::Down).await;
    let begun = cluster.elapsed();
    let refused = manager.open_container(task).await.err().expect("down");
    assert!(refused.message.contains("is down"), "{refused}");
    assert_eq!(cluster.elapsed(), begun, "nobody is asked");
}

/// Says from which nodes tasks are reached.
async fn reached_from(cluster: &Cluster, tasks_from: TasksFrom) {
    let state = cluster.fresh().await;
    let known = state.cluster().expect("founded");
    let mut spec = known.spec.clone();
    spec.swarmw = Some(ClusterOptions { tasks_from, ..ClusterOptions::default() });
    let (version, rotate, spec) = (known.version, Default::default(), Box::new(spec));
    let change = Change::UpdateCluster { version, spec, rotate, unlock_key: None };
    cluster.write(change).await.expect("nobody else changes it");
}

#[tokio::test(start_paused = true)]
async fn a_worker_asks_one_manager_after_the_other_once_the_cluster_lets_it() {
    let cluster = cluster(1).await;
    let member = cluster.node("n4").member();
    let worker = member.agent();
    cluster
        .soon("the worker knows all managers", async || {
            (worker.managers().len() == 3).then_some(())
        })
        .await;
    let refused = worker.open_manager().await.err().expect("managers alone");
    assert_eq!(refused.kind, RefusalKind::PermissionDenied);
    assert!(refused.message.ends_with("swarm update --tasks-from nodes"), "{refused}");
    reached_from(&cluster, TasksFrom::Nodes).await;
    let lets_in = |name: &&str| {
        let state = cluster.node(name).manager().map(|manager| manager.state());
        let spec = state.as_ref().and_then(|state| state.cluster()).map(|known| &known.spec);
        spec.is_some_and(|spec| spec.tasks_from() == TasksFrom::Nodes)
    };
    cluster
        .soon("every manager lets it in", async || {
            ["n1", "n2", "n3"].iter().all(lets_in).then_some(())
        })
        .await;
    assert!(worker.open_manager().await.is_ok());

    // A manager without a majority answers too, by what it knows.
    cluster.isolate(&["n1", "n2"]);
    let begun = cluster.elapsed();
    assert!(worker.open_manager().await.is_ok(), "n3 is left");
    assert!(cluster.elapsed() - begun <= secs(7), "{:?}", cluster.elapsed() - begun);

    cluster.isolate(&["n4"]);
    let refused = worker.open_manager().await.err().expect("cut off");
    assert_eq!(refused.kind, RefusalKind::Unavailable);
    for manager in ["n1", "n2", "n3"] {
        assert!(refused.message.contains(&cluster.node(manager).address()), "{refused}");
    }
}
