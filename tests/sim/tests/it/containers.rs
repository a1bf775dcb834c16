//! The way to containers of tasks on other nodes: for managers, and never a long wait.

use swarmw_ca::Tls;
use swarmw_model::{NodeRole, NodeState, RefusalKind, TaskId};
use swarmw_proto::{Channels, pb};
use swarmw_sim::replicated;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{secs, small};

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
