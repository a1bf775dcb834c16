//! Who may call what of a node that is no manager's business: the rest is in the
//! manager's own tests.

use swarmw_ca::Tls;
use swarmw_model::NodeRole;
use swarmw_proto::{Channels, pb};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::small;

async fn open(channel: Channel) -> Status {
    let mut client = pb::tunnel_client::TunnelClient::new(channel);
    let frame = pb::TunnelFrame { task: "no task".into(), ..Default::default() };
    let opened = client.open(futures::stream::iter([frame])).await;
    opened.expect_err("there is no such task")
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_for_nodes_of_the_cluster_and_for_nobody_else() {
    let (cluster, other) = (small(1).await, small(0).await);
    let (transport, ambient) = cluster.outsider();
    let root = cluster.node("n1").member().tls().root_pem();
    for address in [cluster.node("n1").address(), cluster.node("n2").address()] {
        let stranger = Channels::bootstrap_over(transport.clone(), &ambient, &address, Some(&root));
        let refused = open(stranger.expect("an address")).await;
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");

        for role in [NodeRole::Worker, NodeRole::Manager] {
            for (authority, expected) in
                [(&cluster, Code::InvalidArgument), (&other, Code::Unavailable)]
            {
                let credentials = authority.credentials(role).await;
                let tls = Tls::by(ambient.clone(), &credentials).expect("credentials");
                let channels = Channels::over(transport.clone(), tls);
                let refused = open(channels.get(&address).expect("an address")).await;
                assert_eq!(refused.code(), expected, "{role} {refused}");
            }
        }
    }
}
