//! Certificates, over their whole life.

use swarmw_model::{CaConfig, NodeRole};
use swarmw_sim::replicated;
use swarmw_state::Change;

use crate::support::{secs, small, span};

#[tokio::test(start_paused = true)]
async fn a_node_renews_its_certificate_before_it_ends() {
    let mut cluster = small(0).await;
    let state = cluster.fresh().await;
    let known = state.cluster().expect("founded");
    let mut spec = known.spec.clone();
    spec.ca = CaConfig { node_cert_expiry: span(3_600) };
    let (version, rotate) = (known.version, Default::default());
    let spec = Box::new(spec);
    let change = Change::UpdateCluster { version, spec, rotate, unlock_key: None };
    cluster.write(change).await.expect("nobody else changes it");

    // Who joins from now on has a certificate of one hour.
    let node = cluster.add(NodeRole::Worker).await;
    let due = || cluster.node(&node).member().tls().renew_at(1.0);
    let first = due();
    cluster.run(secs(3_700)).await;
    assert!(due() > first, "it was renewed");
    // New connections show the new one, and hold the manager's against the time.
    cluster.node(&node).stop().await;
    cluster.start(&node).await;
    cluster.ready(&node).await;
    let web = cluster.create(replicated("web", "app:1", 1)).await;
    cluster.running(web, 1).await;
}
