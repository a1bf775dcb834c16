//! How nodes' networks are.

use serde_json::json;
use swarmw_model::{NodeId, NodeRole};
use swarmw_state::Change;

use crate::fake::{following, leader, node, serve_with};

const OTHER: NodeId = NodeId::from_bits(0xb0b);

#[tokio::test]
async fn each_node_is_told_with_what_differs_there() {
    let served = leader().await;
    let other = node(OTHER, "beta", NodeRole::Worker);
    served.fake.apply(None, Change::AddNode(Box::new(other))).expect("added");

    let answer = served.client.get("/v1.47/swarmw/net/doctor").await;

    assert_eq!(answer.status, 200);
    let told = answer.json();
    let statuses: Vec<_> =
        told.as_array().expect("a list").iter().map(|node| node["Status"].clone()).collect();
    assert_eq!(statuses, [json!("ok"), json!("differs")]);
    assert_eq!(told[0]["Findings"]["Networks"], 2);
    assert_eq!(told[1]["NodeID"], OTHER.to_string());
    assert_eq!(
        told[1]["Findings"]["Differences"],
        json!([{"What": "table inet swarmw of nftables is missing", "Advice": "wait 30 s"}])
    );

    let one = served.client.get("/swarmw/net/doctor?node=beta").await.json();
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    assert_eq!(one[0]["NodeID"], OTHER.to_string());
}

#[tokio::test]
async fn a_node_that_is_not_there_is_not_found() {
    let served = leader().await;
    let answer = served.client.get("/swarmw/net/doctor?node=nobody").await;
    assert_eq!((answer.status.as_u16(), answer.message().as_str()), (404, "node nobody not found"));
}

#[tokio::test]
async fn a_manager_that_does_not_lead_has_the_leader_ask() {
    let leader = leader().await;
    let follower = serve_with(following(), leader.fake.shared.clone()).await;
    *follower.fake.leader.lock().unwrap() = Some(leader.api.clone());
    let answer = follower.client.get("/swarmw/net/doctor").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()[0]["Status"], "ok");
}
