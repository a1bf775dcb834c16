//! The leader asks each node by itself how its networks are, and waits for none for long.

use swarmw_ca::Tls;
use swarmw_model::{NetReport, NetStatus, NodeRole};
use swarmw_proto::{Channels, pb};
use swarmw_sim::Cluster;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{secs, small};

async fn reports(cluster: &Cluster) -> Vec<NetReport> {
    let leader = cluster.leader().await;
    let nodes: Vec<_> = cluster.nodes().map(|node| node.id()).collect();
    let manager = leader.manager().expect("the leader's manager");
    manager.examine_networks(&nodes).await.expect("it leads")
}

fn statuses(reports: &[NetReport]) -> Vec<NetStatus> {
    reports.iter().map(|report| report.status).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_is_told_so_and_keeps_no_other_from_being_heard() {
    let cluster = small(2).await;
    let told = reports(&cluster).await;
    assert_eq!(statuses(&told), [NetStatus::None; 3]);
    assert!(told.iter().all(|report| report.why.contains("no Docker engine")), "{told:?}");

    cluster.isolate(&["n3"]);
    let begun = cluster.elapsed();
    let told = reports(&cluster).await;
    let took = cluster.elapsed() - begun;
    assert_eq!(statuses(&told), [NetStatus::None, NetStatus::None, NetStatus::Silent]);
    assert_eq!((told[2].hostname.as_str(), &told[2].findings), ("n3", &None));
    assert!(took <= secs(6), "{took:?}");

    cluster.rejoin(&["n3"]);
    cluster.ready("n3").await;
    let heard = async || {
        let told = reports(&cluster).await;
        (statuses(&told) == [NetStatus::None; 3]).then_some(())
    };
    cluster.within(secs(60), "n3 is heard again", heard).await;
}

async fn ask(channel: Channel) -> Code {
    let mut client = pb::doctor_client::DoctorClient::new(channel);
    client.examine(pb::ExamineRequest {}).await.map_or_else(|refused| refused.code(), |_| Code::Ok)
}

#[tokio::test(start_paused = true)]
async fn nodes_answer_managers_and_nobody_else() {
    let cluster = small(1).await;
    let (transport, ambient) = cluster.outsider();
    let root = cluster.node("n1").member().tls().root_pem();
    let address = cluster.node("n2").address();
    let stranger = Channels::bootstrap_over(transport.clone(), &ambient, &address, Some(&root));
    assert_eq!(ask(stranger.expect("an address")).await, Code::Unauthenticated);
    for (role, expected) in
        [(NodeRole::Worker, Code::PermissionDenied), (NodeRole::Manager, Code::Ok)]
    {
        let tls = Tls::by(ambient.clone(), &cluster.credentials(role).await).expect("credentials");
        let channels = Channels::over(transport.clone(), tls);
        assert_eq!(ask(channels.get(&address).expect("an address")).await, expected, "{role}");
    }
}
